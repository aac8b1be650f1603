// One chart a channel: the mean as a line in a band from the lowest to the highest; a gap is a gap. Marks stand for alarms
// and for what admission offices said; beside each chart the same in words.
import { make, reconcile, set } from "/elements.mjs";
import { layOut } from "/labels.mjs";
import { theme } from "/theme.mjs";
import { stamp } from "/time.mjs";
import { colour, unitOf } from "/values.mjs";
import { language, words } from "/words.mjs";

const LABEL_ROWS = 2, LABEL_HEIGHT = 12;  // and one more row, for what has no room
const HEIGHT = 134 + (LABEL_ROWS + 1) * LABEL_HEIGHT, DAY_S = 86_400;
const PRIORITY = { high: "alarm", medium: "yellow", low: "cyan" };
const byUrgency = (a, b) => Object.keys(PRIORITY).indexOf(a.priority) - Object.keys(PRIORITY).indexOf(b.priority);
const variable = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isPressure = s => /-[SDM]$/.test(s.short);

export function drawTrends(parent, trend) {
  const series = trend.series.length ? trend.series.map(s => [`${s.code}-${s.channel}`, s]) : [["none", null]];
  reconcile(parent, series, makeChart, (box, s) => drawChart(box, s, trend));
}

function makeChart() {
  return make("article", "trend", make("h3"), make("div", "plot"), make("p"));
}

function drawChart(box, s, trend) {
  const [title, plot, text] = box.children;
  if (!s) {
    set(title, "");
    set(text, words.noValues);
    return;
  }
  const unit = unitOf({ validation_result: "", unit: s.unit }), twins = trend.series.filter(o => o.short === s.short);
  set(title, [s.short, unit, twins[1] && `#${(s.channel % 4096).toString(16)}`].filter(Boolean).join(" "));
  title.title = s[language];
  const low = Math.min(...s.low), high = Math.max(...s.high), last = s.mean.at(-1), number = v => String(Math.round(v * 10) / 10);
  set(text, words.summary(s[language] || s.short, number(low), number(high), number(last),
    stamp(trend.since + s.bucket.at(-1) * trend.width).slice(0, 16), gapsOf(s)));
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", text.textContent);
  const drawn = JSON.stringify([trend.since, trend.buckets, trend.alarms, trend.adt, s, language, theme()]);
  if (box.drawn === drawn) return;
  box.drawn = drawn;
  box.chart?.destroy();
  box.chart = new window.uPlot(optionsOf(s, trend, plot), dataOf(s, trend), plot);
  watch.observe(plot);
  plot.chart = box.chart;
}

const watch = new ResizeObserver(entries => {
  for (const { target, contentRect } of entries) {
    if (target.chart && target.chart.width !== Math.round(contentRect.width)) {
      target.chart.setSize({ width: Math.round(contentRect.width), height: HEIGHT });
    }
  }
});

function gapsOf(s) {
  return s.bucket.filter((n, i) => i > 0 && n > s.bucket[i - 1] + 1).length;
}

function dataOf(s, trend) {
  const columns = [[], [], [], []], place = new Map(s.bucket.map((n, i) => [n, i]));
  for (let n = 0; n < trend.buckets; n++) {
    const i = place.get(n);
    [(trend.since + n * trend.width) / 1000, ...["low", "high", "mean"].map(of => i === undefined ? null : s[of][i])]
      .forEach((value, column) => columns[column].push(value));
  }
  return columns;
}

// A value with nothing on either side of it has no line to be on: it is drawn as a point.
function aloneIn(column) {
  return [...column.keys()].filter(i => column[i] != null && column[i - 1] == null && column[i + 1] == null);
}

function optionsOf(s, trend, plot) {
  const line = variable(colour({ name: isPressure(s) ? s.short.slice(0, -2) : s.short })), quiet = variable("quiet");
  const axis = { stroke: quiet, grid: { stroke: variable("line"), width: 1 }, ticks: { stroke: variable("line") } };
  const edge = { stroke: line, width: 0, points: { show: false } };
  const text = (u, splits, place, space, step) => splits.map(at =>
    step >= DAY_S ? stamp(at * 1000).slice(5, 10) : stamp(at * 1000).slice(11, 16));
  return {
    width: Math.round(plot.clientWidth) || 600, height: HEIGHT, legend: { show: false }, cursor: { show: false },
    padding: [(LABEL_ROWS + 1) * LABEL_HEIGHT, null, null, null],
    scales: { x: { range: [trend.since / 1000, (trend.since + trend.buckets * trend.width) / 1000] } },
    series: [{}, edge, edge, { stroke: line, width: 2, points: { show: true, size: 5, fill: line, filter: (u, of) => aloneIn(u.data[of]) } }],
    bands: [{ series: [2, 1], fill: `color-mix(in srgb, ${line} 25%, transparent)` }],
    axes: [{ ...axis, values: text }, { ...axis, size: 56 }],
    hooks: { draw: [u => drawMarks(u, trend)] },
  };
}

// A line each, and its label above the plot.
function drawMarks(u, trend) {
  const { ctx } = u, { left, top, width, height } = u.bbox, scale = devicePixelRatio;
  const mark = (at, ink, dashes, text) => ({ x: u.valToPos(at / 1000, "x", true), ink: variable(ink), dashes, text });
  const marks = [  // alarms keep their labels where there is no room for all
    ...trend.alarms.toSorted(byUrgency).map(a => mark(a.at, PRIORITY[a.priority] ?? "cyan", [], words.stars[a.priority] ?? "*")),
    ...trend.adt.map(a => mark(a.at, "white", [4, 3], a.event)),
  ].filter(({ x }) => x >= left && x <= left + width);
  ctx.save();
  ctx.textBaseline = "alphabetic";
  ctx.textAlign = "left";
  ctx.font = `${11 * scale}px system-ui`;
  ctx.lineWidth = scale;
  for (const { x, ink, dashes } of marks) {
    ctx.strokeStyle = ink;
    ctx.setLineDash(dashes.map(n => n * scale));
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
  }
  u.root.parentElement.dataset.marks = marks.length;
  u.labels = layOut(marks, text => ctx.measureText(text).width, left, left + width, LABEL_ROWS);
  for (const { text, mark: of, row, from } of u.labels) {
    ctx.fillStyle = row < LABEL_ROWS ? of.ink : variable("quiet");
    ctx.fillText(text, from, top - (LABEL_ROWS - row) * LABEL_HEIGHT * scale - 3 * scale);
  }
  ctx.restore();
}
