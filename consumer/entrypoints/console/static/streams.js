// All streams: what needs somebody first, then the table.

import { el, svg } from "./dom.js";
import { count, duration, loss, number } from "./format.js";
import { badge, complaints, streamLink, table, time } from "./parts.js";

const COLUMNS = [
  { name: "Stream" }, { name: "State" }, { name: "Watermark (UTC)" }, { name: "Lag", class: "plotted" },
  { name: "Time to loss" }, { name: "Parked" }, { name: "Last batch" },
];

export const trouble = (stream) => stream.state === "halted" || Boolean(stream.time_to_loss?.in_danger);
const rank = (stream) => (stream.state === "halted" ? 0 : stream.time_to_loss?.in_danger ? 1 : stream.open_findings ? 2 : 3);

const CHOICES = { all: () => true, trouble, active: (stream) => stream.state === "active", halted: (stream) => stream.state === "halted" };

function tile(name, value, level = "") {
  return el("div", { class: `tile ${level}` }, el("dt", {}, name), el("dd", {}, value));
}

function tiles(streams) {
  const halted = streams.filter((one) => one.state === "halted").length;
  const danger = streams.filter((one) => one.time_to_loss?.in_danger).length;
  const lags = streams.map((one) => one.lag_seconds).filter((lag) => lag !== null);
  const working = streams.filter((one) => one.now?.live).length;
  return el("dl", { class: "tiles" },
    tile("streams", number(streams.length)), tile("halted", number(halted), halted ? "bad" : ""),
    tile("in danger of loss", number(danger), danger ? "bad" : ""), tile("worked on now", number(working)),
    tile("largest lag", lags.length ? duration(Math.max(...lags)) : "–"));
}

// Lags lie between seconds and months: the bar's length is their logarithm.
function lagBar(lag, most) {
  const share = lag > 1 && most > 1 ? Math.log(lag) / Math.log(most) : 0;
  return svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "track", width: 100, height: 6 }), svg("rect", { class: "level", width: (share * 100).toFixed(1), height: 6 }));
}

function lastBatch(stream) {
  if (!stream.latest) return "–";
  return el("span", {}, badge(stream.latest.status), ` ${number(stream.latest.rows)} rows, `, time(stream.latest.started));
}

function row(stream, most, limit) {
  const left = loss(stream.time_to_loss);
  return {
    key: stream.name,
    class: trouble(stream) ? "in-trouble" : null,
    cells: [
      [streamLink(stream.name), el("small", {}, ` ${stream.layer}`)],
      stream.time_to_loss?.in_danger && stream.state !== "halted" ? badge("danger") : badge(stream.state),
      time(stream.watermark),
      stream.lag_seconds === null ? "–" : [duration(stream.lag_seconds), lagBar(stream.lag_seconds, most)],
      el("span", { class: left.level }, left.text), count(stream.parked_events, limit), lastBatch(stream),
    ],
  };
}

function controls(choice) {
  return el("form", { class: "controls", role: "search", "data-form": "filter" },
    el("label", { for: "named" }, "Name contains"),
    el("input", { id: "named", type: "search", autocomplete: "off", spellcheck: "false", "data-input": "named" }),
    el("label", { for: "shown" }, "Show"),
    el("select", { id: "shown", "data-input": "shown" }, Object.keys(CHOICES).map((name) =>
      el("option", { value: name, selected: name === choice },
        { all: "all streams", trouble: "halted or in danger", active: "active", halted: "halted" }[name]))));
}

function attention(streams) {
  const concerned = streams.filter((one) => rank(one) < 3).sort((one, other) => rank(one) - rank(other));
  if (!concerned.length) return el("p", { class: "well" }, "Nothing is halted, in danger or waiting for an operator.");
  const shown = concerned.slice(0, 12);
  return el("section", { "aria-labelledby": "attention" }, el("h2", { id: "attention" }, "Needs somebody"),
    el("ul", { class: "cards" }, shown.map((one) =>
      el("li", { class: `card ${trouble(one) ? "bad" : "warn"}`, "data-key": one.name }, el("h3", {}, streamLink(one.name)), complaints(one)))),
    concerned.length > shown.length && el("p", {}, `and ${concerned.length - shown.length} more, first in the table`));
}

export function streamsView(data, { named, shown }) {
  const wanted = data.streams.filter((one) => one.name.includes(named) && (CHOICES[shown] ?? CHOICES.all)(one))
    .sort((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1));
  const most = Math.max(1, ...data.streams.map((one) => one.lag_seconds ?? 0));
  return [
    el("h1", { tabindex: "-1" }, "Streams"), tiles(data.streams), attention(data.streams), controls(shown),
    table(`${number(wanted.length)} of ${number(data.streams.length)} streams, those in trouble first`, COLUMNS,
      wanted.map((one) => row(one, most, data.count_limit))),
    data.next && el("p", {}, `Streams after ${data.next} are not shown; icehaul status lists them.`),
  ];
}
