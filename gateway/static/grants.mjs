// What I may see and why; who has a relation to a stay, from whom and until when; restricted records; second persons.
import { drawActedList } from "/acted-list.mjs";
import { readFrom } from "/ask.mjs";
import { auditWords } from "/audit-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { drawGlass } from "/glass.mjs";
import { grantsWords } from "/grants-words.mjs";
import { post } from "/post.mjs";
import { stamp } from "/time.mjs";
import { language, words } from "/words.mjs";

const EVERY_MS = 20_000, HOUR_MS = 3_600_000, GIVEN = ["team", "consulted"];
const GRANT_HOURS = [1, 4, 8, 24, 72, 168, 336, 744], SHIFT_HOURS = [4, 8, 12, 16];  // the longest: emr_store/grants.py
const REOPEN_HOURS = [4, 8, 24, 48, 72];  // the longest: emr_store/archive.py
const key = location.pathname.slice("/grants/".length);  // as it stands in the address: encoded; "": of no stay
let stay = null, copies = null, mine = null, restricted = null, second = null, problem = "";
const minute = ms => stamp(ms).slice(0, 16), to = path => `${path}#${language}`;

function draw() {
  const w = grantsWords();
  set($("title"), w.title);
  document.title = `${w.title} · vitalwire`;
  set($("problem"), problem && words[problem]);
  for (const [id, text] of Object.entries(w.labels)) set($(id), text);
  $("of-stay").hidden = !stay;
  $("mine").hidden = !mine;
  drawGlass(stay?.glass_until ?? null);
  if (stay) drawStay(w);
  if (mine) drawMine(w);
}

function drawStay(w) {
  set($("stay-title"), w.stay(stay.visit[language]));
  set($("stay-about"), stay.restricted ? w.restrictedStay : "");
  $("stay-patient").hidden = !stay.patient;
  $("stay-patient").href = to(`/patient/${encodeURIComponent(stay.patient ?? "")}`);
  set($("stay-patient"), words.toPatient);
  list("stay-grants", stay.grants.map(each => grantRow(each, true)), w.noGrant);
  for (const element of [$("give"), $("give-staff"), $("give-reason"), $("give-go")]) element.hidden = !stay.may_grant;
  options($("give-relation"), GIVEN, auditWords().relations);
  options($("give-hours"), GRANT_HOURS, Object.fromEntries(GRANT_HOURS.map(n => [n, w.long(n)])));
  drawArchive(w);
  $("copies-section").hidden = !copies;
  if (copies) list("copies", copies.map(each => partRow(each, w)), w.noCopy);
}

function drawArchive(w) {
  const until = stay.reopened_until_ms;
  $("archive-section").hidden = !stay.may_reopen;
  set($("archive-state"), until !== null ? w.reopened(minute(until)) : stay.archived ? w.archived : w.notArchived);
  options($("reopen-hours"), REOPEN_HOURS, Object.fromEntries(REOPEN_HOURS.map(n => [n, w.long(n)])));
}

function drawMine(w) {
  const relations = mine.grants.map(each => grantRow(each, false));
  set($("mine-wards"), [mine.name, mine.staff, auditWords().roles[mine.role] ?? mine.role, w.wards(mine.wards.map(each => each.name))].join(" · "));
  $("shift").hidden = !mine.pool.length;
  options($("shift-ward"), mine.pool.map(each => each.ward), Object.fromEntries(mine.pool.map(each => [each.ward, each.name])));
  options($("shift-hours"), SHIFT_HOURS, Object.fromEntries(SHIFT_HOURS.map(n => [n, w.long(n)])));
  list("shifts", mine.shifts.map(each => ({ key: `${each.ward} ${each.since_ms}`, title: each.name, lines: [w.span(minute(each.since_ms), minute(each.until_ms))], acts: [] })), w.noShift);
  list("own", relations, w.noOwn);
  $("trainees-section").hidden = !mine.trainees.length;
  list("trainees", mine.trainees.map(each => ({ key: each.staff, title: `${each.name} · ${each.staff}`, lines: [w.until(minute(each.until_ms))], acts: [] })), "");
  $("restricted-section").hidden = !restricted;
  if (restricted) list("restricted", restricted.map(recordRow), w.noRecord);
  $("second-section").hidden = !second || !(second.may_answer || second.requests.length);
  list("second", second?.requests.map(requestRow) ?? [], w.noRequest);
}

function list(id, rows, none) {
  const w = grantsWords();
  drawActedList(id, rows, { none, reason: w.reason, refused, done: async word => {
    if (!word) set($("said"), grantsWords().done);
    await read();
  } });
}

function options(select, values, names) {
  reconcile(select, values.map(each => [each, each]), value => Object.assign(make("option"), { value }), (option, each) => set(option, names[each] ?? each));
}

