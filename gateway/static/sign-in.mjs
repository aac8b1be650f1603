// The page that signs in. It offers what the server has: the hospital's provider, a security key, a sealed account.
import { $, set } from "/elements.mjs";
import { followLanguage } from "/language.mjs";
import { drawKey, offerKey } from "/sign-in-key.mjs";
import { signInWords } from "/sign-in-words.mjs";

const asked = new URLSearchParams(location.search);
let refused = asked.get("refused") ?? "", waitS = Number(asked.get("wait_s")) || 0;

offerKey(() => location.assign(`${wishedPath()}${location.hash}`));
followLanguage(draw);
$("emergency-form").addEventListener("submit", openEmergency);
for (const id of ["pages", "help"]) $(id).hidden = true;
offer();

function draw() {
  const w = signInWords(), why = w.refused[refused];
  document.title = `${w.title} · vitalwire`;
  set($("sign-in-title"), w.title);
  drawKey();
  set($("to-provider"), w.provider);
  set($("demo"), w.demo);
  set($("emergency-title"), w.emergency);
  set($("emergency-about"), w.emergencyAbout);
  set($("account-label"), w.account);
  set($("password-label"), w.password);
  set($("open-emergency"), w.open);
  set($("refused"), refused ? (typeof why === "function" ? why(waitS) : why ?? w.refused.provider) : "");
}

// Where the browser was sent here from, if that is one of our pages.
function wishedPath() {
  const to = new URL(asked.get("to") ?? "/", location.origin);
  return to.origin === location.origin ? to.pathname : "/";
}

async function offer() {
  const answer = await fetch("/sign-in/options").catch(() => null);
  const { provider, demo } = answer?.ok ? await answer.json() : {};
  $("provider").hidden = !provider;
  $("demo").hidden = !demo;
  const to = asked.get("to");
  if (to) $("to-provider").search = `?to=${encodeURIComponent(to)}`;
}

async function openEmergency(event) {
  event.preventDefault();
  const wish = { account: $("account").value.trim(), password: $("password").value };
  $("open-emergency").disabled = true;
  const answer = await fetch("/sign-in/emergency", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish),
  }).catch(() => null);
  $("open-emergency").disabled = false;
  $("password").value = "";
  if (answer?.status === 204) {
    location.assign(`/${location.hash}`);
    return;
  }
  const found = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  refused = found.refused ?? "unreadable";
  waitS = found.wait_s ?? 0;
  draw();
  $("password").focus();
}
