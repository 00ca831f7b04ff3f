// What the page asks the consumer for. Paths are relative: a proxy may put a prefix before them.

const API = "../api/";
const PAGE = 200;
const PAGES = 20;

export class Refused extends Error {
  constructor(status, body) {
    super(body.remedy ? `${body.error}; ${body.remedy}` : body.error ?? `HTTP ${status}`);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const answer = await fetch(API + path, { credentials: "same-origin", redirect: "error", ...options });
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export async function streams(signal) {
  let page = await ask(`streams?limit=${PAGE}`, { signal });
  const whole = page;
  for (let pages = 1; page.next && pages < PAGES; pages += 1) {
    page = await ask(`streams?limit=${PAGE}&after=${encodeURIComponent(page.next)}`, { signal });
    whole.streams.push(...page.streams);
  }
  whole.next = page.next;
  return whole;
}

export const stream = (name, signal) => ask(`streams/${encodeURIComponent(name)}`, { signal });

export function batches(name, before, limit, signal) {
  const from = before ? `&before=${encodeURIComponent(before)}` : "";
  return ask(`streams/${encodeURIComponent(name)}/batches?limit=${limit}${from}`, { signal });
}

export const batch = (id, signal) => ask(`batches/${encodeURIComponent(id)}`, { signal });

export function files(id, after, signal) {
  const from = after ? `&after=${encodeURIComponent(after)}` : "";
  return ask(`batches/${encodeURIComponent(id)}/files?limit=100${from}`, { signal });
}

export const runbook = (page, signal) => ask(`runbooks/${encodeURIComponent(page)}`, { signal });

export function act(name, action, token, asked) {
  return ask(`streams/${encodeURIComponent(name)}/${action}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Icehaul-Token": token },
    body: JSON.stringify(asked),
  });
}
