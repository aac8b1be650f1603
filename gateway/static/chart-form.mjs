// A value as its item is written: a number, a choice, or words; and the form for what is written by hand.
import { act, refusalText } from "/chart-acts.mjs";
import { chartWords } from "/chart-words.mjs";
import { draftOf, dropDraft, keepDraft } from "/drafts.mjs";
import { $, make, set } from "/elements.mjs";
import { stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

let known = null;

// A labelled field for a value of `form`; `read` gives { value, text }, or null while it is empty.
export function valueField(form, unit, label) {
  const field = form.kind === "choice" ? make("select") : make("input");
  if (form.kind === "choice") {
    for (const choice of form.choices) field.append(new Option(choice[language], choice.key));
  } else {
    Object.assign(field, { maxLength: 500, autocomplete: "off", inputMode: form.kind === "number" ? "decimal" : "text" });
  }
  field.required = true;
  const bounds = form.low === null ? "" : chartWords().possible(form.low, form.high, unit).trim();
  const box = make("label", "", make("span", "", [label, bounds && `(${bounds})`].filter(Boolean).join(" ")), field);
  const read = () => {
    const said = field.value.trim();
    if (!said) return null;
    if (form.kind !== "number") return { value: null, text: said };
    const value = Number(said.replace(",", "."));
    return { value: Number.isFinite(value) ? value : null, text: Number.isFinite(value) ? "" : said };
  };
  return { box, field, read };
}

export function textField(label, value = "") {
  const field = make("input");
  Object.assign(field, { maxLength: 500, autocomplete: "off", value });
  return { box: make("label", "", make("span", "", label), field), field };
}

// "2026-11-24 14:00" in this browser's zone; NaN for what is no time.
function millisecondsOf(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)$/.exec(text.trim());
  if (!found) return NaN;
  const [year, month, day, hour, minute] = found.slice(1).map(Number);
  return new Date(year, month - 1, day, hour, minute).getTime();
}

// What this person had half written of this chart when the workstation was locked stands open again.
export async function reopenForm(encounter, done) {
  const draft = await draftOf(encounter);
  if (draft && !$("form").open) openForm(encounter, draft.item, Date.now(), done);
}

export async function openForm(encounter, item, atMs, done) {
  if (!known) {
    const answer = await fetch("/chart-items").catch(() => null);
    known = answer?.ok ? (await answer.json()).items : null;
  }
  if (!known) return;
  const w = chartWords(), dialog = $("form"), title = make("h2", "", w.form), form = make("form", "by-hand");
  const what = make("select"), place = make("div"), refusal = make("p", "refusal"), save = make("button", "", w.save);
  const at = textField(`${w.at} (${w.atForm})`, stamp(atMs).slice(0, 16)), close = make("button", "", words.close);
  title.id = "form-title";
  refusal.setAttribute("role", "alert");
  for (const each of known) what.append(new Option([each.short, each[language]].filter(Boolean).join(" · "), each.item));
  what.value = known.some(each => each.item === item) ? item : known[0].item;
  let value = null;
  const choose = () => {
    const of = known.find(each => each.item === what.value);
    value = valueField(of.form, of.unit, w.value);
    place.replaceChildren(value.box);
  };
  what.addEventListener("change", choose);
  choose();
  const draft = await draftOf(encounter);
  if (draft && (draft.item === item || !item) && known.some(each => each.item === draft.item)) {
    what.value = draft.item;
    choose();
    [value.field.value, at.field.value] = [draft.value, draft.at];
  }
  form.addEventListener("input", () => keepDraft(encounter, { item: what.value, value: value.field.value, at: at.field.value }));
  dialog.onclose = () => dropDraft(encounter);
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  form.append(make("label", "", make("span", "", w.item), what), place, at.box, refusal, make("p", "buttons", save, close));
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const said = value.read(), ms = millisecondsOf(at.field.value);
    if (!said) return;
    const why = Number.isNaN(ms) ? "bad_time" : await act({ act: "enter", encounter, item: what.value, at: ms, ...said });
    set(refusal, refusalText(why));
    if (why) return;
    dialog.close();
    done();
  });
  dialog.replaceChildren(title, form);
  dialog.showModal();
  value.field.focus();
}
