// A bed's tile: its alarms, its devices, and each value with its age.
import { STARS, byPriority, isOf } from "/alarms.mjs";
import { detail } from "/detail.mjs";
import { make, reconcile, set } from "/elements.mjs";
import { picture } from "/feed.mjs";
import { drawPatient, makePatient } from "/occupant.mjs";
import { moment } from "/time.mjs";
import { cells, colour, isSilent, assess, metric, nameOf, newest, unitOf } from "/values.mjs";
import { language, words } from "/words.mjs";

// Of many beds those are drawn with every picture that stand near the window, or whose alarms or devices changed; the
// others in turns.
const DRAWN_MAX = 60, TURNS = 10;
const near = new Set();
const watch = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && target.picture !== picture && target.isConnected) drawBed(target, target.bed);
    isIntersecting ? near.add(target) : near.delete(target);
  }
}, { rootMargin: "50%" });
let turn = 0;

export function drawBeds(parent, beds) {
  turn = (turn + 1) % TURNS;
  let place = 0;
  reconcile(parent, beds.map(bed => [bed.key, bed]), makeBed, (tile, bed) => {
    const its = place++ % TURNS === turn || tile.bed !== bed || tile.alarms !== bed.alarms
      || tile.patient !== bed.patient;
    if (beds.length <= DRAWN_MAX || its || near.has(tile)) drawBed(tile, bed);
  });
}

function makeBed() {
  const tile = make("article", "bed", make("h2"), make("div", "notes"), makePatient(), make("div"));
  watch.observe(tile);
  return tile;
}

const makeDevice = () => make("section", "device", make("p"), make("div", "values"));

function drawBed(tile, bed) {
  Object.assign(tile, { bed, alarms: bed.alarms, patient: bed.patient, picture });
  const [title, notes, patient, devices] = tile.children, alarms = byPriority(bed.alarms);
  const names = bed.devices.map(nameOf), silent = bed.devices.filter(isSilent);
  const since = a => `${words.since} ${moment(a.opened_at)}`, several = device => names[1] ? nameOf(device) : "";
  const silence = d => d.values.length ? `${words.silent} ${moment(newest(d))}` : words.never;
  const stranger = bed.devices[0].registered ? words.noBed : words.stranger, foreign = bed.devices.filter(d => d.foreign);
  const lines = [  // [key, [class, text, more]]
    ...(bed.assigned ? [] : [["stranger", ["warning", `⚠ ${stranger}`, ""]]]),
    ...foreign.map(d => [`edge ${d.id}`, ["warning", `⚠ ${words.foreign(d.foreign)}`, several(d)]]),
    ...alarms.map(a => [a.episode, [`alarm ${a.priority}`, `${STARS[a.priority]} ${a.message}`, since(a)]]),
    ...silent.map(d => [d.id, ["warning", silence(d), several(d)]]),
  ];
  const [first] = alarms;
  tile.className = ["bed", first?.priority, first?.late && "late", !bed.assigned && "stranger"].filter(Boolean).join(" ");
  tile.dataset.bed = bed.label;
  tile.setAttribute("aria-label", `${bed.assigned ? words.bed : words.stranger} ${bed.label}`);
  set(title, bed.label);
  drawPatient(patient, bed);
  if (!lines[0] && !names[1]) lines.push(["name", ["", "", names[0]]]);
  reconcile(notes, lines, () => make("p", "", make("b"), make("small")), (line, [kind, ...texts]) => {
    line.className = kind;
    texts.forEach((text, i) => set(line.children[i], text));
  });
  reconcile(devices, bed.devices.map(d => [d.id, d]), makeDevice, (box, device) => {
    set(box.children[0], several(device));
    reconcile(box.children[1], cells(device).map(cell => [cell.key, cell]), makeValue,
      (button, cell) => drawValue(button, cell, bed, device, alarms));
  });
}

const VALUE = make("button", "value", ...["name", "number", "unit", "age", "state"].map(part => make("span", part)));

function makeValue() {
  const button = VALUE.cloneNode(true);
  button.addEventListener("click", () => detail(button.shown));
  return button;
}

function drawValue(button, cell, bed, device, alarms) {
  const [name, number, unit, aged, state] = button.children, [first, , third] = cell.parts;
  const is = assess(cell), hidden = is.stale || is.missing || is.withdrawn, about = metric(first)[language] || cell.name;
  const worst = alarms.find(a => a.device === device.id && cell.parts.some(v => isOf(a, v)));
  const stars = worst ? `${STARS[worst.priority]} ` : "";
  const text = hidden ? "--" : cell.parts.slice(0, 2).map(v => v.text).join("/") + (is.doubtful ? "?" : "");
  const classes = [colour(cell), worst?.priority, (cell.parts[1] || text.length > 5 || cell.title.length > 12) && "wide",
    ...["dim", "stale", "doubtful", "missing"].filter(key => is[key])];
  button.className = ["value", ...classes].filter(Boolean).join(" ");
  button.dataset.name = cell.name;
  set(name, stars + cell.title);
  set(number, text);
  set(unit, hidden ? "" : (third ? `(${third.text}) ` : "") + unitOf(first));
  set(aged, is.aged);
  set(state, is.state);
  button.title = about;
  const spoken = [stars && stars + worst.message, about, text, unit.textContent, is.aged, is.state];
  button.setAttribute("aria-label", spoken.filter(Boolean).join(", "));
  button.shown = { bed, device, cell };
}
