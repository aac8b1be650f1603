// One entry: what it said, who and why, the way back to the port; and what a person does to it. Why a cell is empty.
import { act, refusalText } from "/chart-acts.mjs";
import { readFrom } from "/ask.mjs";
import { textField, valueField } from "/chart-form.mjs";
import { chartWords } from "/chart-words.mjs";
import { deliveryText } from "/deliveries-words.mjs";
import { $, make, set } from "/elements.mjs";
import { stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const minute = ms => stamp(ms).slice(0, 16);
const nameOf = row => [row.short, row[language]].filter(Boolean).join(" · ");

async function ask(path) {
  const { found } = await readFrom(path);
  return found;
}

// `wish` is "", or what the person pressed: "correct" or "withdraw".
export async function showEntry(ids, wish, done) {
  const dialog = $("detail");
  dialog.replaceChildren();
  if (!dialog.open) dialog.showModal();  // before it is known: what is typed meanwhile is no key of the page
  const found = await ask(`/chart-entry/${ids.join(",")}`);
  if (!found?.entries.length) {
    dialog.close();
    return;
  }
  const w = chartWords(), first = found.entries[0], title = make("h2", "", `${nameOf(first)} · ${minute(first.at)}`);
  title.id = "detail-title";
  title.tabIndex = -1;
  const boxes = [makeEntry(first, wish, done)], others = found.entries.slice(1);
  const close = make("button", "", words.close);
  close.addEventListener("click", () => dialog.close());
  if (others.length) boxes.push(make("h3", "", w.also(others.length)), makeOthers(others, done));
  dialog.replaceChildren(title, ...boxes, close);
  if (!wish) title.focus();
}

// The rest of the column, each a press away.
function makeOthers(others, done) {
  const box = make("div", "also");
  for (const entry of others) {
    const newest = entry.versions.at(-1), marks = newest.status === "preliminary" ? "" : chartWords().statuses[newest.status];
    const button = make("button", "", [stamp(entry.at).slice(11, 16), newest[language], marks].filter(Boolean).join(" · "));
    button.addEventListener("click", () => showEntry([entry.entry], "", done));
    box.append(button);
  }
  return box;
}

function makeEntry(entry, wish, done) {
  const w = chartWords(), box = make("section", "entry"), newest = entry.versions.at(-1);
  if (entry.disputed) box.append(make("p", "warning", w.dispute));
  if (entry.proposed) {
    const { value, observed } = entry.proposed;
    box.append(make("p", "warning", value === null ? w.proposalNone : w.proposal(`${value} ${entry.unit}`, minute(observed))));
    if (entry.proposed.sources.length) box.append(waysOf(entry.proposed.sources));
    if (value !== null && newest.status !== "entered-in-error") box.append(makeAccept(entry, newest, done));
  }
  const table = make("table", "versions"), head = make("tr"), body = make("tbody");
  for (const name of [w.version(""), w.value, w.status, w.who, w.when, w.measured, w.why, w.way]) head.append(make("th", "", name));
  for (const version of entry.versions.toReversed()) body.append(makeVersion(version, entry));
  table.append(make("thead", "", head), body);
  const wide = make("div", "wide", table);
  wide.tabIndex = 0;
  wide.setAttribute("aria-label", w.versions);
  box.append(wide);
  if (newest.confirmed) box.append(make("p", "", w.unsignedNote));
  if (newest.status !== "entered-in-error") box.append(makeActions(entry, newest, wish, done));
  return box;
}

// What the device said comes in place of what a person confirmed, with its sources.
function makeAccept(entry, newest, done) {
  const box = make("p", "buttons accept"), button = make("button", "", chartWords().accept(entry.proposed.value));
  const wish = { act: "accept", entries: [{ entry: entry.entry, version: newest.number }], source: entry.proposed.sources[0] };
  box.append(button, makePress(button, wish, done));
  return box;
}

// Where it is refused, why; else the dialog closes.
function makePress(button, wish, done) {
  const refusal = make("span", "refusal");
  refusal.setAttribute("role", "alert");
  button.type = "button";
  button.addEventListener("click", async () => {
    const refused = await act(wish);
    set(refusal, refusalText(refused));
    if (refused) return;
    $("detail").close();
    done();
  });
  return refusal;
}

function makeVersion(version, { unit, deliveries }) {
  const w = chartWords(), status = version.by_time ? w.byTime : w.statuses[version.status];
  const line = make("tr", version.status), value = `${version[language]} ${unit}`.trim();
  const marks = [status, version.hand && w.marks.hand, version.pending && w.marks.pending, version.confirmed && w.marks.unsigned].filter(Boolean).join(" · ");
  for (const text of [version.number, value, marks, version.by || w.device, stamp(version.recorded), stamp(version.observed),
    version.reason[language]]) line.append(make("td", "", String(text)));
  const back = version.sources.length ? waysOf(version.sources) : "—", sent = deliveries.filter(each => each.version === version.number);
  line.append(make("td", "", back, ...sent.length ? [fatesOf(sent)] : []));
  return line;
}

// Where a version went, by which message, and what became of it: from the port into the EMR.
function fatesOf(sent) {
  const box = make("ul", "ways sent");
  for (const each of sent) box.append(make("li", each.state, deliveryText(each)));
  return box;
}

// A value's public identity is its batch, leaf and record; the batch says by which box, seal and log entry it came.
function waysOf(sources) {
  const box = make("ul", "ways");
  for (const source of sources) {
    const link = make("a", "link", `${source.batch.slice(0, 12)}… · ${chartWords().batch(source.leaf)}`);
    link.href = `/batch/${source.batch}`;
    link.target = "_blank";
    box.append(make("li", "", link));
  }
  return box;
}

function makeActions(entry, newest, wish, done) {
  const w = chartWords(), form = make("form", "by-hand"), refusal = make("p", "refusal"), seen = [{ entry: entry.entry, version: newest.number }];
  const value = valueField(entry.form, entry.unit, w.newValue), why = textField(w.reason);
  const buttons = make("p", "buttons"), confirm = make("button", "", w.confirm), correct = make("button", "", w.correct), withdraw = make("button", "", w.withdraw);
  refusal.setAttribute("role", "alert");
  if (newest.key !== undefined || newest.status) value.field.value = newest.key ?? newest[language];
  confirm.disabled = newest.confirmed;
  const press = async wish => {
    const refused = await act({ entries: seen, why: why.field.value, ...wish });
    set(refusal, refusalText(refused));
    if (refused) return;
    $("detail").close();
    done();
  };
  const pressCorrect = () => {
    const said = value.read();
    if (said) press({ act: "correct", ...said });
  };
  confirm.type = withdraw.type = "button";
  confirm.addEventListener("click", () => press({ act: "confirm" }));
  withdraw.addEventListener("click", () => press({ act: "withdraw" }));
  form.addEventListener("submit", event => { event.preventDefault(); pressCorrect(); });
  buttons.append(confirm, correct, withdraw);
  form.append(value.box, why.box, refusal, buttons);
  if (wish) queueMicrotask(() => (wish === "withdraw" ? why : value).field.focus());
  return form;
}

export async function showGap(encounter, row, atMs, stepMin, done) {
  const w = chartWords(), dialog = $("detail"), at = minute(atMs);
  const found = await ask(`/chart-gap/${encodeURIComponent(row.item)}/${atMs}/${stepMin}/${encodeURIComponent(encounter)}`);
  const title = make("h2", "", w.gap(nameOf(row), at)), list = make("ul", "gaps"), close = make("button", "", words.close);
  title.id = "detail-title";
  title.tabIndex = -1;
  close.addEventListener("click", () => dialog.close());
  for (const gap of found?.gaps ?? []) {
    const line = make("li", "", make("b", "", gap[language]), make("p", "", [gap.device, w.from(minute(gap.from), minute(gap.until))].filter(Boolean).join(" · ")));
    for (const shown of gap.evidence) line.append(makeEvidence(shown));
    list.append(line);
  }
  const nothing = found ? found.gaps.length ? "" : w.noGap : words.storeAway;
  dialog.replaceChildren(title, list, make("p", "", nothing), ...found?.take ? [makeTake(encounter, row, found.take, done)] : [], close);
  dialog.showModal();
  title.focus();
}

// Of what is charted on demand: now, or as it was measured by the column's label.
function makeTake(encounter, row, take, done) {
  const w = chartWords(), box = make("p", "buttons take"), button = make("button", "", take.at ? w.takeBy(minute(take.at)) : w.takeNow);
  box.append(button, makePress(button, { act: "take", encounter, item: row.item, at: take.at }, done));
  return box;
}

function makeEvidence(shown) {
  const text = `${chartWords().evidence}: ${shown[language]}`;
  if (!shown.batch) return make("p", "", text);
  const link = make("a", "link", text);
  link.href = `/batch/${shown.batch}`;
  link.target = "_blank";
  return link;
}
