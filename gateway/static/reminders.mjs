// What the person is reminded of: a band above the page, which goes when it is dismissed; the auditor has a review of it.
import { $, make, reconcile, set } from "/elements.mjs";
import { stamp } from "/time.mjs";
import { language } from "/words.mjs";

const EVERY_MS = 10_000, DISMISSED = "reminders-dismissed";
const WORDS = {
  en: {
    label: "Reminders", dismiss: "Understood",
    said: {
      outside_relations: () => "You are looking at a stay that is not of your ward or team. It is recorded, and an auditor looks at it.",
      bulk: ({ stays }) => `You have opened ${stays} stays in ten minutes. It is recorded, and an auditor looks at it.`,
      restricted: () => "This record is a restricted one. Who sees it is recorded, and an auditor looks at it.",
      grant_expiring: ({ until }) => `Your access to this stay ends at ${stamp(until).slice(11, 16)}. Ask for a new one in time, where you still treat the patient.`,
    },
  },
  zh: {
    label: "提醒", dismiss: "知道了",
    said: {
      outside_relations: () => "您正在查看非本病区、非本医疗组的就诊记录。此次查看已留痕，审计人员将复核。",
      bulk: ({ stays }) => `您在十分钟内打开了 ${stays} 次就诊记录。此操作已留痕，审计人员将复核。`,
      restricted: () => "此为受限病历。查看者均已留痕，审计人员将复核。",
      grant_expiring: ({ until }) => `您对该就诊记录的访问权限将于 ${stamp(until).slice(11, 16)} 到期。如仍参与诊疗，请及时重新申请。`,
    },
  },
};
let found = [], dismissed = new Set(JSON.parse(sessionStorage.getItem(DISMISSED) ?? "[]"));

// Begins to ask; a page calls it once, and `drawReminders` where its language changes.
export function showReminders() {
  const band = make("section");
  band.id = "reminders";
  band.setAttribute("aria-live", "polite");
  document.querySelector("header").after(band);
  addEventListener("hashchange", () => setTimeout(drawReminders));
  document.addEventListener("visibilitychange", read);
  setInterval(read, EVERY_MS);
  read();
}

export function drawReminders() {
  const w = WORDS[language], shown = found.filter(({ id, kind }) => w.said[kind] && !dismissed.has(id));
  $("reminders").setAttribute("aria-label", w.label);
  reconcile($("reminders"), shown.map(each => [each.id, each]), makeReminder, (line, each) => {
    set(line.children[0], w.said[each.kind](each));
    set(line.children[1], w.dismiss);
  });
}

function makeReminder({ id }) {
  const button = make("button");
  button.type = "button";
  button.addEventListener("click", () => {
    dismissed.add(id);
    sessionStorage.setItem(DISMISSED, JSON.stringify([...dismissed].slice(-100)));
    drawReminders();
    ($("reminders").querySelector("button") ?? $("help")).focus();
  });
  return make("p", "reminder", make("span"), button);
}

async function read() {
  if (document.hidden) return;
  const answer = await fetch("/reminders").catch(() => null);
  found = answer?.ok ? (await answer.json().catch(() => null))?.reminders ?? found : found;
  drawReminders();
}
