// Breaking the glass: a stay of nobody of mine opens to who gives a reason, with an end; while it is open a band says so.
import { $, make, set } from "/elements.mjs";
import { post } from "/post.mjs";
import { moment } from "/time.mjs";
import { words } from "/words.mjs";

const HOURS_MAX = 8, REASON_CHARS_MAX = 500;
const asked = new Map();  // by encounter, whether it was opened: one that was not is not asked for again by what polls

// Of an answer 403: whether the person opened the stay, so that it may be asked for again.
export async function askReason(answer) {
  const { ask, encounter } = await answer.clone().json().catch(() => ({}));
  return ask === "reason" ? breakGlass(encounter) : false;
}

export function breakGlass(encounter) {
  if (!asked.has(encounter)) asked.set(encounter, openDialog(encounter));
  return asked.get(encounter);
}

// A stay that a person presses for is asked for again.
export function forgetAsked(encounter) {
  asked.delete(encounter);
}

// `untilMs`: null where no glass is broken.
export function drawGlass(untilMs) {
  let band = $("glass-band");
  if (!band) {
    band = make("p");
    band.id = "glass-band";
    band.setAttribute("role", "status");
    document.querySelector("header").after(band);
  }
  band.hidden = !untilMs;
  set(band, untilMs ? words.glass.band(moment(untilMs)) : "");
}

function openDialog(encounter) {
  const w = words.glass, dialog = make("dialog"), title = make("h2", "", w.title), form = make("form", "by-hand");
  const reason = make("input"), hours = make("select"), refusal = make("p", "refusal");
  const open = make("button", "", w.open), cancel = make("button", "", words.close);
  title.id = "glass-title";
  dialog.id = "glass";
  dialog.setAttribute("aria-labelledby", title.id);
  refusal.setAttribute("role", "alert");
  Object.assign(reason, { id: "glass-reason", required: true, maxLength: REASON_CHARS_MAX, autocomplete: "off" });
  for (let n = 1; n <= HOURS_MAX; n += 1) hours.append(new Option(w.hours(n), n));
  cancel.type = "button";
  form.append(make("label", "", make("span", "", w.reason), reason), make("label", "", make("span", "", w.until), hours), refusal,
    make("p", "buttons", open, cancel));
  dialog.append(title, make("p", "", w.about), form);
  document.body.append(dialog);
  dialog.showModal();
  reason.focus();
  return new Promise(resolve => {
    let opened = false;
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(opened);
    });
    form.addEventListener("submit", async event => {
      event.preventDefault();
      const said = reason.value.trim();
      if (!said) return;
      open.disabled = true;
      const answer = await post("/break-glass", { encounter, reason: said, hours: Number(hours.value) });
      open.disabled = false;
      opened = answer?.ok ?? false;
      if (opened) {
        asked.delete(encounter);
        dialog.close();
        return;
      }
      const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
      set(refusal, words.refused[refused] ?? words.refused.unreadable);
    });
  });
}
