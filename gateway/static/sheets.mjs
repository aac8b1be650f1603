// Printed sheets of an encounter, page by page in true millimetres, as they come out of a printer.
import { readFrom } from "/ask.mjs";
import { drawChartBar } from "/chart-bar.mjs";
import { chartWords } from "/chart-words.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { openFrame } from "/frame.mjs";
import { drawGlass } from "/glass.mjs";
import { language, words } from "/words.mjs";

const A4_MM = { sheet: [210, 297], hourly: [297, 210] };

// `kind`: sheet or hourly.
export function openSheets(kind) {
  const key = location.pathname.slice(kind.length + 2);  // as it stands in the address: encoded
  let found = null, problem = "", drawn = "";

  const draw = () => {
    const w = chartWords();
    set($("title"), [w[kind], found?.visit].filter(Boolean).join(" · "));
    document.title = $("title").textContent;
    drawGlass(found?.glass_until ?? null);
    set($("problem"), problem ? (problem === "notFound" ? w.notFound : words[problem]) : "");
    set($("print"), `${w.print} (P)`);
    set($("pdf"), w.pdf);
    $("pdf").href = `/${kind}/${key}.pdf?language=${language}`;
    set($("unprintable"), found?.unprintable ? w.unprintable(found.unprintable) : "");
    drawChartBar(key, found?.patient);
    if (!found || found.language !== language) return;
    const numbers = Array.from({ length: found.count }, (_, i) => i + 1);
    reconcile($("sheets"), numbers.map(n => [`${n} ${language}`, n]), makeSheet, (box, n) => {
      const [caption, image, left] = box.children;
      set(caption, w.page(n, found.count));
      image.alt = `${w[kind]}, ${w.page(n, found.count)}`;
      const source = `/sheet-page/${kind}/${language}/${n}/${key}`;
      if (!image.src.endsWith(source)) image.src = source;
      set(left, found.not_drawn[n - 1].length ? `${w.notDrawn}: ${found.not_drawn[n - 1].join("; ")}` : "");
    });
  };

  const makeSheet = () => {
    const image = make("img"), [width, height] = A4_MM[kind];
    image.width = width * 96 / 25.4;  // CSS pixels; print.css has millimetres
    image.height = height * 96 / 25.4;
    return make("figure", kind, make("figcaption"), image, make("p", "left-out"));
  };

  const read = async () => {
    const asked = language, { found: next, problem: why } = await readFrom(`/sheet-pages/${kind}/${asked}/${key}`);
    problem = why;
    if (asked !== language) return;
    if (next) found = { ...next, language: asked };
    draw();
  };

  openFrame(() => {
    draw();
    if (drawn !== language) read();
    drawn = language;
  }, [{ key: "P", name: "print", press: () => print() }]);
  $("print").addEventListener("click", () => print());
}
