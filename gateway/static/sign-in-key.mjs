// Sign-in by a security key, on the page that signs in: one button, nothing is typed.
import { $, make, set } from "/elements.mjs";
import { keyWords, refusedText } from "/key-words.mjs";
import { hasKeys, signInByKey } from "/security-key.mjs";

const button = make("button"), refusal = make("p", "refusal");
let waits = false, last = { refused: "" };

// `goIn()` leaves the page where somebody is in.
export function offerKey(goIn) {
  button.type = "button";
  button.id = "by-key";
  refusal.setAttribute("role", "alert");
  button.addEventListener("click", async () => {
    waits = true;
    last = { refused: "" };
    drawKey();
    const found = await signInByKey();
    waits = false;
    if (found.id) {
      new BroadcastChannel("vitalwire-workstation").postMessage({ id: found.id });
      goIn();
      return;
    }
    last = found;
    drawKey();
    button.focus();
  });
  $("key-sign-in").replaceChildren(button, refusal);
  button.hidden = !hasKeys();
  drawKey();
}

export function drawKey() {
  set(button, waits ? keyWords().waiting : keyWords().byKey);
  button.disabled = waits;
  set(refusal, refusedText(last));
}
