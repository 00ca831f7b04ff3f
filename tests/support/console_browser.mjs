// Looks at the console in a headless Chromium, and writes what it found to standard output as JSON: the tests judge it.
// Arguments: the folder of `make browser`, the console's address, the token, and a folder for screenshots (or nothing).

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [home, address, token, shots] = process.argv.slice(2);
const modules = createRequire(join(home, "package.json"));
const { chromium } = modules("playwright-core");
const axe = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf-8");
const unpacked = join(home, "chromium");
Object.assign(process.env, {
  LD_LIBRARY_PATH: `${join(unpacked, "al2023", "lib")}:${unpacked}`,
  FONTCONFIG_FILE: join(unpacked, "fonts.conf"),
});

const DESK = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 780 };
const LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const FULL = "main table, main figure, main article";

const browser = await chromium.launch({
  executablePath: join(unpacked, "chromium"), chromiumSandbox: false, args: ["--headless=shell", "--no-zygote", "--disable-gpu"],
});

async function open(options, hash = "#/") {
  const context = await browser.newContext({ colorScheme: "light", ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.asked = new Set();
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  page.on("request", (request) => page.asked.add(new URL(request.url()).origin));
  await page.addInitScript(axe);
  await page.addInitScript(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(address + hash);
  await page.waitForSelector(FULL);
  return page;
}

async function judged(page) {
  return page.evaluate(async (tags) => {
    const { violations } = await window.axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")} (${one.nodes.length})`);
  }, LEVELS);
}

// Everything of a view that tests ask about, in one visit.
async function look(name, options, hash, { filter, shot } = {}) {
  const page = await open(options, hash);
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  if (shot && shots) await page.screenshot({ path: join(shots, `${shot}.png`) });
  // The rows are alike: a few of them are judged as well as all, and sooner.
  if (filter) await page.fill("#named", filter);
  const seen = {
    paint,
    axe: await judged(page),
    overflow: await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
    small: await page.evaluate(() => [...document.querySelectorAll("button, input, select, header a")]
      .filter((one) => one.getClientRects().length && one.getBoundingClientRect().height < 24).map((one) => one.outerHTML.slice(0, 80))),
    ground: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    moves: await page.evaluate(() => getComputedStyle(document.getElementById("hold")).transitionDuration),
    text: await page.evaluate(() => document.body.innerText),
    stolen: await page.evaluate(() => window.stolen ?? null),
    foreign: await page.evaluate(() => document.querySelectorAll("main script, main img, main b, main iframe, [onclick], [onerror]").length),
    violations: await page.evaluate(() => window.violations),
    complaints: page.complaints,
    asked: [...page.asked],
  };
  await page.context().close();
  return [name, seen];
}

// From the first Tab on, what has the focus: until the document's end, or enough.
async function stops(page, most) {
  const found = [];
  while (found.length < most) {
    await page.keyboard.press("Tab");
    const here = await page.evaluate(() => {
      const one = document.activeElement;
      const style = getComputedStyle(one);
      const rect = one.querySelector("rect");
      const visible = style.outlineStyle !== "none" || (rect && getComputedStyle(rect).stroke !== "none");
      return one === document.body ? null : { name: one.id || one.getAttribute("aria-label") || one.textContent.trim(), tag: one.localName, visible };
    });
    if (!here) break;
    found.push(here);
  }
  return found;
}

async function keyboard() {
  const page = await open({ viewport: DESK });
  const overview = await stops(page, 12);
  await page.fill("#named", "stream_000");
  await page.focus("main tbody th a");
  await page.keyboard.press("Enter");
  await page.waitForSelector("figure a.mark");
  const heading = await page.evaluate(() => document.activeElement.localName);
  const inside = await stops(page, 4);
  await page.focus('figure[data-plot="windows"] a[tabindex="0"]');
  const first = await page.evaluate(() => document.activeElement.dataset.key);
  await page.keyboard.press("ArrowLeft");
  const moved = await page.evaluate(() => [document.activeElement.dataset.key, document.querySelector(".said").textContent, document.activeElement.dataset.said]);
  const fresh = await page.textContent("#freshness");
  await page.waitForFunction((before) => document.getElementById("freshness").textContent !== before, fresh);
  const kept = await page.evaluate(() => document.activeElement.dataset.key);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("h1").textContent.startsWith("Batch"));
  const batch = await page.evaluate(() => location.hash);
  await page.goBack();
  await page.waitForSelector("figure a.mark");
  await page.context().close();
  return { overview, heading, inside, first, moved, kept, batch };
}

// Two tabs: what is done in one is seen, and told, in the other.
async function live() {
  const watching = await open({ viewport: DESK });
  const acting = await open({ viewport: DESK }, "#/streams/stream_020");
  const before = await watching.evaluate(() => document.querySelector(".tile:nth-child(2) dd").textContent);
  await acting.fill("#token", "not-the-token-at-all");
  await acting.click('form[data-form="pause"] button');
  await acting.waitForFunction(() => document.getElementById("outcome").textContent);
  const refused = await acting.evaluate(() => document.getElementById("outcome").textContent);
  await acting.fill("#token", token);
  await acting.fill("#reason", "the disk is moved");
  await acting.click('form[data-form="pause"] button');
  await acting.waitForSelector('form[data-form="resume"]');
  const paused = await acting.evaluate(() => document.querySelector("main").innerText);
  await watching.waitForFunction(() => document.getElementById("said").textContent.includes("stream_020"));
  const told = await watching.evaluate(() => [document.getElementById("said").textContent, document.querySelector(".tile:nth-child(2) dd").textContent]);
  await acting.fill("#token", token);
  await acting.click('form[data-form="resume"] button');
  await acting.waitForSelector('form[data-form="pause"]');
  await watching.click("#hold");
  const held = await watching.evaluate(() => document.getElementById("hold").getAttribute("aria-pressed"));
  const stored = await acting.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]);
  const outcome = { before, refused, paused, told, held, stored, complaints: watching.complaints, kept: await acting.inputValue("#token") };
  await watching.context().close();
  await acting.context().close();
  return outcome;
}

