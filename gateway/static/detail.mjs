// What was sent of a value, digit by digit, and the way it took.
import { readFrom } from "/ask.mjs";
import { $, make } from "/elements.mjs";
import { isLost } from "/feed.mjs";
import { wholeOf } from "/occupant.mjs";
import { moment, stamp } from "/time.mjs";
import { metric, nameOf, unitOf } from "/values.mjs";
import { language, words } from "/words.mjs";

let asked;

// Whoever asks; what comes back is whether nothing else was asked for meanwhile.
export function begin(shown) {
  asked = shown;
  return () => asked === shown;
}

export async function detail(shown) {
  const { bed, device, cell } = shown, isAsked = begin(shown);
  const [found, active, whose] = await Promise.all(["values", "alarms", "whose"].map(of => ask(`/${of}/${device.id}`)));
  const sent = cell.parts.map(part => found?.values.find(v => v.code === part.code && v.channel === part.channel));
  const values = sent.filter(Boolean), [first] = values;
  const origin = first?.batch_id && await ask(`/batch/${first.batch_id}`);
  if (!isAsked()) return;  // another value was clicked meanwhile
  const title = `${bed.assigned ? bed.label : nameOf(device)} · ${cell.name}`;
  show(title, cell.parts.map(v => metric(v)[language]).join(" · "), [
    [words.patient, wholeOf(whose)],
    [words.device, [device.name, device.claim, device.id]],
    ...cell.parts.flatMap((part, i) => rowsOf(part, sent[i])),
    [words.deviceAlarms, (active?.alarms ?? []).map(a =>
      `${["", "*", "**", "***"][a.priority]} ${a.text || a.condition} ${words.since} ${moment(a.since)}`)],
    ...(first ? wayOf(first, origin) : [[words.storedAt, [words.storeAway]]]),
  ]);
}

// The dialog, with rows [term, texts]; what has no text is left out.
export function show(name, about, rows) {
  const list = make("dl"), close = make("button", "", words.close), title = make("h2", "", name);
  title.id = "detail-title";
  Object.assign(title, { tabIndex: -1, autofocus: true });  // else a small screen would begin at its end, the button
  for (const [term, texts] of rows) {
    const said = texts.filter(Boolean);
    if (said.length) list.append(make("dt", "", term), make("dd", "", said.join(" · ")));
  }
  close.addEventListener("click", () => $("detail").close());
  $("detail").replaceChildren(title, make("p", "", about), list, close);
  if (!isLost() && !$("detail").open) $("detail").showModal();
}

// A bound has its sign, a code its words.
const digits = v => v.value === null ? v.text ?? "--" : (v.bound ?? "") + v.value.toFixed(v.decimals);

function rowsOf(part, v) {
  const m = metric(part), validity = v?.validity && words.validities[v.validity];
  const channel = [words.channel, part.label, `#${part.channel}`, part.ambiguous && `(${words.ambiguous})`];
  const named = part.channel && channel.filter(Boolean).join(" ");
  return [
    [m.short, v ? [`${digits(v)} ${unitOf(v)}`, words.validation_results[v.validation_result], validity] : []],
    [words.code, [m.reference, part.code, named, m.loinc && `LOINC ${m.loinc}`]],
  ];
}

function wayOf(v, origin) {
  const sealedAnew = origin?.earlier_seals ? words.sealedAnew(origin.earlier_seals) : "";
  const after = ms => `${stamp(ms, true)} (${ms < v.received ? "−" : "+"}${Math.abs(ms - v.received)} ms)`;
  return [
    [words.flags, words.flagWords.filter((_, i) => v.flags & 1 << i)],
    [words.observed, [after(v.observed)]],
    [words.received, [stamp(v.received, true)]],
    [words.signed, origin ? [after(origin.signed_ms), sealedAnew] : [words.storeAway]],
    [words.storedAt, [after(v.stored)]],
    [words.edge, origin ? [origin.edge, words.number(words.lanes[origin.lane], origin.batch_no)] : []],
    [words.batch, [v.batch_id]],
    [words.leaf, [String(v.leaf)]],
    [words.log, origin ? [words.place(origin.position)] : []],
  ];
}

export async function ask(path) {
  const { found } = await readFrom(path);
  return found;
}
