// Alarms: their order, where they are when no window shows them, and what is spoken.
import { $, make, reconcile, set } from "/elements.mjs";
import { picture } from "/feed.mjs";

export const STARS = { high: "***", medium: "**", low: "*" };
const PRIORITIES = Object.keys(STARS);
let announced = new Set();

// What opened late is looked at after what rings now.
export const byPriority = alarms => alarms.toSorted((a, b) =>
  a.late - b.late || PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority));
export const isOf = (alarm, v) => alarm.condition.startsWith(`${v.code}-${v.channel}-`);  // code-channel-side

// Beds that alarm outside of what the window shows, the worst first: one step away.
export function drawElsewhere(draw) {
  const rank = tile => PRIORITIES.findIndex(priority => tile.classList.contains(priority));
  const tiles = [...$("beds").children].filter(tile => {
    if (rank(tile) < 0) return false;  // to ask where it is costs a layout
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom < 40 || top > innerHeight - 40;
  }).sort((a, b) => rank(a) - rank(b));
  reconcile($("elsewhere"), tiles.map(tile => [tile.dataset.key, tile]), tile => {
    const button = make("button");
    button.addEventListener("click", () => {
      tile.scrollIntoView({ block: "center" });
      tile.querySelector(".value")?.focus({ preventScroll: true });
      draw();
    });
    return button;
  }, (button, tile) => {
    button.className = `alarm ${PRIORITIES[rank(tile)]}`;
    set(button, `${tile.dataset.bed} ${tile.querySelector(".alarm b").textContent}`);
  });
}

// What opens with high priority is spoken once, and what opened late once a fresh value has confirmed it; everything else
// waits to be read.
export function announce() {
  const high = picture.beds.flatMap(bed => bed.alarms.filter(a => a.priority === "high" && !a.late).map(a => [bed, a]));
  const fresh = high.filter(([, a]) => !announced.has(a.episode));
  announced = new Set(high.map(([, a]) => a.episode));
  if (fresh.length) $("said").textContent = fresh.map(([bed, a]) => `${bed.label}: ${a.message}`).join("; ");
}
