// Boxes that ask to be let in: a person compares the fingerprint with what the box shows, and agrees or refuses.
import { drawActedList } from "/acted-list.mjs";
import { readFrom } from "/ask.mjs";
import { boxWords } from "/boxes-words.mjs";
import { $, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { stamp } from "/time.mjs";
import { words } from "/words.mjs";

const EVERY_MS = 5000;
let found = null, problem = "";

const minute = ms => stamp(ms).slice(0, 16);

function draw() {
  const w = boxWords();
  set($("title"), w.title);
  document.title = w.title;
  set($("problem"), problem && words[problem]);
  set($("waiting-title"), w.waiting);
  set($("invited-title"), w.invited);
  if (!found) return;
  set($("waiting-about"), w.waitingAbout(found.request_lasts_h));
  set($("invited-about"), w.invitedAbout(found.code_lasts_min));
  drawList("waiting", found.boxes.filter(box => box.fingerprint), w.noneWaits);
  drawList("invited", found.boxes.filter(box => !box.fingerprint), w.noneInvited);
}

function drawList(id, boxes, none) {
  const w = boxWords();
  drawActedList(id, boxes.map(row), { none, reason: w.reason, refused: refusedText, done: readBoxes });
}

function row(box) {
  const w = boxWords(), { invitation, key } = box;
  const acts = [  // the first one is what Enter in the field presses
    { text: w.refuse, path: "/boxes/refuse", wish: { invitation }, reason: "why" },
    ...key ? [{ text: w.agree, path: "/boxes/agree", wish: { invitation, key }, reason: "" }] : [],
  ];
  const about = [w.by(box.by), box.since !== null && w.since(minute(box.since)), box.address && w.from(box.address), w.until(minute(box.until))];
  return {
    key: `${invitation} ${key}`, title: box.label, reasonMayLack: true, acts: found.may_decide ? acts : [],
    lines: [box.fingerprint && w.fingerprint(box.fingerprint), about.filter(Boolean).join(" · ")],
  };
}

async function refusedText(answer) {
  if (answer?.status === 204) return "";
  const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  return boxWords().refused[refused] ?? words.refused[refused] ?? words.refused.unreadable;
}

async function readBoxes() {
  const answer = await readFrom("/boxes/undecided");
  found = answer.found ?? found;
  problem = answer.problem;
  draw();
}

openFrame(draw);
setInterval(readBoxes, EVERY_MS);
document.addEventListener("visibilitychange", readBoxes);
readBoxes();
