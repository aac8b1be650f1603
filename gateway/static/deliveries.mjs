// What went to the hospital's other systems, what waits, what is parked and why; and what a person does about it.
import { readFrom } from "/ask.mjs";
import { deliveryWords } from "/deliveries-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { post } from "/post.mjs";
import { age, stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 5000, STATES = ["parked", "waiting", "accepted", "skipped"];
let list = null, problem = "", state = "parked", of = "", before = null, asked = 0, refusals = new Map(), busy = new Set();

const minute = ms => stamp(ms).slice(0, 16);

function draw() {
  const w = deliveryWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && words[problem]);
  set($("newest"), w.newest);
  set($("older"), w.older);
  $("destinations").setAttribute("aria-label", w.of);
  $("states").setAttribute("aria-label", w.shown);
  $("of").setAttribute("aria-label", w.of);
  set($("empty"), list ? list.destinations.length ? list.deliveries.length ? "" : w.nothing[state] : w.none : "");
  reconcile($("states"), STATES.map(each => [each, each]), () => chooser(each => { state = each; }), (button, each) =>
    drawChooser(button, each, each === state, count(each)));
  const names = (list?.destinations ?? []).map(each => each.name);
  reconcile($("of"), (names.length < 2 ? [] : ["", ...names]).map(each => [each, each]), () => chooser(each => { of = each; }), (button, each) =>
    drawChooser(button, each, each === of, each || w.all));
  $("newest").hidden = before === null;
  $("older").hidden = !list || list.next === null;
  if (!list) return;
  reconcile($("destinations"), list.destinations.map(each => [each.name, each]), makeDestination, drawDestination);
  reconcile($("items"), list.deliveries.map(each => [each.delivery, each]), makeItem, drawItem);
}

// How many there are now, of those that people look for.
function count(each) {
  const label = deliveryWords().states[each];
  if (!list || each === "skipped") return label;
  const n = list.destinations.filter(one => !of || one.name === of).reduce((sum, one) => sum + one[each], 0);
  return `${label} (${n})`;
}

function chooser(choose) {
  const button = make("button");
  button.type = "button";
  button.addEventListener("click", () => {
    choose(button.choice);
    before = null;
    draw();
    read();
  });
  return button;
}

function drawChooser(button, choice, isChosen, text) {
  button.choice = choice;
  button.setAttribute("aria-pressed", isChosen);
  set(button, text);
}

function makeDestination() {
  const box = make("article", "item", make("h2"), make("p", "now"), make("p", "about"), make("p", "refusal"));
  const form = make("form"), label = make("label", "", make("span"), make("input")), button = make("button");
  label.lastChild.maxLength = 500;
  box.children[3].setAttribute("role", "alert");
  form.append(label, button);
  form.addEventListener("submit", event => {
    event.preventDefault();
    const { name, paused } = box.of;
    press(`destination ${name}`, { act: paused === null ? "pause" : "resume", destination: name, why: label.lastChild.value }, name);
    label.lastChild.value = "";
  });
  box.append(form);
  return box;
}

function drawDestination(box, of) {
  const w = deliveryWords(), [title, now, about, refusal, form] = box.children, [label, button] = form.children;
  box.of = of;
  title.id = `destination-${of.name}`;
  box.setAttribute("aria-labelledby", title.id);
  set(title, of.name);
  set(now, of.paused !== null ? w.paused(minute(of.paused)) : of.away ? w.away(minute(of.away.since), of.away[language]) : w.served);
  now.classList.toggle("warning", of.paused !== null || of.away !== null);
  const old = of.oldest === null ? "" : age(list.now - of.oldest);
  set(about, [w.accepted(of.accepted, of.last_accepted === null ? "" : stamp(of.last_accepted)), w.waiting(of.waiting, old), w.parked(of.parked)].join(" · "));
  set(label.firstChild, w.whyPause);
  set(button, of.paused === null ? w.pause : w.resume);
  drawActs(`destination ${of.name}`, refusal, [button]);
}

