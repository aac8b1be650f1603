// The language of a page: by its address (/#zh, for a wall display), else the browser's; links take it along. And the
// button of its theme, which every page has beside that of the language.
import { $, set } from "/elements.mjs";
import { followTheme, otherTheme, switchTheme } from "/theme.mjs";
import { choose, language, words } from "/words.mjs";

const wished = () => /^#(en|zh)$/.exec(location.hash)?.[1];

// `draw` draws what else the page says, in `words`.
export function followLanguage(draw) {
  const speak = chosen => {
    choose(chosen);
    document.documentElement.lang = words.locale;
    for (const id of ["notice", "language"]) set($(id), words[id]);
    $("language").lang = words.otherLocale;
    $("theme").title = words.toTheme[otherTheme()];
    $("theme").setAttribute("aria-label", words.toTheme[otherTheme()]);
    for (const link of document.querySelectorAll("a[href^='/']")) link.hash = chosen;
    draw();
  };
  $("theme").addEventListener("click", switchTheme);
  $("language").addEventListener("click", () => { location.hash = language === "en" ? "zh" : "en"; });
  addEventListener("hashchange", () => speak(wished() ?? language));
  followTheme(() => speak(language));
  speak(wished() ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
}
