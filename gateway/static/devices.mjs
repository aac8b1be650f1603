// Devices: where each stands, when it was heard last and through what; whoever may puts one on a bed, or takes it away.
import { readFrom } from "/ask.mjs";
import { deviceWords } from "/devices-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { openPlacing } from "/placing.mjs";
import { age, stamp } from "/time.mjs";
import { words } from "/words.mjs";

const EVERY_MS = 5000, SHOWN_MAX = 200, ACTS = ["assign", "move", "release", "rename"];
const KINDS = { all: () => true, strangers: each => each.registered === null, unplaced: each => !each.bed };
let list = null, readMs = 0, problem = "", kind = "all", waiting = 0;

const nameOf = each => each.name || each.claim || each.device;
const wardName = key => key.split("^").at(-1);
// By this browser's clock only how long it is since the list was read: how old what stands here is, also while it ages.
const past = ms => age(list.now + performance.now() - readMs - ms);

function draw() {
  const w = deviceWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && words[problem]);
  set($("search-label"), w.search);
  $("kinds").setAttribute("aria-label", w.kinds);
  const found = list ? list.devices.filter(isSearched) : [];
  reconcile($("kinds"), Object.keys(KINDS).map(each => [each, each]), makeKind, (button, each) => {
    button.setAttribute("aria-pressed", each === kind);
    set(button, w[each](found.filter(KINDS[each]).length));
  });
  const shown = found.filter(KINDS[kind]);
  set($("empty"), !list ? "" : !list.devices.length ? w.none : !shown.length ? w.nothing : shown.length > SHOWN_MAX ? w.more(SHOWN_MAX, shown.length) : "");
  if (list) reconcile($("items"), shown.slice(0, SHOWN_MAX).map(each => [each.device, each]), makeItem, drawItem);
}

function isSearched(each) {
  const asked = $("search-text").value.trim().toLowerCase();
  const texts = [each.device, each.name, each.claim, each.bed, ...each.wards.map(wardName), ...each.edges.map(edge => edge.label)];
  return !asked || texts.some(text => text.toLowerCase().includes(asked));
}

function makeKind(each) {
  const button = make("button");
  button.type = "button";
  button.addEventListener("click", () => {
    kind = each;
    draw();
  });
  return button;
}

function makeItem() {
  const box = make("article", "item", make("h2"), make("p", "now"), make("p", "about"), make("p", "warning"), make("p", "buttons"));
  for (const act of ACTS) {
    const button = make("button");
    button.type = "button";
    button.dataset.act = act;
    button.addEventListener("click", () => openPlacing(act, box.of, nameOf(box.of), list.devices, said => done(box.of, said)));
    box.lastChild.append(button);
  }
  return box;
}

function drawItem(box, of) {
  const w = deviceWords(), [title, now, about, warning, buttons] = box.children;
  box.of = of;
  title.id = `device-${of.device}`;
  title.tabIndex = -1;
  box.setAttribute("aria-labelledby", title.id);
  set(title, nameOf(of));
  set(now, of.bed ? w.at(of.bed, of.wards.map(wardName).join(", "), of.since === null ? w.allTime : stamp(of.since).slice(0, 16)) : w.nowhere);
  now.classList.toggle("warning", !of.bed);
  const own = of.edges.filter(edge => !edge.foreign).map(edge => w.through(edge.label));
  set(about, [of.heard === null ? w.never(past(of.first)) : w.heard(past(of.heard)), ...own,
    of.registered === null ? w.stranger : w.registered(stamp(of.registered).slice(0, 16)), of.name && of.claim, of.device.slice(0, 8)].filter(Boolean).join(" · "));
  set(warning, of.edges.filter(edge => edge.foreign).map(edge => w.foreign(edge.label)).join(" "));
  const fit = { assign: !of.bed, move: of.bed, release: of.bed, rename: of.registered !== null };
  for (const button of buttons.children) {
    set(button, w.acts[button.dataset.act]);
    button.hidden = !of.may_place || !fit[button.dataset.act];
  }
}

async function done(of, said) {
  await read();
  set($("said"), said);
  $(`device-${of.device}`)?.focus();
}

// What a scanner types ends with Enter: the one that it names is shown, and can be acted on at once.
function pick(event) {
  event.preventDefault();
  draw();
  set($("said"), deviceWords().found($("items").children.length));
  const only = $("items").children.length === 1 && $("items").firstChild.querySelector("button:not([hidden])");
  only ? only.focus() : $("search-text").select();
}

async function read() {
  clearTimeout(waiting);
  const { found, problem: why } = await readFrom("/device-list");
  problem = why;
  if (found) [list, readMs] = [found, performance.now()];
  if (why === "noAccess") list = null;
  draw();
  if (!list) $("items").replaceChildren();
  waiting = setTimeout(() => document.hidden || read(), EVERY_MS);
}

openFrame(draw);
$("search").addEventListener("submit", pick);
$("search-text").addEventListener("input", draw);
document.addEventListener("visibilitychange", () => document.hidden || read());
read();
