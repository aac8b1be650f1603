// Dark or light: as the person chose in this browser, else as the browser prefers. The ward's page hangs on walls and
// stands on station displays: it is dark until somebody chooses. The page waits for this script before it paints.
const KEPT = "vitalwire-theme", root = document.documentElement, prefersLight = matchMedia("(prefers-color-scheme: light)");
const others = { dark: "light", light: "dark" };
let follow = () => {};

export const theme = () => root.dataset.theme;
export const otherTheme = () => others[theme()];

// `draw` draws anew what took its colours from a script; styles follow by themselves.
export function followTheme(draw) {
  follow = draw;
}

export function switchTheme() {
  localStorage.setItem(KEPT, otherTheme());
  apply();
}

function apply() {
  const kept = localStorage.getItem(KEPT), isDark = root.dataset.page === "ward" || !prefersLight.matches;
  root.dataset.theme = kept in others ? kept : isDark ? "dark" : "light";
  follow();
}

prefersLight.addEventListener("change", apply);
addEventListener("storage", ({ key }) => key === KEPT && apply());  // chosen in another tab
apply();
