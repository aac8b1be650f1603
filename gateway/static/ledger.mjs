// What devices said, and what became of it.
import { $, make, reconcile, set } from "/elements.mjs";
import { picture } from "/feed.mjs";
import { age } from "/time.mjs";
import { words } from "/words.mjs";

export function drawLedger() {
  const l = { ...picture.ledger };
  l.total = l.accepted + l.doubtful + l.unmapped + l.missing;
  const summand = parts => (key, i) => [l[key], words.counted[key] + (parts[i + 1] ? " +" : "")];
  const sum = (title, total, of, parts) => [title, l[total], `${of} =`, ...parts.flatMap(summand(parts))];
  const lines = [
    ["reports", sum(words.reports, "said", words.said, ["stored", "quarantined", "on_the_way", "lost", "unexplained"])],
    ["values", sum(words.values, "total", words.counted.stored, ["accepted", "doubtful", "unmapped", "missing"])],
  ];
  if (l.gaps) lines.push(["gaps", [words.gaps(l.gaps, age(l.gap_s * 1000))]]);
  $("ledger").classList.toggle("off", l.lost + l.unexplained > 0);
  reconcile($("ledger"), lines, () => make("p"), (line, items) =>
    reconcile(line, items.map((item, i) => [i, item]), item => make(typeof item === "number" ? "b" : "span"), set));
}
