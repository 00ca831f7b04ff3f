// Two plots of a stream's batches: the windows along the time of their rows, and the batches in the order they ran.

import { el, svg } from "./dom.js";
import { BEGINNING, duration, instant, number, size, span, took } from "./format.js";
import { batchAddress } from "./parts.js";

const KINDS = ["window", "backfill", "supplement", "replace-window", "maintenance"];
const LANE = 34;
const STEPS = [60, 300, 900, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000, 31536000];
const at = (text) => new Date(text).getTime();

export function sentence(batch) {
  const parts = [`${batch.kind} ${batch.status}`, span(batch.lower, batch.upper)];
  if (batch.rows) parts.push(`${number(batch.rows)} rows, ${size(batch.bytes)}`);
  if (took(batch) !== null && batch.status !== "empty") parts.push(`took ${duration(took(batch))}`);
  if (batch.attempts > 1) parts.push(`attempt ${batch.attempts}`);
  return parts.join(" · ");
}

// A window of an idle stream may be years wide, and the first one begins in 1900: those with rows say what is shown.
function extent(batches, watermark) {
  const full = batches.filter((one) => one.status !== "empty");
  const chosen = full.length ? full : batches;
  const uppers = chosen.map((one) => at(one.upper));
  const lowers = chosen.map((one) => at(one.lower)).filter((lower) => lower > BEGINNING);
  let high = Math.max(...uppers);
  if (watermark && at(watermark) > high && at(watermark) - high < (high - Math.min(...lowers, high)) / 2) high = at(watermark);
  const low = Math.min(...lowers, ...uppers.map((upper) => upper - 60000));
  return [low, Math.max(high, low + 60000)];
}

function ticks(low, high, width) {
  const step = (STEPS.find((one) => (high - low) / 1000 / one <= Math.max(2, width / 130)) ?? STEPS.at(-1)) * 1000;
  const found = [];
  for (let place = Math.ceil(low / step) * step; place <= high && found.length < 20; place += step) found.push(place);
  const write = (place) => new Date(place).toISOString().slice(...(step >= 86400000 ? [0, 10] : [5, 16])).replace("T", " ");
  return found.map((place) => [place, write(place)]);
}

function mark(stream, batch, chosen, shape) {
  return svg("a", {
    href: batchAddress(stream, batch.batch_id), class: `mark is-${batch.status}`, tabindex: chosen ? "0" : "-1",
    "aria-label": sentence(batch), "data-key": batch.batch_id, "data-said": sentence(batch),
  }, shape);
}

function plot(id, title, hint, width, height, ...content) {
  return el("figure", { class: "plot", "data-plot": id },
    el("figcaption", { id: `${id}-title` }, title),
    svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-said` }, content),
    el("p", { class: "said", id: `${id}-said`, "data-hint": hint }, hint));
}

const HINT = "Point at a mark, or move between them with the arrow keys; Enter opens the batch.";

function windows(stream, batches, watermark, width, chosen) {
  const [low, high] = extent(batches, watermark);
  const x = (place) => 2 + ((Math.min(Math.max(place, low), high) - low) / (high - low)) * (width - 4);
  const kinds = KINDS.filter((kind) => batches.some((one) => one.kind === kind));
  const bottom = kinds.length * LANE + 4;
  const labels = ticks(low, high, width).flatMap(([place, text]) => [
    svg("line", { class: "grid", x1: x(place), x2: x(place), y1: 0, y2: bottom }),
    x(place) < width - 70 && svg("text", { x: x(place) + 3, y: bottom + 13 }, text)]);
  const lanes = kinds.map((kind, lane) => svg("text", { class: "lane", x: 2, y: lane * LANE + 12 }, kind));
  const marks = [...batches].sort((one, other) => at(one.lower) - at(other.lower)).map((one) => {
    const [left, right] = [x(at(one.lower)), x(at(one.upper))];
    return mark(stream, one, one.batch_id === chosen,
      svg("rect", { x: left, y: kinds.indexOf(one.kind) * LANE + 16, width: Math.max(3, right - left - 1), height: 16, rx: 2 }));
  });
  const line = watermark && at(watermark) >= low && svg("line", { class: "watermark", x1: x(at(watermark)), x2: x(at(watermark)), y1: 0, y2: bottom });
  return plot("windows", `Windows, by the time of their rows (UTC)${line ? "; the line is the watermark" : ""}`, HINT, width, bottom + 20, labels, lanes, marks, line);
}

function runs(stream, batches, width, chosen) {
  const ordered = [...batches].reverse();
  const height = 96;
  const most = Math.max(1, ...ordered.map((one) => Math.log10(one.rows + 1)));
  const slot = Math.min(24, (width - 4) / ordered.length);
  const left = width - 2 - slot * ordered.length;
  const marks = ordered.map((one, place) => {
    const tall = one.status === "failed" ? height : Math.max(4, (Math.log10(one.rows + 1) / most) * height);
    return mark(stream, one, one.batch_id === chosen,
      svg("rect", { x: left + place * slot, y: height - tall + 2, width: Math.max(1.5, slot - 1.5), height: tall, rx: 1 }));
  });
  return plot("runs", "Batches in the order they ran, the newest at the right; the height is the logarithm of the rows", HINT, width, height + 22,
    svg("line", { class: "grid", x1: 0, x2: width, y1: height + 3, y2: height + 3 }), marks,
    svg("text", { x: 2, y: height + 17 }, `from ${instant(ordered[0].started)}`));
}

function legend(batches) {
  const present = [...new Set(batches.map((one) => one.status))].sort();
  return el("ul", { class: "legend", "aria-label": "What the colours mean" }, present.map((status) =>
    el("li", {}, svg("svg", { width: 14, height: 14, "aria-hidden": "true", class: `mark is-${status}` }, svg("rect", { x: 1, y: 1, width: 12, height: 12, rx: 2 })), ` ${status}`)));
}

// The stripes tell what failed, and what was withdrawn, without colour.
function patterns() {
  const stripes = (id, turned) => svg("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${turned})` },
    svg("rect", { class: "ground", width: 5, height: 5 }), svg("rect", { class: "stripe", width: 2.5, height: 5 }));
  return svg("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true", focusable: "false" }, svg("defs", {}, stripes("stripes-failed", 45), stripes("stripes-withdrawn", 135)));
}

export function timeline(stream, batches, { watermark, width, chosen }) {
  if (!batches.length) return el("p", {}, "No batch yet.");
  const known = (plotId, first) => (batches.some((one) => one.batch_id === chosen[plotId]) ? chosen[plotId] : first.batch_id);
  const first = batches[0];
  return el("div", { class: "timeline" }, patterns(), windows(stream, batches, watermark, width, known("windows", first)),
    runs(stream, batches, width, known("runs", first)), legend(batches));
}

// Arrow keys lead from mark to mark: a plot is one stop of the Tab key.
export function moveAlong(event, chosen) {
  const here = event.target.closest?.("a.mark");
  const figure = here?.closest("[data-plot]");
  if (!figure) return;
  const marks = [...figure.querySelectorAll("a.mark")];
  const places = { ArrowLeft: marks.indexOf(here) - 1, ArrowRight: marks.indexOf(here) + 1, Home: 0, End: marks.length - 1 };
  const next = marks[places[event.key]];
  if (!next) return;
  event.preventDefault();
  here.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  chosen[figure.dataset.plot] = next.dataset.key;
  next.focus();
}

export function tell(target) {
  const here = target.closest?.("a.mark");
  const said = here?.closest("[data-plot]")?.querySelector(".said");
  if (said) said.textContent = here.dataset.said;
}
