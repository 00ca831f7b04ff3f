// How figures, spans and instants are written; all instants are UTC.

const UNITS = [["d", 86400], ["h", 3600], ["m", 60]];
export const BEGINNING = Date.UTC(1900, 0, 1);

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (Math.abs(seconds) < 60) return `${Math.abs(seconds) < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const sign = seconds < 0 ? "−" : "";
  let rest = Math.round(Math.abs(seconds));
  const parts = [];
  for (const [unit, size] of UNITS) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return sign + parts.slice(0, 2).join(" ");
}

export function instant(text) {
  if (!text) return "–";
  const at = new Date(text);
  return at.getTime() <= BEGINNING ? "beginning" : at.toISOString().slice(0, 19).replace("T", " ");
}

export function span(lower, upper) {
  return `${instant(lower)} → ${instant(upper)}`;
}

export function number(value) {
  return value.toLocaleString("en-US");
}

export function count(value, limit) {
  return value >= limit ? `${number(limit)} or more` : number(value);
}

export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let rest = bytes;
  for (; rest >= 1024 && at < units.length - 1; at += 1) rest /= 1024;
  return `${at ? rest.toFixed(1) : rest} ${units[at]}`;
}

export function took(batch) {
  return batch.ended ? (new Date(batch.ended) - new Date(batch.started)) / 1000 : null;
}

export function loss(time) {
  if (!time) return { text: "unknown", level: "warn" };
  if (time.in_danger) return { text: duration(time.seconds), level: "bad" };
  if (time.unknown_clauses.length) return { text: "unknown", level: "warn" };
  return { text: time.seconds === null ? "never" : duration(time.seconds), level: "" };
}