async function drill() {
  const page = await open({ viewport: DESK }, "#/streams/stream_007");
  await page.click("main a.runbook");
  await page.waitForSelector("article h1");
  const runbook = await page.evaluate(() => [document.querySelector("h1").textContent, document.querySelectorAll("article pre").length, document.title]);
  await page.goto(`${address}#/streams/stream_000`);
  await page.waitForSelector("figure a.mark");
  const shown = await page.evaluate(() => document.querySelectorAll("main tbody tr").length);
  await page.click("text=Older batches");
  await page.waitForFunction(() => location.hash.includes("before=") && document.querySelector("main caption")?.textContent.startsWith("Older"));
  const older = await page.evaluate(() => document.querySelectorAll("main tbody tr").length);
  await page.context().close();
  return { runbook, shown, older };
}

const desk = (colorScheme) => ({ viewport: DESK, colorScheme });
const phone = { viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 1 };
const [batch] = process.argv.slice(6);
const views = Object.fromEntries([
  await look("streams", desk("light"), "#/", { filter: "stream_00", shot: "console-streams-light" }),
  await look("streams-dark", desk("dark"), "#/", { filter: "stream_00" }),
  await look("stream", desk("light"), "#/streams/stream_000"),
  await look("stream-dark", desk("dark"), "#/streams/stream_000", { shot: "console-stream-dark" }),
  await look("hostile", desk("light"), "#/streams/stream_003"),
  await look("batch", desk("light"), `#/streams/stream_000/batches/${batch}`, { shot: "console-batch-light" }),
  await look("runbook", desk("dark"), "#/runbooks/repair-a-stream"),
  await look("streams-phone", phone, "#/", { filter: "stream_00" }),
  await look("stream-phone", { ...phone, colorScheme: "dark" }, "#/streams/stream_007", { shot: "console-stream-phone" }),
  await look("batch-phone", phone, `#/streams/stream_000/batches/${batch}`),
  await look("still", { ...desk("light"), reducedMotion: "reduce" }, "#/runbooks/pause-a-stream"),
]);
const found = { version: browser.version(), views, keyboard: await keyboard(), live: await live(), drill: await drill() };
await browser.close();
process.stdout.write(JSON.stringify(found));
