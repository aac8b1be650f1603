// What each bed shows now, and how old it is: each picture is drawn whole, but only what changed is touched.
import { announce, drawElsewhere } from "/alarms.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { broken, connect, isLost, isServed, now, picture, takeOpening } from "/feed.mjs";
import { drawAsked, openFrame } from "/frame.mjs";
import { drawLedger } from "/ledger.mjs";
import { drawOtherWards, openOtherWards } from "/other-wards.mjs";
import { whoIsIn } from "/post.mjs";
import { drawBeds } from "/tile.mjs";
import { age, stamp } from "/time.mjs";
import { byLabel } from "/values.mjs";
import { words } from "/words.mjs";

const CLOCK_OFF_MS = 5000;
let wards = null;  // of who is signed in
const isMine = bed => !wards?.length || wards.includes(bed.ward);  // those that a grant opened come behind
const unbroken = text => text.replaceAll("-", "\u2011").replaceAll(" ", "\u00a0");  // on one line

// A page that stands still because its script failed would look live: it is covered instead.
function draw() {
  let failed = broken;
  try {
    if (picture && !isLost() && !broken) drawPicture();
  } catch (error) {
    failed = true;
    console.error(error);
  }
  const lost = failed || isLost();
  if (lost) {
    for (const id of ["detail", "keys"]) $(id).close();
    const why = failed ? words.broken : isServed() ? words.storeAway : words.serverAway;
    const lines = [words.lost, picture && words.old(unbroken(stamp(picture.now))), words.look, why, words.again].filter(Boolean);
    reconcile($("lost"), lines.map((line, i) => [i, line]), () => make("p"), set);
  }
  $("page").inert = lost;
  $("lost").hidden = !lost;
}

function drawPicture() {
  const order = picture.beds.toSorted((a, b) => isMine(b) - isMine(a) || b.assigned - a.assigned || byLabel(a.label, b.label));
  const focused = document.activeElement;
  drawBeds($("beds"), order);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  drawElsewhere(draw);
  set($("empty"), order.length ? "" : words.empty);
  set($("clock"), stamp(now()));
  set($("adt"), picture.adt === null ? "" : words.adt(age(now() - picture.adt)));
  drawAsked(picture.asked);
  const off = Math.abs(Date.now() - now());
  set($("clock-off"), off > CLOCK_OFF_MS ? words.clockOff(age(off)) : "");
  drawLedger();
  announce();
}

function drawWords() {
  for (const id of ["beds", "elsewhere", "ledger"]) $(id).setAttribute("aria-label", words[id]);
  drawOtherWards();
  draw();
}

function tick() {
  connect(draw);
  draw();
}

const toBed = key => document.querySelectorAll(".bed")[key - 1]?.querySelector(".value")?.focus();
$("said").setAttribute("aria-live", "assertive");  // alarms alone are spoken here
document.addEventListener("visibilitychange", tick);
addEventListener("pageshow", event => { if (event.persisted) tick(); });  // it comes back, with what it showed then
takeOpening();
openOtherWards();
openFrame(drawWords, [{ key: "1–9", name: "bed", pattern: /^[1-9]$/, press: toBed }]);
whoIsIn().then(me => { wards = me?.wards; });
setInterval(tick, 1000);
connect(draw);
