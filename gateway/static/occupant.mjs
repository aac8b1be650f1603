// Who is in a bed: on the tile in part, in the detail the whole, and each doubt in words.
import { ask, begin, show } from "/detail.mjs";
import { $, make, set } from "/elements.mjs";
import { now, picture } from "/feed.mjs";
import { moment } from "/time.mjs";
import { nameOf } from "/values.mjs";
import { language, words } from "/words.mjs";

const DOUBTS = ["conflict", "two", "undecided"];

export function makePatient() {
  const button = make("button", "patient", make("b"), make("span", "day"), make("span", "presence"));
  button.addEventListener("click", () => patientDetail(button.bed));
  return button;
}

// Before anybody has said who is where nobody is known anywhere: that is not said of each bed.
export function drawPatient(button, bed) {
  const p = bed.patient, known = p && !p.hidden && (picture.patientsKnown || p.presence === "here");
  button.hidden = !known;
  if (!known) return;
  const [name, day, presence] = button.children;
  button.className = ["patient", DOUBTS.includes(p.presence) && "doubt"].filter(Boolean).join(" ");
  button.bed = bed;
  const texts = [nameText(p), p.admitted === null ? "" : words.day(dayOf(p.admitted)), presenceText(p)];
  [name, day, presence].forEach((part, i) => set(part, texts[i]));
  button.setAttribute("aria-label", [words.patient, ...texts, words.whole].filter(Boolean).join(", "));
}

const inPart = ({ name, number }) => [name, number && `…${number}`].filter(Boolean).join(" ");

function nameText(p) {
  if (p.presence === "two" && p.both.length) return p.both.map(inPart).join("\n");
  if (DOUBTS.includes(p.presence)) return "?";
  return inPart(p) || words.nobody;
}

function presenceText(p) {
  if (p.presence === "absent") return words.absent(words.absences[p.absence], moment(p.since, 5));
  if (p.presence === "left") return words.left(moment(p.since, 5));
  return words.presences[p.presence] ?? "";
}

// The day of admission is the first, by this browser's calendar.
function dayOf(admitted) {
  const day = ms => { const d = new Date(ms); return Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000; };
  return Math.max(1, day(now()) - day(admitted) + 1);
}

export const wholeOf = found => found?.patient
  ? [found.patient.name || words.noName, found.patient.number, dateOf(found.patient.birth_date),
    sexOf(found.patient.sex)] : [];

// As HL7 sends them: 19570311, M (table 0001); what is neither is shown as it is.
export const dateOf = text => text.replace(/^(\d{4})(\d\d)(\d\d).*$/, "$1-$2-$3");
export const sexOf = code => words.sexes[code] ?? code;

// Whose the values of a device are, and why.
export function whoseRows(found) {
  if (!found?.state) return [[words.patient, [words.nothingKnown]]];
  const state = [words.states[found.state], words.bases[found.basis], found.since > 0 && `${words.since} ${moment(found.since)}`];
  return [
    [words.patient, wholeOf(found)],
    [words.attribution, state],
    [words.visit, [found.visit?.[language], found.proposed && words.proposed(found.proposed[language])]],
    ...found.facts.map(fact => ["", [fact.at && moment(fact.at), fact[language],
      fact.known_at && fact.known_at !== fact.at && `${words.heard} ${moment(fact.known_at)}`]]),
  ];
}

async function patientDetail(bed) {
  const isAsked = begin(bed), devices = bed.devices;
  const found = await Promise.all(devices.map(device => ask(`/whose/${device.id}`)));
  if (!isAsked()) return;
  const rows = devices.flatMap((device, i) => [
    ...(devices[1] ? [[words.device, [nameOf(device)]]] : []),
    ...whoseRows(found[i]),
  ]);
  show(`${bed.label} · ${words.patient}`, "", rows);
  for (const key of new Set(found.map(each => each?.patient?.key).filter(Boolean))) {
    linkTo(`/patient/${encodeURIComponent(key)}`, words.toPatient);
  }
  const visits = found.map(each => each?.visit).filter(Boolean);
  for (const visit of new Map(visits.map(each => [each.key, each])).values()) {
    linkTo(`/chart/${encodeURIComponent(visit.key)}`, words.toChart(visit[language]));
  }
  if (DOUBTS.includes(bed.patient?.presence)) linkTo("/worklist", words.worklist(picture.asked ?? ""));
}

// Out of the dialog, before its button.
function linkTo(path, text) {
  const link = make("a", "link", text);
  link.href = `${path}#${language}`;
  $("detail").lastChild.before(link);
}
