// A patient: who, where since when, by which way, what was believed before; and trends, drawn by uPlot.
import { readFrom } from "/ask.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { drawAsked, openFrame } from "/frame.mjs";
import { drawGlass } from "/glass.mjs";
import { dateOf, sexOf } from "/occupant.mjs";
import { stamp } from "/time.mjs";
import { drawTrends } from "/trends.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 30_000, HOURS = [1, 4, 12, 24, 0];  // 0: the stay
const key = location.pathname.slice("/patient/".length);  // as it stands in the address: encoded
let found = null, trend = null, hours = 4, problem = "";
const when = ms => ms === null ? "" : stamp(ms).slice(0, 16);

function draw() {
  set($("title"), found ? found.name || words.noName : words.patient);
  set($("problem"), problem && words[problem]);
  drawGlass(found?.glass_until ?? null);
  $("windows").setAttribute("aria-label", words.trends);
  reconcile($("windows"), HOURS.map(n => [n, n]), makeWindow, drawWindow);
  set($("legend"), words.legend);
  if (found) {
    drawAsked(found.asked);
    const stay = found.encounters.map(e => `${e[language]} ${when(e.admitted)} – ${when(e.discharged) || words.stillThere}`);
    set($("who"), [found.number, dateOf(found.birth_date), sexOf(found.sex), ...stay].filter(Boolean).join(" · "));
    $("charts").setAttribute("aria-label", words.keys.chart);
    const ways = [["chart", words.toChart], ["grants", words.toGrants]].flatMap(([page, text]) => found.encounters.map(e => [`${page}/${e.key}`, { page, text, e }]));
    reconcile($("charts"), ways, () => make("a", "link"), (link, { page, text, e }) => {
      link.href = `/${page}/${encodeURIComponent(e.key)}#${language}`;
      set(link, text(e[language]));
    });
    drawBeliefs();
  }
  if (trend) drawTrends($("trends"), trend);
}

function makeWindow(n) {
  const button = make("button");
  button.addEventListener("click", () => { hours = n; draw(); readTrend(); });
  return button;
}

function drawWindow(button, n) {
  set(button, n ? words.age(n, "h") : words.stay);
  button.setAttribute("aria-pressed", String(n === hours));
}

function drawBeliefs() {
  const beds = found.beds.map(b => [b, [b.bed, b.planned_end ? words.planned : ""]]);
  const devices = found.devices.map(d => [d, [d.device, words.bases[d.basis]]]);
  reconcile($("beliefs"), [["beds", beds], ["devices", devices]], makeTable, (box, rows) => {
    const name = box.dataset.key;
    set(box.children[0], words.where[name]);
    const table = box.children[1].firstChild;
    reconcile(table.children[0].firstChild, [words.beliefOf[name], ...words.columns].map((column, i) => [i, column]), () => make("th"), set);
    reconcile(table.children[1], rows.map((row, i) => [i, row]), () => make("tr"), drawRow);
  });
}

function makeTable() {
  const table = make("table", "", make("thead", "", make("tr")), make("tbody"));
  const box = make("section", "", make("h2"), make("div", "wide", table));
  box.children[1].tabIndex = 0;  // it scrolls by itself where the screen is narrow
  return box;
}

function drawRow(line, [belief, [what, how]]) {
  const past = belief.believed_until !== null;
  line.className = past ? "past" : "";
  const because = belief.facts.map(fact => [when(fact.at), fact[language],
    fact.known_at !== fact.at && fact.known_at !== null && `${words.heard} ${when(fact.known_at)}`].filter(Boolean).join(" · "));
  const cells = [[what, how].filter(Boolean).join(" · "), when(belief.since), when(belief.until) || words.stillThere,
    because.join("\n"), past ? words.believed(when(belief.believed_from), when(belief.believed_until)) : words.holds];
  reconcile(line, cells.map((cell, i) => [i, cell]), () => make("td"), set);
}

async function ask(path) {
  const answer = await readFrom(path);
  ({ problem } = answer);
  return answer.found;
}

async function readTrend() {
  const asked = hours, next = await ask(`/patient-trend/${asked}/${key}`);
  if (asked !== hours) return;
  if (next) trend = next;
  draw();
}

async function read() {
  const next = await ask(`/patient-history/${key}`);
  if (next) found = next;
  draw();
  if (next) await readTrend();
}

openFrame(draw, [{ key: "C", name: "chart", press: () => $("charts").firstElementChild?.click() }]);
setInterval(read, EVERY_MS);
read();
