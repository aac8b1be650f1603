// A first or a new security key, by the link of an administrator, which opens once.
import { $, set } from "/elements.mjs";
import { keyWords, refusedText } from "/key-words.mjs";
import { followLanguage } from "/language.mjs";
import { beginByLink, enrolByLink } from "/security-key.mjs";

const code = location.pathname.split("/").at(-1);
let found = null, last = { refused: "" }, waits = false, isDone = false;

followLanguage(draw);
for (const id of ["pages", "help"]) $(id).hidden = true;
$("enrol-form").addEventListener("submit", enrol);
begin();

function draw() {
  const w = keyWords();
  set($("enrol-title"), w.enrol(found?.name ? `${found.name} (${found.staff})` : "…"));
  document.title = `${$("enrol-title").textContent} · vitalwire`;
  set($("enrol-about"), w.enrolAbout);
  set($("key-label"), w.label);
  set($("enrol"), waits ? w.waiting : w.enrolButton);
  set($("done"), isDone ? w.enrolled : "");
  set($("to-sign-in"), w.toSignIn);
  set($("refused"), refusedText(last));
  $("enrol").disabled = waits;
  $("enrol-form").hidden = !found || isDone;
  $("to-sign-in").hidden = !isDone;
}

async function begin() {
  const answer = await beginByLink(code);
  found = answer.options ? answer : null;
  last = answer.options ? { refused: "" } : answer;
  draw();
}

async function enrol(event) {
  event.preventDefault();
  waits = true;
  draw();
  last = await enrolByLink(code, $("key-name").value.trim(), found.options);
  waits = false;
  isDone = !last.refused;
  if (!isDone) {  // a challenge is for one answer
    const why = last;
    await begin();
    if (found) last = why;
  }
  draw();
  (isDone ? $("to-sign-in") : $("enrol")).focus();
}
