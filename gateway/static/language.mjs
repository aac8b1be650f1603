// The language of a page: by its address (/#zh, for a wall display), else the browser's; links take it along.
import { $, set } from "/elements.mjs";
import { choose, language, words } from "/words.mjs";

const wished = () => /^#(en|zh)$/.exec(location.hash)?.[1];

// `draw` draws what else the page says, in `words`.
export function followLanguage(draw) {
  const speak = chosen => {
    choose(chosen);
    document.documentElement.lang = words.locale;
    for (const id of ["notice", "language"]) set($(id), words[id]);
    $("language").lang = words.otherLocale;
    for (const link of document.querySelectorAll("a[href^='/']")) link.hash = chosen;
    draw();
  };
  $("language").addEventListener("click", () => { location.hash = language === "en" ? "zh" : "en"; });
  addEventListener("hashchange", () => speak(wished() ?? language));
  speak(wished() ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
}
