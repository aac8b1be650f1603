// What may be said of a device's values before they are believed, and how they stand together.
import { metrics, now } from "/feed.mjs";
import { age, moment } from "/time.mjs";
import { words } from "/words.mjs";

const EXPECTED_MS = 60_000, NIBP_EXPECTED_MS = 900_000;  // until the server has seen two values of a channel
const DIM_MIN_MS = 6000, STALE_MIN_MS = 15_000, SILENT_MIN_MS = 30_000;  // the pipe takes a second or two
const LATE_BY_MS = 5000, AHEAD_BY_MS = 60_000;
const LATE = 1;                // a flag of a report
// In the order of a monitor's screen, in the colours of its traces.
const LOOKS = [[/^HR/, "green"], [/^SpO2/, "cyan"], [/^(PR|Pulse|PI$|Perf)/, "cyan"],
  [/^(aw)?RR|^f(tot|spn)?$/, "yellow"], [/^NIBP/, "white"], [/^(ABP|ART|P-|PAP)/, "red"], [/^T[a-z]*$/, "white"],
  [/CO2/, "white"], [/^(ECG|PVC|QRS|QT|ST-)/, "green"], [/./, "white"]];
const PRESSURE = /^(NIBP|ABP|ART|PAP|P)-([SDM])$/;
const PIECES = /\d+|\D+/g;

// ICU-2 before ICU-10, the same in both languages: a bed keeps its place. To make an Intl.Collator takes a browser longer
// than all else that a page does before it draws.
export function byLabel(a, b) {
  const ofA = a.toUpperCase().match(PIECES) ?? [], ofB = b.toUpperCase().match(PIECES) ?? [];
  const at = ofA.findIndex((piece, i) => piece !== ofB[i] && piece - ofB[i] !== 0);  // 7 and 07 are one number
  if (at < 0) return ofA.length - ofB.length || (a < b ? -1 : a > b ? 1 : 0);
  if (at >= ofB.length) return 1;
  return ofA[at] - ofB[at] || (ofA[at] < ofB[at] ? -1 : 1);
}

export const nameOf = device => device.name || device.claim || device.id;
export const newest = device => Math.max(...device.values.map(heardAt));
export const isSilent = device => !device.values.length
  || now() - newest(device) > Math.max(SILENT_MIN_MS, 5 * Math.min(...device.values.map(expected)));
export const metric = v => metrics[v.code]
  ?? { short: String(v.code), en: "", zh: "", unit: "?", reference: "", loinc: null };
const expected = v => Math.max(1000, v.every ?? (metric(v).short.startsWith("NIBP") ? NIBP_EXPECTED_MS : EXPECTED_MS));
const heardAt = v => Math.min(v.received, v.stored);  // an edge's clock may be ahead; nothing is newer than its row
const observedAt = v => Math.min(v.observed, heardAt(v));

// The values of a device as a monitor shows them: systolic / diastolic (mean) of one moment are one cell.
export function cells(device) {
  const found = new Map();
  for (const v of device.values) {
    if (heardAt(v) < device.since) continue;  // said at another bed; null is 0
    const [, base, part] = metric(v).short.match(PRESSURE) ?? [];
    const key = base ? `${base} ${v.observed}` : `${v.code} ${v.channel}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push({ base, part: part ?? v.code, v });
  }
  const out = [];
  for (const { base, parts } of [...found.values()].flatMap(together)) {
    const { S, D, M } = parts;
    const whole = S && D ? [[base, S, D, M]] : Object.values(parts).map(v => [metric(v).short, v]);
    for (const [name, ...of] of whole) {
      out.push({ key: `${name} ${of[0].code} ${of[0].channel}`, name, title: name, parts: of.filter(Boolean) });
    }
  }
  for (const cell of out) {  // like channels are told apart by what they are called
    const equal = out.filter(other => other.name === cell.name);
    if (equal[1]) cell.title = `${cell.name} ${channelOf(cell.parts[0])}`;
  }
  return out.sort((a, b) => look(a) - look(b) || a.parts[0].code - b.parts[0].code || byLabel(a.title, b.title)
    || a.parts[0].channel - b.parts[0].channel);
}

// A sender may call each part by a word, and so a channel, of its own: where there is one of each they are one pressure.
function together(said) {
  const oneOfEach = new Set(said.map(({ part }) => part)).size === said.length, found = new Map();
  for (const { base, part, v } of said) {
    const key = oneOfEach ? "" : v.channel;
    if (!found.has(key)) found.set(key, { base, parts: {} });
    found.get(key).parts[part] = v;
  }
  return [...found.values()];
}

const channelOf = v => (v.label ?? `#${(v.channel % 4096).toString(16)}`) + (v.ambiguous ? "?" : "");
const looks = new Map();  // by the cell's name: asked for with every comparison

function look({ name }) {
  if (!looks.has(name)) looks.set(name, LOOKS.findIndex(([pattern]) => pattern.test(name)));
  return looks.get(name);
}

export const colour = cell => LOOKS[look(cell)][1];

// All that may be said of a value before its number is believed.
export function assess({ name, parts }) {
  const old = Math.max(...parts.map(v => now() - (v.flags & LATE ? observedAt(v) : heardAt(v))));
  const usual = Math.max(...parts.map(expected)), observed = Math.min(...parts.map(observedAt));
  const result = parts.map(v => v.validation_result).find(word => !word.startsWith("accepted"));
  const is = {
    stale: old > Math.max(STALE_MIN_MS, 5 * usual),
    missing: result === "missing", withdrawn: result === "withdrawn", training: result === "doubtful_training",
    doubtful: result && result !== "missing",
    clock: parts.some(v => heardAt(v) - observedAt(v) > Math.max(LATE_BY_MS, usual)
      || v.observed - heardAt(v) > AHEAD_BY_MS),
  };
  is.dim = is.clock || old > Math.max(DIM_MIN_MS, 2 * usual);
  is.state = words[["stale", "missing", "withdrawn", "training", "doubtful", "clock"].find(key => is[key])] ?? "";
  is.aged = (name.startsWith("NIBP") ? `${moment(observed, 5)} ` : "") + age(now() - observed);
  return is;
}

// What was not validated is not in the metric's unit.
export const unitOf = v => /unit|unmapped|unknown/.test(v.validation_result) ? "?"
  : (v.unit ?? metric(v).unit).replace("Cel", "°C").replace(/[[\]]|^1$/g, "");