function makeItem() {
  const box = make("article", "item", make("h2"), make("p", "about"), make("p", "why"), make("a", "link"), make("p", "refusal"));
  const form = make("form"), label = make("label", "", make("span"), make("input")), input = label.lastChild;
  const retry = make("button"), anew = make("button"), skip = make("button");
  input.maxLength = 500;
  anew.type = skip.type = "button";
  box.children[4].setAttribute("role", "alert");
  const decide = act => press(box.of.delivery, { act, delivery: box.of.delivery, why: input.value }, box.of.delivery);
  form.addEventListener("submit", event => {
    event.preventDefault();
    decide("retry");
  });
  anew.addEventListener("click", () => decide("retry-anew"));
  skip.addEventListener("click", () => decide("skip"));
  form.append(label, retry, anew, skip);
  box.append(form);
  return box;
}

function drawItem(box, of) {
  const w = deliveryWords(), [title, about, why, link, refusal, form] = box.children, [label, retry, anew, skip] = form.children;
  box.of = of;
  title.id = `delivery-${of.delivery}`;
  title.tabIndex = -1;
  box.setAttribute("aria-labelledby", title.id);
  set(title, [of.destination, w.states[of.state], of.settled !== null && stamp(of.settled)].filter(Boolean).join(" · "));
  set(about, [of.name, of.number && `…${of.number}`, w.slot(minute(of.slot)), w.entries(of.entries), of.attempts > 0 && w.attempts(of.attempts),
    w.delivery(of.delivery), of.message && w.as(of.message)].filter(Boolean).join(" · "));
  const later = of.state !== "waiting" ? "" : of.next === null ? w.due : w.later(stamp(of.next));
  set(why, [of.behind !== null ? w.behind(of.behind) : of[language], later].filter(Boolean).join(" · "));
  why.classList.toggle("warning", of.state === "parked");
  link.hidden = !of.chart;
  link.href = `/chart/${encodeURIComponent(of.chart)}#${language}`;
  set(link, w.chart);
  for (const each of [form, label.lastChild, retry, anew, skip]) each.hidden = of.state !== "parked" || of.behind !== null;
  set(label.firstChild, w.why);
  set(retry, w.retry);
  set(anew, w.anew);
  set(skip, w.skip);
  drawActs(of.delivery, refusal, [retry, anew, skip]);
}

function drawActs(key, refusal, buttons) {
  const why = refusals.get(key);
  set(refusal, why ? deliveryWords().refused[why] ?? words.refused[why] ?? words.refused.unreadable : "");
  for (const button of buttons) button.disabled = busy.has(key) || problem !== "";
}

async function press(key, wish, subject) {
  const focused = document.activeElement;  // a button that is disabled loses the keyboard
  busy.add(key);
  draw();
  const answer = await post("/delivery-act", wish);
  busy.delete(key);
  if (answer?.status !== 204) {
    const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
    refusals.set(key, refused ?? "unreadable");
    draw();
    focused.focus();
    return;
  }
  refusals.delete(key);
  const place = list.deliveries.findIndex(each => each.delivery === wish.delivery);
  await read();
  set($("said"), deliveryWords().done[wish.act](subject));
  if (place < 0) {
    focused.focus();
    return;
  }
  const next = list.deliveries[Math.min(place, list.deliveries.length - 1)];  // else the keyboard would begin at the top again
  (next ? $(`delivery-${next.delivery}`) : $("states").firstElementChild).focus();
}

async function read() {
  const mine = ++asked, query = new URLSearchParams({ destination: of, ...before === null ? {} : { before } });
  const { found, problem: why } = await readFrom(`/delivery-list/${state}?${query}`);
  if (mine !== asked) return;  // something else was chosen meanwhile
  if (found) list = found;
  problem = why;
  draw();
}

$("newest").addEventListener("click", () => { before = null; read(); });
$("older").addEventListener("click", () => { before = list.next; read(); });
openFrame(draw);
setInterval(read, EVERY_MS);
document.addEventListener("visibilitychange", read);
read();
