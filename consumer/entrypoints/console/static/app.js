// Leads from the address to a view, asks for its data again and again, and tells what has changed.

import * as api from "./api.js";
import { batchView } from "./batch.js";
import { el, renew } from "./dom.js";
import { markdownView } from "./markdown.js";
import { streamView } from "./stream.js";
import { streamsView, trouble } from "./streams.js";
import { moveAlong, tell } from "./timeline.js";

const EVERY = 3000;
const LONGEST = 30000;
const BATCHES = 100;

const main = document.getElementById("main");
const part = (id) => document.getElementById(id);
const state = { named: "", shown: "all", chosen: {}, held: false, troubled: null, pause: EVERY, drawn: null, draw: null, width: 0, still: false };
let timer = null;
let asking = null;

// Each view asks for its data, and returns how they are drawn: drawing again needs no new data.
async function streamsRoute(signal) {
  const data = await api.streams(signal);
  announce(data.streams);
  return { title: "Streams", now: data.now, draw: () => streamsView(data, state) };
}

async function streamRoute(name, query, signal) {
  const older = query.get("before");
  const [data, page] = await Promise.all([api.stream(name, signal), api.batches(name, older, BATCHES, signal)]);
  return { title: name, now: data.now, draw: () => streamView(data, page, { width: main.clientWidth, chosen: state.chosen, older: Boolean(older) }) };
}

async function batchRoute(id, query, signal) {
  const [data, page] = await Promise.all([api.batch(id, signal), api.files(id, query.get("after"), signal)]);
  return { title: `Batch ${id.slice(0, 8)}`, draw: () => batchView(data, page) };
}

async function runbookRoute(page, signal) {
  const data = await api.runbook(page, signal);
  return { title: page.replaceAll("-", " "), still: true, draw: () => markdownView(data) };
}

function route(signal) {
  const [path, query] = location.hash.slice(1).split("?");
  const words = path.split("/").filter(Boolean).map(decodeURIComponent);
  const asked = new URLSearchParams(query);
  if (words[0] === "streams" && words[2] === "batches" && words[3]) return batchRoute(words[3], asked, signal);
  if (words[0] === "streams" && words[1]) return streamRoute(words[1], asked, signal);
  if (words[0] === "runbooks" && words[1]) return runbookRoute(words[1], signal);
  return streamsRoute(signal);
}

function show() {
  const focused = document.activeElement;
  renew(main, el("main", {}, state.draw()));
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

// Not every look is told to those who hear the page: only what has gone wrong since, or is well again.
function announce(streams) {
  const now = new Set(streams.filter(trouble).map((one) => one.name));
  if (state.troubled) {
    const fallen = [...now].filter((name) => !state.troubled.has(name));
    const well = [...state.troubled].filter((name) => !now.has(name));
    const said = [fallen.length && `halted or in danger: ${fallen.slice(0, 5).join(", ")}`, well.length && `well again: ${well.slice(0, 5).join(", ")}`];
    if (fallen.length || well.length) part("said").textContent = said.filter(Boolean).join("; ");
  }
  state.troubled = now;
}

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  const own = new AbortController();
  asking = own;
  const address = location.hash;
  try {
    const view = await route(own.signal);
    if (own !== asking) return;
    state.draw = view.draw;
    state.still = Boolean(view.still);
    show();
    arrive(address, view.title);
    part("trouble").textContent = "";
    part("freshness").textContent = `as of ${(view.now ?? new Date().toISOString()).slice(11, 19)} UTC`;
    state.pause = EVERY;
  } catch (error) {
    if (own !== asking) return;
    fail(error, address);
  }
  plan();
}

function arrive(address, title) {
  document.title = `${title} - icehaul`;
  if (state.drawn !== null && state.drawn !== address) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
  state.drawn = address;
}

function fail(error, address) {
  const missing = error instanceof api.Refused && error.status === 404;
  part("trouble").textContent = missing ? "There is nothing under this address." : `The consumer does not answer: ${error.message}. What is shown is old; it is asked again.`;
  if (missing) {
    state.draw = () => [el("h1", { tabindex: "-1" }, "Not found"), el("p", {}, el("a", { href: "#/" }, "All streams"))];
    show();
    arrive(address, "Not found");
  }
  state.pause = Math.min(LONGEST, state.pause * 2);
}

// Who does not look asks nothing.
function plan() {
  clearTimeout(timer);
  if (!state.held && !state.still && !document.hidden) timer = setTimeout(refresh, state.pause);
}

async function submit(form) {
  const kind = form.dataset.form;
  if (kind === "filter") return;
  const outcome = part("outcome");
  const field = form.querySelector("#token");
  try {
    const asked = kind === "pause" ? { reason: form.querySelector("#reason").value } : { accept_findings: form.querySelector("#accept").checked };
    const done = await api.act(form.dataset.stream, kind, field.value, asked);
    field.value = "";
    outcome.textContent = `${done.stream} is ${done.state}`;
    await refresh();
    part("said").textContent = `${done.stream} is ${done.state}`;
  } catch (error) {
    outcome.textContent = `Not done: ${error.message}`;
  }
}

addEventListener("hashchange", refresh);
document.addEventListener("visibilitychange", () => (document.hidden ? plan() : state.held || refresh()));
main.addEventListener("keydown", (event) => moveAlong(event, state.chosen));
main.addEventListener("focusin", (event) => tell(event.target));
main.addEventListener("mouseover", (event) => tell(event.target));
main.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(event.target);
});
main.addEventListener("input", ({ target }) => {
  if (!target.dataset.input) return;
  state[target.dataset.input] = target.value;
  show();
});
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
part("hold").addEventListener("click", ({ currentTarget }) => {
  state.held = !state.held;
  currentTarget.setAttribute("aria-pressed", String(state.held));
  if (state.held) plan();
  else refresh();
});
new ResizeObserver(() => {
  if (state.draw && state.width !== main.clientWidth) show();
  state.width = main.clientWidth;
}).observe(main);
refresh();
