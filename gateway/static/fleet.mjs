// Every box: whether its data flows, what waits on it, and what it said of itself last.
import { readFrom } from "/ask.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { fleetWords } from "/fleet-words.mjs";
import { openFrame } from "/frame.mjs";
import { age, stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 5000, DAY_MS = 86_400_000, ENDS_SOON_DAYS = 14, CLOCK_OFF_MS = 2000, DISK_LOW = 2e9;
const FACTS = ["ward", "version", "certificate", "key", "clock", "disk", "spool", "oldest", "heard"];
const WORST = ["refused", "unheard", "late", "no_values", "never", "flows"];
let list = null, readMs = 0, problem = "";

const nowMs = () => list.now + performance.now() - readMs;
const past = ms => age(nowMs() - ms);
const wardName = key => key.split("^").at(-1);
const gigabytes = bytes => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`;

function draw() {
  const w = fleetWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && words[problem]);
  set($("about-green"), w.aboutGreen);
  if (!list) return;
  const boxes = list.boxes.toSorted((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state));
  set($("summary"), boxes.length ? w.summary(boxes.filter(each => each.state === "flows").length, boxes.length) : w.none);
  reconcile($("items"), boxes.map(each => [each.edge, each]), makeBox, drawBox);
}

function makeBox() {
  const facts = make("dl"), table = make("table", "", make("thead", "", make("tr")), make("tbody")), devices = make("details", "", make("summary"), make("div", "wide", table));
  for (const each of FACTS) {
    const row = make("div", "", make("dt"), make("dd"));
    row.dataset.fact = each;
    facts.append(row);
  }
  return make("article", "item", make("h2"), make("p", "now"), make("p", "why"), facts, devices);
}

function drawBox(box, of) {
  const w = fleetWords(), [title, now, why, facts, devices] = box.children;
  title.id = `box-${of.edge}`;
  box.setAttribute("aria-labelledby", title.id);
  set(title, of.label);
  set(now, w.states[of.state]);
  now.className = `now state ${of.state === "flows" ? "flows" : "warning"}`;
  set(why, of[language] || (of.state === "refused" ? w.refused(of.refused) : of.state === "no_values" ? w.noValues(of.newest === null ? "" : past(of.newest)) : ""));
  for (const row of facts.children) {
    const { text, warns } = factOf(row.dataset.fact, of, w);
    set(row.firstChild, w.facts[row.dataset.fact]);
    set(row.lastChild, text);
    row.classList.toggle("warning", Boolean(warns));
  }
  set(devices.firstChild, w.devices(of.devices.length));
  const table = devices.querySelector("table");
  reconcile(table.tHead.rows[0], w.columns.map((each, i) => [i, each]), () => Object.assign(make("th"), { scope: "col" }), set);
  reconcile(table.tBodies[0], of.devices.map((each, i) => [i, each]), () => make("tr", "", make("td"), make("td"), make("td")), (row, each) => {
    const cells = [each.name, each.bed ?? w.nowhere, each.heard === null ? w.never : w.ago(past(each.heard))];
    cells.forEach((text, i) => set(row.cells[i], text));
  });
}

// What it says, and whether somebody is to look at it.
function factOf(fact, of, w) {
  const unknown = { text: w.unknown };
  switch (fact) {
    case "ward": return of.wards.length ? { text: of.wards.map(wardName).join(", ") } : unknown;
    case "version": return of.version === null ? unknown : of.version === list.version ? { text: of.version } : { text: w.older(of.version), warns: true };
    case "certificate": return of.certificate_ends === null ? unknown : endOf(of.certificate_ends, w);
    case "key": return of.key_ends === null ? { text: w.noEnd } : endOf(of.key_ends, w);
    case "clock": return of.clock_ms === null ? unknown : { text: `${of.clock_ms > 0 ? "+" : ""}${Math.round(of.clock_ms)} ms`, warns: Math.abs(of.clock_ms) > CLOCK_OFF_MS };
    case "disk": return of.disk_free === null ? unknown : { text: gigabytes(of.disk_free), warns: of.disk_free < DISK_LOW };
    case "spool": return of.spool === null || of.quota === null ? unknown : { text: spoolOf(of, w), warns: of.spool > of.quota / 2 };
    case "oldest": return of.oldest_s === null ? unknown : { text: w.seconds(Math.round(of.oldest_s)), warns: of.oldest_s > 30 };
    default: return of.heard === null ? { text: w.never, warns: true } : { text: w.ago(past(of.heard)), warns: of.state === "unheard" };
  }
}

function endOf(ms, w) {
  const days = Math.floor((ms - nowMs()) / DAY_MS);
  return { text: `${stamp(ms).slice(0, 10)} (${w.left(days)})`, warns: days < ENDS_SOON_DAYS };
}

function spoolOf(of, w) {
  const depth = w.spool(gigabytes(of.spool), gigabytes(of.quota), of.waiting ?? 0, of.unreceipted ?? 0);
  return of.room_s === null ? depth : `${depth}; ${w.room(w.hours(Math.floor(of.room_s / 3600)))}`;
}

async function read() {
  const { found, problem: why } = await readFrom("/fleet-list");
  if (found) [list, readMs] = [found, performance.now()];
  problem = why;
  draw();
}

openFrame(draw);
setInterval(() => document.hidden || read(), EVERY_MS);
document.addEventListener("visibilitychange", read);
read();