function grantRow(each, ofStay) {
  const w = grantsWords(), relation = auditWords().relations[each.relation] ?? each.relation;
  const end = { text: w.end, path: "/grant-end", wish: { grant: each.grant }, reason: "reason" };
  const state = each.ended_ms !== null ? w.ended(minute(each.ended_ms)) : each.holds ? "" : w.over;
  return {
    key: each.grant, title: [relation, ofStay ? `${each.name} · ${each.staff}` : each.visit[language]].join(" · "),
    lines: [[w.span(minute(each.since_ms), minute(each.until_ms)), state].filter(Boolean).join(" · "), w.because(each.by === each.staff ? w.oneself : each.by, each.reason)],
    link: ofStay ? null : { href: to(`/grants/${encodeURIComponent(each.encounter)}`), text: w.toStay },
    acts: each.may_end ? [end] : [],
  };
}

function partRow(each, w) {
  const confirmed = Object.entries(each.confirmed).map(([side, has]) => w.side(w.sides[side], has)).join(" · ");
  return {
    key: `${each.copy} ${each.part}`, title: w.part(each.part, each.copy),
    lines: [w.made(minute(each.made_ms), each.versions), w.recorded(each.since_ms === null ? "" : minute(each.since_ms), minute(each.until_ms)), `SHA-256 ${each.list_sha256}`, confirmed],
    acts: [],
  };
}

function recordRow(each) {
  const w = grantsWords(), lift = { text: w.lift, path: "/restrict-end", wish: { patient: each.patient }, reason: "reason" };
  return { key: each.patient, title: each.patient.split("^")[0], lines: [w.since(minute(each.since_ms)), w.because(each.by, each.reason)], acts: [lift] };
}

function requestRow(each) {
  const w = grantsWords(), wish = { request: each.request };
  const agree = each.may_agree && { text: w.agree, path: "/second-person/agree", wish, reason: "why" };
  const decline = each.may_decline && { text: each.own ? w.takeBack : w.decline, path: "/second-person/decline", wish, reason: "why" };
  const details = Object.entries(each.details).map(([name, value]) => `${name}: ${value}`).join(" · ");
  return {
    key: each.request, title: w.kinds[each.kind] ?? each.kind, reasonMayLack: true,
    lines: [w.asked(each.by, minute(each.at_ms), each.why), details, [each.agreed_by && w.agreed(each.agreed_by), w.until(minute(each.expires_ms))].filter(Boolean).join(" · ")],
    acts: [agree, decline].filter(Boolean),
  };
}

// Why an act was refused; "" where it is done.
async function refused(answer) {
  if (answer?.ok) return "";
  if (answer?.status === 404) return grantsWords().refused.not_there;
  const { refused: word } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  return grantsWords().refused[word] ?? words.refused[word] ?? words.refused.unreadable;
}

function act(id, path, wish, emptied) {
  $(id).addEventListener("submit", async event => {
    event.preventDefault();
    const word = await refused(await post(path, wish()));
    set($(`${id}-refusal`), word);
    if (!word) {
      for (const field of emptied) $(field).value = "";
      set($("said"), grantsWords().done);
    }
    await read();
  });
}

async function read() {
  if (key) {
    const answer = await readFrom(`/grants-of/${key}`);
    ({ problem } = answer);
    stay = answer.found ?? (problem === "storeAway" || problem === "serverAway" ? stay : null);
    copies = answer.found?.may_see_copies ? (await readFrom(`/custody-copies/${key}`)).found?.parts ?? null : null;
  } else {
    const answer = await readFrom("/my-access");
    ({ problem } = answer);
    mine = answer.found ?? (problem === "noAccess" ? null : mine);
    restricted = answer.found?.may_restrict ? (await readFrom("/restricted-records")).found?.records ?? null : null;
    second = answer.found ? (await readFrom("/second-person")).found : second;
  }
  draw();
}

openFrame(draw);
act("give", "/grant", () => ({
  staff: $("give-staff").value.trim(), relation: $("give-relation").value, encounter: stay.encounter,
  until_ms: stay.now_ms + Number($("give-hours").value) * HOUR_MS, reason: $("give-reason").value,
}), ["give-staff", "give-reason"]);
act("reopen", "/reopen", () => ({
  encounter: stay.encounter, hours: Number($("reopen-hours").value), reason: $("reopen-reason").value,
}), ["reopen-reason"]);
act("shift", "/ward", () => ({ ward: $("shift-ward").selectedOptions[0].text, hours: Number($("shift-hours").value) }), []);
act("restrict", "/restrict", () => ({ patient: $("restrict-patient").value.trim(), reason: $("restrict-reason").value }), ["restrict-patient", "restrict-reason"]);
$("ask-stay").addEventListener("submit", event => {
  event.preventDefault();
  location.assign(to(`/grants/${encodeURIComponent($("stay-number").value.trim())}`));
});
setInterval(() => document.hidden || read(), EVERY_MS);
read();
