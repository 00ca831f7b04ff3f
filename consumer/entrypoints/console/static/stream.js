// One stream: its facts, its plots, its batches, and what may be done with it.

import { el } from "./dom.js";
import { count, duration, loss, number, size, span, took } from "./format.js";
import { badge, batchAddress, complaints, facts, table, time } from "./parts.js";
import { timeline } from "./timeline.js";

const COLUMNS = [
  { name: "Window (UTC)" }, { name: "Kind" }, { name: "Status" }, { name: "Rows" }, { name: "Size" }, { name: "Took" },
  { name: "Tries" }, { name: "Started (UTC)" },
];

function working(now) {
  if (!now) return "nobody";
  if (!now.live) return `left by ${now.owner}; the next event goes on`;
  return now.batch_id ? `written by ${now.owner}, for ${duration(now.age_seconds)}` : `planned by ${now.owner}`;
}

function batchRow(stream, batch) {
  return {
    key: batch.batch_id,
    cells: [
      el("a", { href: batchAddress(stream, batch.batch_id) }, span(batch.lower, batch.upper)), batch.kind, badge(batch.status),
      number(batch.rows), size(batch.bytes), duration(took(batch)), batch.attempts, time(batch.started),
    ],
  };
}

function findings(found) {
  if (!found.length) return null;
  return el("section", {}, el("h2", {}, "Findings"), el("ul", {}, found.map((one) =>
    el("li", {}, `${one.kind}: ${one.detail}, in the window ${span(one.lower, one.upper)}`))));
}

function controls(stream) {
  const halted = stream.state === "halted";
  return el("section", { "aria-labelledby": "act" }, el("h2", { id: "act" }, halted ? "Resume" : "Pause"),
    el("form", { class: "controls", "data-form": halted ? "resume" : "pause", "data-stream": stream.name, "data-key": halted ? "resume" : "pause" },
      el("label", { for: "token" }, "Token"),
      el("input", { id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-hint" }),
      halted ? [el("input", { id: "accept", type: "checkbox" }), el("label", { for: "accept" }, "accept the findings")]
        : [el("label", { for: "reason" }, "Reason"), el("input", { id: "reason", type: "text", maxlength: "500", autocomplete: "off" })],
      el("button", { type: "submit" }, halted ? `Resume ${stream.name}` : `Pause ${stream.name}`)),
    el("p", { id: "token-hint" }, "The token is that of consumer.console_token; it is sent with this one request and kept nowhere."),
    el("p", { id: "outcome", role: "status" }));
}

function paging(name, page, older) {
  return el("nav", { class: "paging", "aria-label": "Pages of batches" },
    older && el("a", { href: `#/streams/${encodeURIComponent(name)}` }, "Newest batches"),
    page.next && el("a", { href: `#/streams/${encodeURIComponent(name)}?before=${encodeURIComponent(page.next)}` }, "Older batches"));
}

export function streamView({ stream, findings: found, actions, count_limit: limit }, page, { width, chosen, older }) {
  const left = loss(stream.time_to_loss);
  const said = complaints(stream);
  const bad = stream.state === "halted" || stream.time_to_loss?.in_danger;
  return [
    el("nav", { "aria-label": "Where this is" }, el("a", { href: "#/" }, "All streams")),
    el("h1", { tabindex: "-1" }, stream.name, " ", badge(stream.state)),
    said.length ? el("section", { class: `card ${bad ? "bad" : "warn"}`, "aria-label": "What is wrong" }, said) : null,
    facts(["Watermark (UTC)", time(stream.watermark)], ["Lag", duration(stream.lag_seconds)],
      ["Time to loss", el("span", { class: left.level }, left.text)], ["Source", stream.source], ["Target", stream.target],
      ["Layer", stream.layer], ["Worked on", working(stream.now)], ["Parked events", count(stream.parked_events, limit)],
      ["Open backfills", count(stream.open_backfills, limit)]),
    el("section", { "aria-labelledby": "timeline" }, el("h2", { id: "timeline" }, "Timeline"),
      timeline(stream.name, page.batches, { watermark: stream.watermark, width, chosen })),
    findings(found),
    actions ? controls(stream) : null,
    el("section", {}, el("h2", {}, "Batches"),
      table(older ? "Older batches, newest first" : "Latest batches, newest first", COLUMNS, page.batches.map((one) => batchRow(stream.name, one))),
      paging(stream.name, page, older)),
  ];
}
