// Shows a runbook or a how-to page: the Markdown that icehaul's own pages use, made into elements, never into markup.

import { el } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|(!?)\[((?:[^\]`]|`[^`]*`)+)\]\(([^)\s]+)\)/;

function link(text, target) {
  const [, page, anchor] = /^(?:\.\.\/(?:how-to|runbooks)\/)?([a-z0-9-]+)\.md(#.*)?$/.exec(target) ?? [];
  if (page) return el("a", { href: `#/runbooks/${page}` }, inline(text));
  if (/^https:\/\//.test(target)) return el("a", { href: target, rel: "noreferrer" }, inline(text));
  return el("span", { title: anchor }, inline(text));
}

export function inline(text) {
  const made = [];
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    made.push(rest.slice(0, found.index));
    if (found[1] !== undefined) made.push(el("code", {}, found[1]));
    else if (found[2] !== undefined) made.push(el("strong", {}, inline(found[2])));
    else if (found[3] !== undefined) made.push(el("em", {}, inline(found[3])));
    else if (found[4]) made.push(el("em", {}, `(picture: ${found[5]})`));
    else made.push(link(found[5], found[6]));
    rest = rest.slice(found.index + found[0].length);
  }
  return [...made, rest];
}

function code(lines, fence) {
  const end = lines.findIndex((line) => line.trim() === fence);
  const body = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  return el("pre", { tabindex: "0" }, el("code", {}, body.join("\n")));
}

function tableOf(lines, first) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
  lines.shift();
  const rows = [];
  while (lines[0]?.startsWith("|")) rows.push(cells(lines.shift()));
  return el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Table" }, el("table", { class: "plain" },
    el("thead", {}, el("tr", {}, cells(first).map((cell) => el("th", { scope: "col" }, inline(cell))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, inline(cell))))))));
}

const ITEM = /^(\s*)(?:[-*]|\d+\.)\s+(.*)$/;

function list(lines, first) {
  const items = [ITEM.exec(first)[2]];
  while (lines.length && (ITEM.test(lines[0]) || /^\s+\S/.test(lines[0]))) {
    const line = lines.shift();
    const item = ITEM.exec(line);
    if (item) items.push(item[2]);
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return el(/^\s*\d/.test(first) ? "ol" : "ul", {}, items.map((item) => el("li", {}, inline(item))));
}

function paragraph(lines, first) {
  const words = [first];
  while (lines.length && lines[0].trim() && !/^(#|```|\|)/.test(lines[0]) && !ITEM.test(lines[0])) words.push(lines.shift());
  return el("p", {}, inline(words.join(" ")));
}

export function markdownView({ markdown }) {
  const lines = markdown.split("\n");
  const made = [el("nav", { "aria-label": "Where this is" }, el("a", { href: "#/" }, "All streams"))];
  while (lines.length) {
    const line = lines.shift();
    const heading = /^(#{1,4}) (.*)$/.exec(line);
    if (!line.trim()) continue;
    if (heading) made.push(el(`h${heading[1].length}`, heading[1].length === 1 ? { tabindex: "-1" } : {}, inline(heading[2])));
    else if (line.trimStart().startsWith("```")) made.push(code(lines, "```"));
    else if (line.startsWith("|")) made.push(tableOf(lines, line));
    else if (ITEM.test(line)) made.push(list(lines, line));
    else made.push(paragraph(lines, line));
  }
  return [el("article", { class: "page" }, made)];
}
