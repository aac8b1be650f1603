// `vitalwire login` waits: somebody types its code, sees who asks, and lets it in or not. No address carries a code.
import { commandLineWords } from "/command-line-words.mjs";
import { $, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { post } from "/post.mjs";
import { stamp } from "/time.mjs";

let asked = null, refused = "", outcome = "";

function draw() {
  const w = commandLineWords();
  set($("title"), w.title);
  document.title = `${w.title} · vitalwire`;
  for (const [id, text] of [["command-line-title", w.title], ["command-line-about", w.about], ["code-label", w.code], ["find-code", w.find],
    ["agree", w.agree], ["decline", w.decline], ["done", outcome && w[outcome]],
    ["refused", refused && (w.refused[refused] ?? w.unknown)]]) set($(id), text);
  $("code-form").hidden = asked !== null;
  $("asked").hidden = asked === null;
  set($("asked-by"), asked ? w.by(asked.user, asked.host, asked.address) : "");
  set($("asked-warning"), asked ? w.warning(stamp(asked.ends_at).slice(0, 16)) : "");
}

async function find(event) {
  event.preventDefault();
  outcome = "";
  const answer = await post("/command-line/find", { code: $("code").value });
  if (answer?.ok) {
    asked = await answer.json();
    refused = "";
  } else await refuse(answer);
  draw();
  (asked ? $("decline") : $("code")).focus();
}

async function answerIt(event) {
  event.preventDefault();
  const agreed = event.submitter?.value === "agree";
  const answer = await post("/command-line/answer", { code: $("code").value, agreed });
  asked = null;
  if (answer?.ok) {
    outcome = agreed ? "agreed" : "declined";
    refused = "";
    $("code").value = "";
  } else await refuse(answer);
  draw();
  $("code").focus();
}

async function refuse(answer) {
  const found = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  refused = found.refused ?? "unreadable";
}

$("code-form").addEventListener("submit", find);
$("asked").addEventListener("submit", answerIt);
openFrame(draw);
draw();
