// Who is signed in where, and by what: mine for everybody; for an administrator all of it, keys, staff and screens.
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { refusedText } from "/key-words.mjs";
import { peopleWords } from "/people-words.mjs";
import { post } from "/post.mjs";
import { makeKey } from "/security-key.mjs";
import { stamp } from "/time.mjs";
import { words } from "/words.mjs";

const EVERY_MS = 10_000;
let list = null, problem = "", staff = "", said = () => "";
const refusals = new Map(), minute = ms => stamp(ms).slice(0, 16);

function draw() {
  const w = peopleWords();
  set($("title"), w.title);
  document.title = `${w.title} · vitalwire`;
  set($("problem"), problem && words[problem]);
  for (const [id, text] of [["mine-title", w.mine], ["keys-of-title", w.keysOf], ["add-key-label", w.addKeyLabel], ["add-key-go", w.addKey],
    ["whose-label", w.whose], ["whose-go", w.show], ["enrolments-title", w.enrolments], ["displays-title", w.displays],
    ["display-ward-label", w.ward], ["display-name-label", w.displayName], ["add-display-go", w.addDisplay], ["link", said()]]) set($(id), text);
  if (!list) return;
  rows("mine", list.sessions.map(each => sessionRow(each, false)));
  rows("keys-of", list.keys.map(each => keyRow(each, false)), w.noKey);
  $("managed").hidden = !list.manages;
  if (list.manages) drawManaged(list.all, w);
}

function drawManaged(all, w) {
  set($("staff-title"), w.staff(all.staff.length + (all.more_staff ? "+" : "")));
  rows("staff", all.staff.map(staffRow), all.more_staff ? w.more : "");
  rows("enrolments", all.enrolments.map(enrolmentRow), w.noEnrolment);
  const others = all.sessions.filter(each => each.who !== list.me);
  set($("all-title"), w.all(others.length));
  rows("all", others.map(each => sessionRow(each, true)));
  set($("their-keys-title"), staff ? w.theirKeys(staff) : "");
  rows("their-keys", all.keys.map(each => keyRow(each, true)));
  rows("displays", all.displays.map(displayRow), w.noDisplay);
  reconcile($("display-ward"), all.wards.map(ward => [ward, ward]), () => make("option"), (option, ward) => {
    option.value = ward;
    set(option, ward.split("^").reverse().filter(Boolean).join(" · "));
  });
}

// Each row: { key, title, lines, buttons: [{ text, path, wish, why }] }; a button with `why` asks for a reason.
function rows(id, found, none = "") {
  const shown = found.length || !none ? found : [{ key: "none", title: "", lines: [none], buttons: [] }];
  reconcile($(id), shown.map(row => [row.key, row]), makeRow, drawRow);
}

function makeRow() {
  const box = make("article", "item", make("h3"), make("p", "about"), make("p", "refusal"), make("form"));
  box.children[2].setAttribute("role", "alert");
  box.lastChild.addEventListener("submit", event => {
    event.preventDefault();
    const at = Number(event.submitter?.dataset.key ?? 0), button = box.row.buttons[at];
    const why = box.querySelector("input")?.value.trim() ?? "";
    press(box.row.key, button, button.why ? { ...button.wish, why } : button.wish);
  });
  return box;
}

function drawRow(box, row) {
  box.row = row;
  const [title, about, refusal, form] = box.children;
  set(title, row.title);
  title.hidden = !row.title;
  set(about, row.lines.filter(Boolean).join(" · "));
  set(refusal, refusedText({ refused: refusals.get(row.key) ?? "" }));
  form.hidden = !row.buttons.length;
  const asks = row.buttons.some(button => button.why);
  const fields = [...(asks ? [["why", null]] : []), ...row.buttons.map((button, i) => [i, button])];
  reconcile(form, fields, makeField, (field, button) => {
    if (button) set(field, button.text);
    else set(field.firstChild, peopleWords().why);
  });
}

function makeField(button) {
  if (button) return make("button");
  const input = make("input");
  Object.assign(input, { maxLength: 500, autocomplete: "off" });
  return make("label", "", make("span"), input);
}

function sessionRow(each, ofOthers) {
  const w = peopleWords();
  return {
    key: each.id, title: [ofOthers && each.who, each.this && w.here, each.locked && w.lockedNow, w.factors[each.factor]].filter(Boolean).join(" · "),
    lines: [w.since(minute(each.began)), w.seen(minute(each.seen)), each.address, each.agent],
    buttons: each.this ? [] : [{ text: w.end, path: "/people/sessions/end", wish: { session: each.id } }],
  };
}

