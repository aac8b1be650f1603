// What every page stands in: the way to the other pages, the search for a patient, keys and their help, the language.
import { $, make, set } from "/elements.mjs";
import { followLanguage } from "/language.mjs";
import { keepWhileUsed } from "/post.mjs";
import { showReminders } from "/reminders.mjs";
import { drawWho, openWho } from "/who.mjs";
import { language, words } from "/words.mjs";
import { drawWorkstation, openWorkstation } from "/workstation.mjs";

// A key, what it is called in the help, and what it does; a page adds its own.
const KEYS = [
  { key: "B", name: "beds", press: () => $("to-ward").click() },
  { key: "W", name: "worklist", press: () => $("to-worklist").click() },
  { key: "D", name: "deliveries", press: () => $("to-deliveries").click() },
  { key: "/", name: "find", press: () => $("find-number").focus() },
  { key: "?", name: "help", press: showKeys },
];
let keys = [];

// `draw` draws what the page itself says, in `words`; `own` are its keys: { key, name, pattern, press }.
export function openFrame(draw, own = []) {
  keys = [...own, ...KEYS];
  $("help").addEventListener("click", showKeys);
  $("find").addEventListener("submit", find);
  $("find-number").addEventListener("input", () => $("find-number").setCustomValidity(""));
  addEventListener("keydown", press);
  keepWhileUsed();
  openWorkstation();
  openWho();
  for (const link of document.querySelectorAll("#pages a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  }
  followLanguage(() => {
    drawFrame();
    draw();
  });
  showReminders();
}

// How many questions the worklist has, where the page knows.
export function drawAsked(asked) {
  set($("to-worklist"), words.worklist(asked ?? ""));
  $("to-worklist").classList.toggle("asked", asked > 0);
}

function drawFrame() {
  set($("to-ward"), words.beds);
  set($("to-worklist"), words.worklist(""));
  set($("to-deliveries"), words.deliveries);
  $("pages").setAttribute("aria-label", words.pages);
  $("find-number").placeholder = words.findNumber;
  $("find-number").setAttribute("aria-label", words.findNumber);
  $("help").setAttribute("aria-label", words.keys.help);
  if ($("keys").open) drawKeys();
  drawWorkstation();
  drawWho();
}

function press(event) {
  const isTyping = event.target.matches("input, textarea, select"), isBusy = document.querySelector("dialog[open]");
  if (event.ctrlKey || event.altKey || event.metaKey || isTyping || isBusy) return;
  const pressed = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const found = keys.find(({ key, pattern }) => pattern ? pattern.test(pressed) : key === pressed);
  if (!found) return;
  event.preventDefault();
  found.press(pressed);
}

function showKeys() {
  drawKeys();
  $("keys").showModal();
}

function drawKeys() {
  const title = make("h2", "", words.keys.title), list = make("dl"), close = make("button", "", words.close);
  title.id = "keys-title";
  for (const { key, name } of keys) list.append(make("dt", "", make("kbd", "", key)), make("dd", "", words.keys[name]));
  list.append(make("dt", "", make("kbd", "", "Esc")), make("dd", "", words.keys.escape));
  close.addEventListener("click", () => $("keys").close());
  $("keys").replaceChildren(title, list, close);
}

// By number alone: an address is kept by browsers, and no name may be in one.
function find(event) {
  event.preventDefault();
  const field = $("find-number"), number = field.value.trim();
  if (!number) return;
  field.setCustomValidity(/\d/.test(number) ? "" : words.numberNotName);
  if (field.reportValidity()) location.assign(`/patient/${encodeURIComponent(number)}#${language}`);
}
