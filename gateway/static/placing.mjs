// A device is put on a bed, moved, released or named: first what and since when, then in words what will follow of it.
import { readFrom } from "/ask.mjs";
import { deviceWords } from "/devices-words.mjs";
import { $, make, set } from "/elements.mjs";
import { post } from "/post.mjs";
import { millisecondsOf, stamp } from "/time.mjs";
import { words } from "/words.mjs";

const CHARS_MAX = 100, minute = ms => stamp(ms).slice(0, 16);

// `of` as the list has it, called `name`; `done` is told what was done, in a sentence.
export async function openPlacing(act, of, name, devices, done) {
  const { found, problem } = act === "rename" ? { found: { stays: [], beds: [] } } : await readFrom(`/device-places/${of.device}`);
  const w = deviceWords(), dialog = $("placing"), title = make("h2", "", w.titles[act](name));
  title.id = "placing-title";
  if (!found) {
    dialog.replaceChildren(title, make("p", "refusal", words[problem]), closing(dialog));
    dialog.showModal();
    return;
  }
  const fields = fieldsOf(act, of, found.beds, devices), refusal = make("p", "refusal"), follows = make("ul", "follows");
  const asking = make("form", "by-hand", ...fields.boxes, make("p", "buttons", make("button", "", w.next), closing(dialog)));
  const back = make("button", "", w.back), confirm = make("button", "confirm", w.confirm[act]);
  const confirming = make("section", "", make("h3", "", w.follows), follows, make("p", "buttons", confirm, back));
  back.type = confirm.type = "button";
  refusal.setAttribute("role", "alert");
  follows.id = "follows";
  confirm.setAttribute("aria-describedby", follows.id);
  let wish = null;
  const turn = isConfirming => {
    const [now, before] = isConfirming ? [confirming, asking] : [asking, confirming];
    before.replaceWith(now);
    (isConfirming ? confirm : fields.first).focus();
  };
  back.addEventListener("click", () => turn(false));
  asking.addEventListener("submit", event => {
    event.preventDefault();
    const since = fields.since();
    set(refusal, Number.isNaN(since) ? w.badTime : "");
    if (Number.isNaN(since)) return;
    wish = { act, device: of.device, shown_bed: of.bed, ...fields.wish(), since_us: since === null ? null : since * 1000 };
    if (act === "assign" && wish.name === of.name) wish.name = "";  // it keeps it
    follows.replaceChildren(...consequences(wish, since, of, name, found).map(text => make("li", "", text)));
    turn(true);
  });
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    const answer = await post("/device-act", wish);
    confirm.disabled = false;
    if (answer?.status === 204) {
      dialog.close();
      done(w.done[act](act === "assign" && wish.name || name, wish.bed, wish.name));
      return;
    }
    const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
    set(refusal, w.refused[refused] ?? words.refused[refused] ?? words.refused.unreadable);
    turn(false);
  });
  dialog.replaceChildren(title, refusal, asking);
  dialog.onclose = () => dialog.replaceChildren();
  dialog.showModal();
  fields.first.focus();
}

function closing(dialog) {
  const button = make("button", "", words.close);
  button.type = "button";
  button.addEventListener("click", () => dialog.close());
  return button;
}

function fieldsOf(act, of, beds, devices) {
  const w = deviceWords(), boxes = [], wishes = {};
  const add = (key, field, label) => {
    boxes.push(make("label", "", make("span", "", label), field));
    wishes[key] = () => field.value.trim();
    return field;
  };
  const text = (chars, required = false) => Object.assign(make("input"), { maxLength: chars, autocomplete: "off", required });
  if (act === "assign" || act === "move") {
    const labels = new Set([...beds.map(bed => bed.label), ...devices.map(each => each.bed).filter(Boolean)]);
    $("known-beds").replaceChildren(...[...labels].toSorted().map(label => new Option(label)));
    add("bed", text(CHARS_MAX, true), w.bed).setAttribute("list", "known-beds");
  }
  if (act === "rename") add("name", text(CHARS_MAX, true), w.name).value = of.name;
  if (act === "assign") add("name", text(CHARS_MAX), w.nameOptional).value = of.name;
  if (act === "assign" && of.registered === null && of.edges.length > 1) {
    const edge = make("select");
    for (const each of of.edges) edge.append(new Option(each.label, each.edge));
    add("edge", edge, w.edge);
  }
  let since = () => null;
  if (act !== "rename") {
    const choice = make("select"), moment = text(16), label = make("label", "", make("span", "", w.moment), moment);
    for (const each of ["now", "past"]) choice.append(new Option(w.sinces[each], each));
    boxes.push(make("label", "", make("span", "", w.since), choice), label);
    moment.value = minute(Date.now());
    const show = () => { label.hidden = moment.hidden = choice.value === "now"; };
    choice.addEventListener("change", show);
    show();
    since = () => (choice.value === "now" ? null : momentOf(moment.value.trim()));
  }
  add("why", text(500), w.why);
  const wish = () => Object.fromEntries(Object.entries(wishes).map(([key, value]) => [key, value()]));
  return { boxes, wish, since, first: boxes[0].lastChild };
}

// "14:05" is of today.
const momentOf = text => millisecondsOf(/^\d\d:\d\d$/.test(text) ? `${minute(Date.now()).slice(0, 10)} ${text}` : text);

// What will be so when this is done, a sentence each.
function consequences(wish, since, of, name, { stays, beds }) {
  const w = deviceWords();
  if (wish.act === "rename") return [w.renamed(name, wish.name)];
  const called = wish.name || name, at = since ?? Date.now(), when = since === null ? "" : spoken(since);
  const there = stays.find(stay => (stay.since ?? -Infinity) <= at && at < (stay.until ?? Infinity));
  const cut = stays.filter(stay => (stay.until ?? Infinity) > at);
  const left = there?.bed ?? of.bed;
  const said = [];
  if (wish.act === "release") said.push(when ? w.released(called, when, left) : w.releasedNow(called, left));
  else said.push(when ? w.placed(called, when, wish.bed) : w.placedNow(called, wish.bed));
  if (wish.act !== "release" && !beds.some(bed => bed.label === wish.bed)) said.push(w.unknownBed(wish.bed));
  if (of.registered === null) said.push(w.registers((of.edges.find(edge => edge.edge === wish.edge) ?? of.edges[0]).label));
  if (since === null) return said;
  if (there) said.push(w.before(there.bed, when));
  for (const stay of cut) {
    said.push(w.replaced(stay.bed, spoken(Math.max(stay.since ?? at, at)), stay.until === null ? w.today : spoken(stay.until)));
  }
  return [...said, w.correction];
}

// The time alone where it is of today.
const spoken = ms => (minute(ms).slice(0, 10) === minute(Date.now()).slice(0, 10) ? minute(ms).slice(11) : minute(ms));
