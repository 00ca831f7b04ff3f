// One batch: where its rows come from, what it wrote, and where it is seen.

import { el } from "./dom.js";
import { count, duration, number, size, span, took } from "./format.js";
import { badge, facts, streamLink, table, time } from "./parts.js";

const COLUMNS = [{ name: "File" }, { name: "Task" }, { name: "Rows" }, { name: "Size" }, { name: "Digest" }];

function file(one) {
  return { key: one.path, cells: [el("code", {}, one.path), one.unit, number(one.rows), size(one.bytes), el("code", {}, one.digest)] };
}

function more(stream, id, page) {
  return page.next && el("p", {}, el("a", {
    href: `#/streams/${encodeURIComponent(stream)}/batches/${encodeURIComponent(id)}?after=${encodeURIComponent(page.next)}`,
  }, "More files"));
}

export function batchView({ stream, batch, owner, epoch, event, event_ids: ids, files: amount, count_limit: limit }, page) {
  return [
    el("nav", { "aria-label": "Where this is" }, el("a", { href: "#/" }, "All streams"), " › ", streamLink(stream)),
    el("h1", { tabindex: "-1" }, `Batch ${batch.batch_id.slice(0, 8)} `, badge(batch.status)),
    batch.error && el("section", { class: "card bad", "aria-label": "What is wrong" },
      el("p", { class: "reason" }, el("strong", {}, "Error: "), batch.error)),
    facts(["Window (UTC)", span(batch.lower, batch.upper)], ["Kind", batch.kind], ["Rows", number(batch.rows)], ["Size", size(batch.bytes)],
      ["Snapshot id", batch.snapshot_id && el("code", {}, batch.snapshot_id)], ["Trace id", batch.trace_id && el("code", {}, batch.trace_id)],
      ["Batch id", el("code", {}, batch.batch_id)], ["Digest of the rows", batch.digest && el("code", {}, batch.digest)],
      ["Generation", batch.generation], ["Attempts", batch.attempts], ["Started (UTC)", time(batch.started)],
      ["Took", duration(took(batch))], ["Written by", `${owner}, epoch ${epoch}`],
      ["Event", event && `${event.topic}, partition ${event.partition}, offset ${event.offset}`]),
    batch.snapshot_id && el("p", {}, "The whole trace, in a terminal: ", el("code", {}, `icehaul trace --snapshot ${batch.snapshot_id}`)),
    ids.length ? el("details", {}, el("summary", {}, `Events it was attempted for (${number(ids.length)})`),
      el("ul", {}, ids.map((id) => el("li", {}, el("code", {}, id))))) : null,
    el("section", {}, el("h2", {}, "Files"),
      page.files.length ? table(`${count(amount, limit)} files of all attempts, by path`, COLUMNS, page.files.map(file)) : el("p", {}, "No file."),
      more(stream, batch.batch_id, page)),
  ];
}
