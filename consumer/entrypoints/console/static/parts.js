// Pieces that several views share.

import { el } from "./dom.js";
import { instant } from "./format.js";

const MARKS = {
  active: "●", halted: "■", new: "○", danger: "▲", published: "●", empty: "○", writing: "◐", publishing: "◑",
  failed: "✕", withdrawn: "↺",
};

// The sign before the word tells the same without colour.
export function badge(state) {
  return el("span", { class: `badge is-${state}` }, el("span", { "aria-hidden": "true" }, MARKS[state] ?? "●"), ` ${state}`);
}

export function time(text) {
  return text ? el("time", { datetime: text }, instant(text)) : "–";
}

export function facts(...pairs) {
  return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// Roles are given in full: on a phone the table is laid out as cards, which would take them away.
export function table(caption, columns, rows, { unseenCaption = false } = {}) {
  return el("table", { role: "table" },
    el("caption", { class: unseenCaption ? "unseen" : null }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
      columns.map((column) => el("th", { role: "columnheader", scope: "col", class: column.class }, column.name)))),
    el("tbody", { role: "rowgroup" }, rows.map(({ key, cells, class: kind }) => el("tr", { role: "row", "data-key": key, class: kind },
      cells.map((cell, at) => el(at ? "td" : "th",
        { role: at ? "cell" : "rowheader", scope: at ? null : "row", "data-label": columns[at].name, class: columns[at].class }, cell))))));
}

export const streamLink = (name) => el("a", { href: `#/streams/${encodeURIComponent(name)}` }, name);

export function batchAddress(stream, id) {
  return `#/streams/${encodeURIComponent(stream)}/batches/${encodeURIComponent(id)}`;
}

export function runbookLink(page) {
  return el("a", { class: "runbook", href: `#/runbooks/${encodeURIComponent(page)}` }, `Runbook: ${page.replaceAll("-", " ")}`);
}

// What is wrong with a stream, and what to do; nothing if all is well.
export function complaints(stream) {
  const said = [];
  if (stream.state === "halted") {
    said.push(el("p", { class: "reason" }, el("strong", {}, "Halted: "), stream.halt_reason),
      el("p", {}, el("strong", {}, "Remedy: "), stream.halt_remedy));
  }
  if (stream.time_to_loss?.in_danger) {
    said.push(el("p", { class: "reason" }, el("strong", {}, "In danger: "),
      `rows may be deleted from ${stream.source} at ${instant(stream.time_to_loss.at)} UTC by its TTL ${stream.time_to_loss.clause}`));
  }
  if (stream.open_findings) {
    said.push(el("p", {}, el("strong", {}, "Findings: "), `${stream.open_findings} in the source that nobody has accepted`));
  }
  if (stream.latest?.status === "failed") {
    said.push(el("p", {}, el("strong", {}, "Last batch failed: "), stream.latest.error));
  }
  if (said.length && stream.runbook) said.push(el("p", {}, runbookLink(stream.runbook)));
  return said;
}
