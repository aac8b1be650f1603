// Who saw what and what somebody did, as a picture and a list; the reviews, which somebody closes with a word.
import { drawPicture } from "/audit-picture.mjs";
import { auditWords } from "/audit-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { stamp } from "/time.mjs";
import { words } from "/words.mjs";

const EVERY_MS = 15_000, SHOWN_MAX = 500, ABOUTS = ["patient", "person", "readings"], WITHINS = ["24h", "7d", "30d", "all"];
let found = null, list = null, problem = "", closedToo = false, refusals = new Map(), busy = new Set();

function draw() {
  const w = auditWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && (words[problem] ?? words.refused[problem]));
  set($("about-label"), w.about);
  set($("within-label"), w.within);
  set($("show"), w.show);
  options($("about"), ABOUTS.filter(each => each !== "readings" || list?.second), w.abouts);
  options($("within"), WITHINS, w.withins);
  const about = $("about").value;
  set($("number-label"), w.number[about]);
  $("number").parentElement.hidden = about === "readings";
  $("number").required = about !== "readings";
  drawTraces(w);
  drawReviews(w);
}

function options(select, values, labels) {
  reconcile(select, values.map(each => [each, each]), value => Object.assign(make("option"), { value }), (option, each) => set(option, labels[each]));
}

function drawTraces(w) {
  set($("empty"), !found ? "" : !found.traces.length ? w.nothing : found.whole ? "" : w.more(SHOWN_MAX));
  const traces = found?.traces ?? [];
  $("traces").hidden = !traces.length;
  drawPicture($("picture"), traces, w.picture);
  reconcile($("traces").tHead.rows[0], w.columns.map((each, i) => [i, each]), () => Object.assign(make("th"), { scope: "col" }), set);
  reconcile($("traces").tBodies[0], traces.toReversed().map(each => [each.id, each]), () => make("tr", "", ...w.columns.map(() => make("td"))), (row, t) => {
    const who = [t.person, t.name !== t.person && t.name].filter(Boolean).join(" ");
    const whose = [...t.patients, ...t.encounters].slice(0, 4).join(" ") || (t.stays ? w.stays(t.stays) : "");
    const cells = [stamp(t.at), t.until === null ? "" : stamp(t.until), who, w.roles[t.role] ?? t.role, w.actions[t.what] ?? t.what, t.page, whose,
      w.relations[t.relation] ?? t.relation, t.reason, t.where, [t.restricted && w.restricted, t.detail].filter(Boolean).join(" ")];
    cells.forEach((text, i) => set(row.cells[i], text));
    row.classList.toggle("marked", t.restricted || t.relation === "break_glass");
  });
}

function drawReviews(w) {
  const all = list?.reviews ?? [];
  set($("reviews-title"), w.reviews(all.filter(each => each.closed_at === null).length));
  set($("closed"), w.closedToo);
  $("closed").setAttribute("aria-pressed", closedToo);
  set($("no-reviews"), list && !all.length ? w.noReviews : "");
  reconcile($("review-list"), all.map(each => [each.review, each]), makeReview, drawReview);
}

function makeReview({ review }) {
  const box = make("article", "item", make("h3"), make("p", "about"), make("p", "now"), make("p", "refusal"));
  const form = make("form"), label = make("label", "", make("span"), make("input")), button = make("button");
  Object.assign(label.lastChild, { required: true, maxLength: 500 });
  box.children[3].setAttribute("role", "alert");
  form.append(label, button);
  form.addEventListener("submit", event => {
    event.preventDefault();
    close(review, label.lastChild.value);
  });
  box.append(form);
  return box;
}

function drawReview(box, of) {
  const w = auditWords(), [title, about, now, refusal, form] = box.children, [label, button] = form.children;
  title.id = `review-${of.review}`;
  box.setAttribute("aria-labelledby", title.id);
  set(title, [w.kinds[of.kind] ?? of.kind, of.person, of.name !== of.person && of.name].filter(Boolean).join(" · "));
  set(about, [stamp(of.opened_at), w.roles[of.role] ?? of.role, of.patient, of.encounter, of.detail].filter(Boolean).join(" · "));
  set(now, of.closed_at !== null ? w.closed(of.closed_by, stamp(of.closed_at), of.word) : of.may_close ? "" : w.own);
  for (const each of [form, label.lastChild, button]) each.hidden = !of.may_close;
  set(label.firstChild, w.word);
  set(button, w.close);
  button.disabled = busy.has(of.review);
  const why = refusals.get(of.review);
  set(refusal, why ? w.refused[why] ?? words.refused[why] ?? words.refused.unreadable : "");
}

async function close(review, word) {
  busy.add(review);
  draw();
  const answer = await fetch(`/audit/reviews/${review}/close`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ word }),
  }).catch(() => null);
  busy.delete(review);
  if (answer?.status === 204) {
    refusals.delete(review);
    await readReviews();
    set($("said"), auditWords().done);
    $("closed").focus();
    return;
  }
  const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  refusals.set(review, refused ?? "unreadable");
  draw();
}

async function ask(address) {
  const answer = await fetch(address).catch(() => null);
  problem = answer?.ok ? "" : !answer ? "serverAway" : answer.status === 503 ? "storeAway" : "not_allowed";
  return answer?.ok ? answer.json().catch(() => null) : null;
}

async function readReviews() {
  list = await ask(`/audit/reviews?closed=${closedToo}`) ?? list;
  draw();
}

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  const about = $("about").value, number = $("number").value.trim();
  found = await ask(`/audit/${about}${about === "readings" ? "" : `/${encodeURIComponent(number)}`}?within=${$("within").value}`);
  draw();
});
$("about").addEventListener("change", draw);
$("closed").addEventListener("click", () => { closedToo = !closedToo; readReviews(); });
openFrame(draw);
setInterval(() => document.hidden || readReviews(), EVERY_MS);
readReviews();
