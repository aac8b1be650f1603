// The flowsheet of an encounter: what is charted by system and time, and what a person does to it.
import { act, refusalText } from "/chart-acts.mjs";
import { readFrom } from "/ask.mjs";
import { drawChartBar } from "/chart-bar.mjs";
import { showEntry, showGap } from "/chart-entry.mjs";
import { openForm, reopenForm } from "/chart-form.mjs";
import { chartWords } from "/chart-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { drawGlass } from "/glass.mjs";
import { dateOf, sexOf } from "/occupant.mjs";
import { stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 30_000, STEPS_MIN = [5, 15, 30, 60], HOURS = [12, 24], HOUR_MS = 3_600_000;
const key = location.pathname.slice("/chart/".length);  // as it stands in the address: encoded
let found = null, problem = "", refused = "", stepMin = 60, hours = 12, untilMs = 0;  // 0: now
let at = null, from = null, dragging = false, scrolled = "";  // cells as { row, column }: where one is, where a selection began

function draw() {
  const w = chartWords();
  document.title = found ? `${found.name || words.noName} · ${w.chart}` : w.chart;
  set($("title"), found ? w.title(found.name || words.noName, w.chart) : w.chart);
  set($("problem"), problem ? (problem === "notFound" ? w.notFound : words[problem]) : "");
  set($("refusal"), refusalText(refused));
  set($("chart-legend"), `${w.legend} ${w.legendEmpty}`);
  drawChoice($("steps"), w.steps, STEPS_MIN, stepMin, w.step, n => { stepMin = n; read(); });
  drawChoice($("spans"), w.spans, HOURS, hours, w.hours, n => { hours = n; read(); });
  for (const name of ["earlier", "later", "now"]) set($(name), w[name]);
  $("later").disabled = $("now").disabled = !untilMs;
  set($("by-hand"), w.enterByHand);
  drawChartBar(key, found?.patient);
  drawGlass(found?.glass_until ?? null);
  if (!found) return;
  const stay = found[language], bed = found.bed && `${words.bed} ${found.bed}`;
  set($("who"), [found.number, dateOf(found.birth_date), sexOf(found.sex), bed, stay].filter(Boolean).join(" · "));
  set($("span"), `${minuteOf(found.columns[0])} – ${minuteOf(found.columns.at(-1))}`);
  const disputes = found.disputed ? w.disputes(found.disputed) : "";
  set($("empty"), [found.archived ? w.archived : "", disputes, found.is_charted ? "" : w.noPolicies, found.rows.length ? "" : w.nothing].filter(Boolean).join(" "));
  drawTable();
}

const minuteOf = ms => stamp(ms).slice(0, 16);
const timeOf = ms => stamp(ms).slice(11, 16);

function drawChoice(box, label, choices, chosen, word, choose) {
  box.setAttribute("aria-label", label);
  reconcile(box, choices.map(n => [n, n]), n => {
    const button = make("button");
    button.type = "button";
    button.addEventListener("click", () => choose(n));
    return button;
  }, (button, n) => {
    set(button, word(n));
    button.setAttribute("aria-pressed", String(n === chosen));
  });
}

// Rows with a heading where a system begins.
function linesOf() {
  const lines = [];
  let system = "";
  found.rows.forEach((row, number) => {
    if (row.system.key !== system) lines.push([`system ${row.system.key}`, { system: row.system }]);
    system = row.system.key;
    lines.push([row.item, { row, number }]);
  });
  return lines;
}

function drawTable() {
  const [head, body] = $("chart").firstElementChild.children, w = chartWords();
  $("chart").firstElementChild.setAttribute("aria-label", w.chart);
  reconcile(head, [["times", null]], () => make("tr"), line => {
    reconcile(line, [["name", w.parameter], ...found.columns.map(ms => [ms, ms])], makeHead, drawHead);
  });
  reconcile(body, linesOf(), () => make("tr"), drawLine);
  const shown = `${found.columns.at(-1)} ${stepMin} ${hours}`;
  if (scrolled !== shown) $("chart").scrollLeft = $("chart").scrollWidth;  // what is newest stands at the right
  scrolled = shown;
  drawSelection();
}

function makeHead(what) {
  const cell = make("th");
  cell.scope = "col";
  if (typeof what === "string") return cell;
  const button = make("button", "", make("b"), make("small"), make("small", "confirm"));
  button.addEventListener("click", () => confirmCells(cellsOf(found.rows.map((_, row) => ({ row, column: found.columns.indexOf(button.at) })))));
  cell.append(button);
  return cell;
}

function drawHead(cell, what) {
  if (typeof what === "string") {
    set(cell, what);
    return;
  }
  const [time, date, confirm] = cell.firstChild.children, before = found.columns[found.columns.indexOf(what) - 1];
  const column = found.columns.indexOf(what), waits = found.rows.some(row => isOpen(row.cells[column]));
  cell.firstChild.at = what;
  cell.firstChild.disabled = !waits;
  cell.firstChild.setAttribute("aria-label", waits ? chartWords().confirmColumn(minuteOf(what)) : minuteOf(what));
  cell.firstChild.title = waits ? chartWords().confirmColumn(minuteOf(what)) : "";
  set(time, timeOf(what));
  set(date, before && stamp(before).slice(0, 10) === stamp(what).slice(0, 10) ? "" : stamp(what).slice(5, 10));
  set(confirm, waits ? `✓ ${chartWords().confirmShort}` : "");
}

const isOpen = cell => cell && !cell.confirmed && cell.status !== "entered-in-error";

function drawLine(line, of) {
  line.className = of.system ? "system" : "";
  if (of.system) {
    reconcile(line, [["name", of.system]], () => make("th", "", make("span")), (cell, system) => {
      cell.colSpan = found.columns.length + 1;
      set(cell.firstChild, system[language]);
    });
    return;
  }
  const cells = found.columns.map((ms, column) => [ms, { row: of.number, column, cell: of.row.cells[column] }]);
  reconcile(line, [["name", of.row], ...cells], what => what.item ? makeName() : makeCell(), (cell, what) => what.item ? drawName(cell, what) : drawCell(cell, what));
}

function makeName() {
  const cell = make("th", "", make("b"), make("small"));
  cell.scope = "row";
  return cell;
}

function drawName(cell, row) {
  set(cell.children[0], row.short || row[language]);
  set(cell.children[1], [row.short && row[language], row.unit].filter(Boolean).join(" · "));
}

function makeCell() {
  const cell = make("td", "", make("span", "shown"), make("span", "marks"));
  cell.setAttribute("role", "gridcell");
  cell.addEventListener("pointerdown", event => {
    if (event.button) return;
    dragging = true;
    go(cell.place, event.shiftKey);
  });
  cell.addEventListener("pointerenter", event => { if (dragging && event.buttons === 1) go(cell.place, true); });
  cell.addEventListener("click", event => { if (!event.shiftKey && selection().length === 1) open(""); });
  return cell;
}

function drawCell(td, { row, column, cell }) {
  const w = chartWords(), [value, marks] = td.children, of = found.rows[row];
  td.place = { row, column };
  td.className = cell ? [cell.status, cell.confirmed ? "confirmed" : "", cell.proposed || cell.disputed ? "attention" : ""].filter(Boolean).join(" ") : of.asked ? "gap" : "";
  td.tabIndex = at?.row === row && at.column === column || !at && !row && column === found.columns.length - 1 ? 0 : -1;
  set(value, cell ? cell[language] : of.asked && found.columns[column] <= found.now ? "?" : "");
  const said = cell ? [
    cell.at !== found.columns[column] && timeOf(cell.at), cell.disputed && w.marks.disputed, cell.proposed && w.marks.proposed,
    cell.status === "amended" && w.marks.amended, cell.status === "entered-in-error" && w.marks.error, cell.by_time && w.marks.time,
    cell.hand && w.marks.hand, cell.pending && `${cell.by} ${w.marks.pending}`, cell.confirmed && `${cell.by} ${w.marks.unsigned}`, cell.also_by_people && `+${cell.also_by_people}`,
  ].filter(Boolean) : [];
  reconcile(marks, said.map((text, i) => [i, text]), () => make("i"), set);
  const status = cell ? cell.by_time ? w.byTime : w.statuses[cell.status] : "";
  td.setAttribute("aria-label", [of.short || of[language], minuteOf(found.columns[column]), cell ? `${cell[language]} ${of.unit}` : value.textContent, status, ...said].filter(Boolean).join(", "));
}

// --- where one is, and what is selected ---

function selection() {
  if (!at) return [];
  const other = from ?? at, places = [];
  for (let row = Math.min(at.row, other.row); row <= Math.max(at.row, other.row); row += 1) {
    for (let column = Math.min(at.column, other.column); column <= Math.max(at.column, other.column); column += 1) places.push({ row, column });
  }
  return places;
}

const cellsOf = places => places.map(({ row, column }) => found.rows[row]?.cells[column]).filter(Boolean);
const elementAt = ({ row, column }) => $("chart").querySelector(`tr[data-key="${CSS.escape(found.rows[row].item)}"]`)?.children[column + 1];

function go(place, extend) {
  from = extend ? from ?? at : null;
  at = place;
  drawSelection();
  const element = elementAt(at);
  element?.focus({ preventScroll: true });
  if (!dragging) element?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function drawSelection() {
  const chosen = new Set(selection().map(place => `${place.row} ${place.column}`));
  for (const cell of $("chart").querySelectorAll("tbody td")) {
    const { row, column } = cell.place;
    cell.setAttribute("aria-selected", String(chosen.has(`${row} ${column}`)));
    if (at) cell.tabIndex = at.row === row && at.column === column ? 0 : -1;
  }
}

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function press(event) {
  if (!event.target.matches("td") || !found) return;
  at = event.target.place;
  const arrow = ARROWS[event.key];
  if (event.key === "Enter") open("");
  if (arrow) {
    const row = at.row + arrow[0], column = at.column + arrow[1];
    if (row >= 0 && row < found.rows.length && column >= 0 && column < found.columns.length) go({ row, column }, event.shiftKey);
  }
  if (arrow || event.key === "Enter") event.preventDefault();
}

// --- what is done ---

function open(wish) {
  if (!at) return;
  const row = found.rows[at.row], cell = row?.cells[at.column], ms = found.columns[at.column], place = at;
  if (cell) showEntry([cell.entry, ...cell.also], wish, () => done(chartWords().done, place));
  else if (row?.asked) showGap(found.encounter, row, ms, stepMin, () => done(chartWords().done, place));
  else if (row) openForm(found.encounter, row.item, Math.min(ms, Date.now()), () => done(chartWords().done, place));
}

async function confirmCells(cells) {
  const open = cells.filter(isOpen);
  refused = open.length ? await act({ act: "confirm", entries: open.map(({ entry, version }) => ({ entry, version })) }) : "nothing";
  if (refused) {
    draw();
    return;
  }
  await done(chartWords().confirmed(open.length), at);
}

async function done(text, place) {
  refused = "";
  await read();
  set($("said"), text);
  if (place && found) elementAt(place)?.focus({ preventScroll: true });
}

function byHand() {
  if (!found) return;
  const row = at ? found.rows[at.row] : null;
  openForm(found.encounter, row?.item ?? "", at ? Math.min(found.columns[at.column], Date.now()) : Date.now(), () => done(chartWords().done, at));
}

async function read() {
  const asked = `/chart-sheet/${stepMin}/${hours}/${untilMs}/${key}`, { found: next, problem: why } = await readFrom(asked);
  if (asked !== `/chart-sheet/${stepMin}/${hours}/${untilMs}/${key}`) return;
  problem = why;
  if (next) found = next;
  if (at && found && (at.row >= found.rows.length || at.column >= found.columns.length)) at = from = null;
  draw();
}

function move(step) {
  const last = untilMs || found?.now || Date.now();
  untilMs = last + step * hours * HOUR_MS / 2;
  if (found && untilMs >= found.now) untilMs = 0;
  read();
}

openFrame(draw, [
  { key: "V", name: "confirm", press: () => confirmCells(cellsOf(selection())) },
  { key: "E", name: "correct", press: () => open("correct") },
  { key: "R", name: "withdraw", press: () => open("withdraw") },
  { key: "N", name: "byHand", press: byHand },
]);
$("chart").addEventListener("keydown", press);
addEventListener("pointerup", () => { dragging = false; });
$("chart-bar").addEventListener("submit", event => event.preventDefault());
$("earlier").addEventListener("click", () => move(-1));
$("later").addEventListener("click", () => move(1));
$("now").addEventListener("click", () => { untilMs = 0; read(); });
$("by-hand").addEventListener("click", byHand);
setInterval(read, EVERY_MS);
read().then(() => found && reopenForm(found.encounter, () => done(chartWords().done, at)));
