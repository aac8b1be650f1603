// What only a person can decide: each question with the facts behind it, and what a person says of it.
import { $, make, reconcile, set } from "/elements.mjs";
import { drawAsked, openFrame } from "/frame.mjs";
import { readFrom } from "/ask.mjs";
import { post } from "/post.mjs";
import { stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 5000;
let list = null, problem = "", refusals = new Map(), busy = new Set();

const about = of =>
  [of.bed, of.device, of.name, of.number && `…${of.number}`, of[language]].filter(Boolean).join(" · ");
const when = ms => stamp(ms).slice(0, 16);

function draw() {
  set($("title"), list ? words.worklist(list.open) : words.worklist(""));
  document.title = $("title").textContent;
  drawAsked(list?.open);
  set($("problem"), problem && words[problem]);
  set($("empty"), list && !list.items.length ? words.nothingAsked : "");
  if (!list) return;
  $("items").setAttribute("aria-label", words.worklist(list.open));
  reconcile($("items"), list.items.map(item => [item.item, item]), makeItem, drawItem);
}

function makeItem() {
  const box = make("article", "item", make("h2"), make("p", "about"), make("a", "link"), make("ul"), make("p", "refusal"));
  const form = make("form"), label = make("label", "", make("span"), make("input")), input = label.lastChild;
  const done = make("button"), right = make("button", "right");
  Object.assign(input, { required: true, maxLength: 500 });
  right.type = "button";
  box.children[4].setAttribute("role", "alert");
  form.append(label, done, right);
  form.addEventListener("submit", event => {
    event.preventDefault();
    resolve(box.item, { why: input.value });
  });
  right.addEventListener("click", () => resolve(box.item, { why: input.value, adt_is_right: true }));
  box.append(form);
  return box;
}

function drawItem(box, item) {
  box.item = item.item;
  const [title, of, link, facts, refusal, form] = box.children, [label, done, right] = form.children;
  title.id = `item-${item.item}`;
  title.tabIndex = -1;
  box.setAttribute("aria-labelledby", title.id);
  set(title, item[language]);
  set(of, `${about(item.about)} · ${words.since} ${when(item.since)} · ${words.item(item.item)}`);
  link.hidden = item.about.name === undefined;
  link.href = `/patient/${encodeURIComponent(item.about.subject ?? "")}#${language}`;
  set(link, words.toPatient);
  reconcile(facts, item.facts.map((fact, i) => [i, fact]), () => make("li", "", make("time"), make("span")), (line, fact) => {
    set(line.children[0], fact.at === null ? "" : when(fact.at));
    set(line.children[1], fact[language]);
  });
  const why = refusals.get(item.item);
  set(refusal, why ? words.refused[why] ?? words.refused.unreadable : "");
  set(label.children[0], words.whatWasDone);
  set(done, words.dealtWith);
  set(right, words.adtIsRight);
  right.hidden = !item.monitor;
  for (const button of [done, right]) button.disabled = busy.has(item.item) || problem !== "";
}

async function resolve(item, wish) {
  busy.add(item);
  draw();
  const answer = await post(`/worklist/${item}/resolve`, wish);
  busy.delete(item);
  if (answer?.status === 204) {
    const place = list.items.findIndex(each => each.item === item);
    list = { ...list, open: list.open - 1, items: list.items.filter(each => each.item !== item) };
    refusals.delete(item);
    draw();
    set($("said"), words.resolved(item));
    const next = list.items[Math.min(place, list.items.length - 1)];  // else the keyboard would begin at the top again
    (next ? $(`item-${next.item}`) : $("to-ward")).focus();
    return;
  }
  const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  refusals.set(item, refused);
  draw();
}

async function read() {
  const { found, problem: why } = await readFrom("/worklist/items");
  if (found) list = found;
  problem = why;
  for (const item of refusals.keys()) if (!list?.items.some(each => each.item === item)) refusals.delete(item);
  draw();
}

openFrame(draw);
setInterval(read, EVERY_MS);
document.addEventListener("visibilitychange", read);
read();