function keyRow(each, ofOthers) {
  const w = peopleWords();
  const lines = [w.enrolled(minute(each.enrolled)), w.used(each.used && minute(each.used)), each.revoked && w.revoked(minute(each.revoked), each.by, each.why)];
  const revoke = { text: w.revoke, path: "/keys/revoke", wish: { key: each.id }, why: ofOthers };
  return { key: each.id, title: each.label || "…", lines, buttons: each.revoked ? [] : [revoke] };
}

function staffRow(each) {
  const w = peopleWords(), wish = { staff: each.staff }, replaces = each.keys > 0;
  const wards = each.wards.map(ward => ward.split("^").at(-1)).join(", ");
  const open = { text: replaces ? w.replaceKey : w.enrolKey, path: "/keys/enrolments", wish, why: replaces, done: opened };
  return {
    key: each.staff, title: `${each.name} · ${each.staff}`, lines: [w.roles[each.role] ?? each.role, wards, w.keys(each.keys), each.ended && w.left],
    buttons: each.ended || each.staff === list.me ? [] : [open],
  };
}

function enrolmentRow(each) {
  const w = peopleWords(), agree = { text: w.agree, path: "/keys/enrolments/agree", wish: { enrolment: each.id }, done: opened };
  return {
    key: each.id, title: each.staff, lines: [each.waits ? w.waits : w.mayEnrol, w.asked(each.by, each.why), w.until(minute(each.until))],
    buttons: each.waits && each.by !== list.me ? [agree] : [],
  };
}

function displayRow(each) {
  const w = peopleWords(), revoke = { text: w.revoke, path: "/people/displays/revoke", wish: { display: each.id }, why: true };
  const state = each.revoked ? w.revoked(minute(each.revoked), "", "") : each.enrolled ? w.enrolled(minute(each.enrolled)) : w.notYet(minute(each.until));
  return { key: each.id, title: each.label, lines: [each.ward.split("^").at(-1), state], buttons: each.revoked ? [] : [revoke] };
}

async function opened(answer) {
  const found = await answer.json();
  said = () => found.link ? peopleWords().link(location.origin + found.link, minute(found.until)) : peopleWords().waitsForSecond;
}

async function press(key, button, wish) {
  refusals.delete(key);
  const answer = await post(button.path, wish);
  if (answer?.ok) await button.done?.(answer);
  else refusals.set(key, await wordOf(answer));
  await read();
}

const wordOf = async answer => (await answer?.json().catch(() => ({})) ?? { refused: "server_away" }).refused ?? "unreadable";

async function addKey(event) {
  event.preventDefault();
  const asked = await post("/keys/begin", {});
  const credential = asked?.ok ? await makeKey(await asked.json()) : null;
  const answer = credential && await post("/keys", { credential, label: $("add-key-name").value.trim() });
  const refused = !asked?.ok ? await wordOf(asked) : !credential ? "key_cancelled" : answer?.ok ? "" : await wordOf(answer);
  set($("add-key-refusal"), refusedText({ refused }));
  if (!refused) $("add-key-name").value = "";
  await read();
}

async function addDisplay(event) {
  event.preventDefault();
  const answer = await post("/people/displays", { ward: $("display-ward").value, label: $("display-name").value.trim() });
  set($("add-display-refusal"), answer?.ok ? "" : refusedText({ refused: await wordOf(answer) }));
  if (answer?.ok) {
    await opened(answer);
    $("display-name").value = "";
    $("link").scrollIntoView({ block: "center" });
  }
  await read();
}

async function read() {
  const answer = await fetch(`/people/list?staff=${encodeURIComponent(staff)}`).catch(() => null);
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  if (found) list = found;
  problem = found || answer?.status === 403 ? "" : answer ? "storeAway" : "serverAway";
  draw();
}

openFrame(draw);
$("add-key").addEventListener("submit", addKey);
$("add-display").addEventListener("submit", addDisplay);
$("whose").addEventListener("submit", event => {
  event.preventDefault();
  staff = $("whose-number").value.trim();
  read();
});
setInterval(read, EVERY_MS);
document.addEventListener("visibilitychange", read);
read();
