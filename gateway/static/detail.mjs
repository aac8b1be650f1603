// What was sent of a value, digit by digit, and the way it took.
import { $, make } from "/elements.mjs";
import { isLost } from "/feed.mjs";
import { moment, stamp } from "/time.mjs";
import { metric, nameOf, unitOf } from "/values.mjs";
import { language, words } from "/words.mjs";

let asked;

export async function detail(shown) {
  const { bed, device, cell } = asked = shown;
  const [found, active] = await Promise.all([ask(`/values/${device.id}`), ask(`/alarms/${device.id}`)]);
  const sent = cell.parts.map(part => found?.values.find(v => v.code === part.code && v.channel === part.channel));
  const values = sent.filter(Boolean), [first] = values;
  const origin = first?.batch_id && await ask(`/batch/${first.batch_id}`);
  if (asked !== shown) return;  // another value was clicked meanwhile
  const list = make("dl"), close = make("button", "", words.close);
  const title = make("h2", "", `${bed.assigned ? bed.label : nameOf(device)} · ${cell.name}`);
  title.id = "detail-title";
  Object.assign(title, { tabIndex: -1, autofocus: true });  // else a small screen would begin at its end, the button
  const rows = [
    [words.device, [device.name, device.claim, device.id]],
    ...cell.parts.flatMap((part, i) => rowsOf(part, sent[i])),
    [words.deviceAlarms, (active?.alarms ?? []).map(a =>
      `${["", "*", "**", "***"][a.priority]} ${a.text || a.condition} ${words.since} ${moment(a.since)}`)],
    ...(first ? wayOf(first, origin) : [[words.storedAt, [words.storeAway]]]),
  ];
  for (const [term, texts] of rows) {
    if (texts.length) list.append(make("dt", "", term), make("dd", "", texts.filter(Boolean).join(" · ")));
  }
  close.addEventListener("click", () => $("detail").close());
  $("detail").replaceChildren(title, make("p", "", cell.parts.map(v => metric(v)[language]).join(" · ")), list, close);
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

async function ask(path) {
  const answer = await fetch(path).catch(() => null);
  return answer?.ok ? answer.json().catch(() => null) : null;
}
