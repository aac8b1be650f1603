// Every parameter of every device: which have a code, and what the others may be.
import { readFrom } from "/ask.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { mappingWords } from "/mapping-words.mjs";
import { age } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 60_000;
let list = null, readMs = 0, problem = "";

const past = ms => age(list.now + performance.now() - readMs - ms);
const asks = of => of.unmapped + of.unit_in_doubt;

function draw() {
  const w = mappingWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && words[problem]);
  set($("about-mapping"), w.about);
  if (!list) return;
  const devices = list.devices.toSorted((a, b) => asks(b) - asks(a)), mapped = devices.reduce((sum, of) => sum + of.mapped, 0);
  set($("summary"), devices.length ? w.summary(mapped, mapped + devices.reduce((sum, of) => sum + asks(of), 0)) : w.none);
  reconcile($("items"), devices.map(each => [each.device, each]), makeDevice, drawDevice);
}

function makeDevice() {
  const table = make("table", "", make("thead", "", make("tr")), make("tbody")), details = make("details", "", make("summary"), make("div", "wide", table));
  details.addEventListener("toggle", draw);
  return make("article", "item", make("h2"), make("p", "now"), details);
}

function drawDevice(item, of) {
  const w = mappingWords(), [title, now, details] = item.children, table = details.querySelector("table");
  title.id = `device-${of.device}`;
  item.setAttribute("aria-labelledby", title.id);
  set(title, `${of.bed ?? w.nowhere} · ${of.name}`);
  set(now, w.coverage(of.mapped, of.unmapped, of.unit_in_doubt));
  now.className = asks(of) ? "now warning" : "now";
  set(details.firstChild, w.parameters(of.parameters.length));
  reconcile(table.tHead.rows[0], w.columns.map((each, i) => [i, each]), () => Object.assign(make("th"), { scope: "col" }), set);
  // A ward has thousands of parameters: those of a device that nobody opened are no rows.
  const shown = details.open ? of.parameters : [];
  reconcile(table.tBodies[0], shown.map((each, i) => [i, each]), () => make("tr", "", ...w.columns.map(() => make("td"))), (row, each) => {
    const cells = [each.name, w.states[each.state], each.unit, each.samples.join(", "), String(each.count), w.ago(past(each.last)),
      each.proposals.map(one => w.proposal(one, one[language])).join(" | ")];
    cells.forEach((text, i) => set(row.cells[i], text));
  });
}

async function read() {
  const { found, problem: why } = await readFrom("/parameter-list");
  if (found) [list, readMs] = [found, performance.now()];
  problem = why;
  draw();
}

openFrame(draw);
setInterval(() => document.hidden || read(), EVERY_MS);
document.addEventListener("visibilitychange", read);
read();
