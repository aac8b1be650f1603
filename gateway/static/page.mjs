// What each bed shows now, and how old it is: each picture is drawn whole, but only what changed is touched.
import { connect, isLost, isServed, metrics, now, picture } from "/feed.mjs";
import { WORDS } from "/words.mjs";

const EXPECTED_MS = 60_000, NIBP_EXPECTED_MS = 900_000;  // until the server has seen two values of a channel
const DIM_MIN_MS = 6000, STALE_MIN_MS = 15_000, SILENT_MIN_MS = 30_000;  // the pipe takes a second or two
const LATE_BY_MS = 5000, CLOCK_OFF_MS = 5000;
const LATE = 1;                // a flag of a report
const STARS = { high: "***", medium: "**", low: "*" };
const PRIORITIES = Object.keys(STARS);
// In the order of a monitor's screen, in the colours of its traces.
const LOOKS = [[/^HR/, "green"], [/^SpO2/, "cyan"], [/^(PR|Pulse|PI$|Perf)/, "cyan"],
  [/^(aw)?RR|^f(tot|spn)?$/, "yellow"], [/^NIBP/, "white"], [/^(ABP|ART|P-|PAP)/, "red"], [/^T[a-z]*$/, "white"],
  [/CO2/, "white"], [/^(ECG|PVC|QRS|QT|ST-)/, "green"], [/./, "white"]];
const PRESSURE = /^(NIBP|ABP|ART|PAP|P)-([SDM])$/;
const BY_LABEL = new Intl.Collator("en", { numeric: true });  // the same in both languages: a bed keeps its place

const $ = id => document.getElementById(id);
let language, words, asked, broken = false;
let announced = new Set();

// A page that stands still because its script failed would look live: it is covered instead.
function draw() {
  try {
    broken = false;
    if (picture && !isLost()) drawPicture();
  } catch (error) {
    broken = true;
    console.error(error);
  }
  const lost = broken || isLost();
  if (lost) {
    $("detail").close();
    const why = broken ? words.broken : isServed() ? words.storeAway : words.serverAway;
    const lines = [words.lost, picture && words.old(stamp(picture.now)), words.look, why, words.again].filter(Boolean);
    reconcile($("lost"), lines.map((line, i) => [i, line]), () => make("p"), set);
  }
  $("page").inert = lost;
  $("lost").hidden = !lost;
}

function drawPicture() {
  const beds = new Map();
  for (const device of picture.devices) {
    // Only a person puts a device on a bed: what one claims to be never brings it into a bed's tile.
    const key = device.adopted ? `bed ${device.bed}` : `device ${device.id}`;
    const label = device.adopted ? device.bed : device.claim ?? device.id;
    beds.set(key, { label, adopted: device.adopted, devices: [...beds.get(key)?.devices ?? [], device] });
  }
  const order = [...beds].sort(([, a], [, b]) => b.adopted - a.adopted || BY_LABEL.compare(a.label, b.label));
  const focused = document.activeElement;
  reconcile($("beds"), order, makeBed, drawBed);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  drawElsewhere();
  set($("empty"), order.length ? "" : words.empty);
  set($("clock"), stamp(now()));
  const off = Math.abs(Date.now() - now());
  set($("clock-off"), off > CLOCK_OFF_MS ? words.clockOff(age(off)) : "");
  drawLedger();
  announce([...beds.values()]);
}

const makeBed = () => make("article", "bed", make("h2"), make("div", "notes"), make("div"));
const makeDevice = () => make("section", "device", make("p"), make("div", "values"));

function drawBed(tile, bed) {
  const [title, notes, devices] = tile.children;
  const alerts = picture.alerts.filter(a => bed.devices.some(d => d.id === a.device))
    .sort((a, b) => PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority));
  const names = bed.devices.map(nameOf), silent = bed.devices.filter(isSilent);
  const since = a => `${words.since} ${moment(a.opened_at)}`, several = device => names[1] ? nameOf(device) : "";
  const silence = d => d.values.length ? `${words.silent} ${moment(newest(d))}` : words.never;
  const lines = [  // [key, [class, text, more]]
    ...(bed.adopted ? [] : [["stranger", ["warning", `⚠ ${words.stranger}`, ""]]]),
    ...alerts.map(a => [a.episode, [`alert ${a.priority}`, `${STARS[a.priority]} ${a.message}`, since(a)]]),
    ...silent.map(d => [d.id, ["warning", silence(d), several(d)]]),
  ];
  tile.className = `bed ${alerts[0]?.priority ?? ""} ${bed.adopted ? "" : "stranger"}`;
  tile.dataset.bed = bed.label;
  tile.setAttribute("aria-label", `${bed.adopted ? words.bed : words.stranger} ${bed.label}`);
  set(title, bed.label);
  if (!lines[0] && !names[1]) lines.push(["name", ["", "", names[0]]]);
  reconcile(notes, lines, () => make("p", "", make("b"), make("small")), (line, [kind, ...texts]) => {
    line.className = kind;
    texts.forEach((text, i) => set(line.children[i], text));
  });
  reconcile(devices, bed.devices.map(d => [d.id, d]), makeDevice, (box, device) => {
    set(box.children[0], several(device));
    reconcile(box.children[1], cells(device).map(cell => [cell.key, cell]), makeValue,
      (button, cell) => drawValue(button, cell, device, alerts));
  });
}

const nameOf = device => device.name || device.claim || device.id;
const newest = device => Math.max(...device.values.map(heardAt));
const isSilent = device => !device.values.length
  || now() - newest(device) > Math.max(SILENT_MIN_MS, 5 * Math.min(...device.values.map(expected)));
const metric = v => metrics[v.code] ?? { short: String(v.code), en: "", zh: "", unit: "?", reference: "", loinc: null };
const expected = v => Math.max(1000, v.every ?? (metric(v).short.startsWith("NIBP") ? NIBP_EXPECTED_MS : EXPECTED_MS));
const heardAt = v => Math.min(v.received, v.stored);  // an edge's clock may be ahead; nothing is newer than its row
const observedAt = v => Math.min(v.observed, heardAt(v));

// The values of a device as a monitor shows them: systolic / diastolic (mean) of one moment are one cell.
function cells(device) {
  const found = new Map();
  for (const v of device.values) {
    const [, base, part] = metric(v).short.match(PRESSURE) ?? [];
    const key = base ? `${base} ${v.channel} ${v.observed}` : `${v.code} ${v.channel}`;
    if (!found.has(key)) found.set(key, { base, parts: {} });
    found.get(key).parts[part ?? v.code] = v;
  }
  const out = [];
  for (const { base, parts } of found.values()) {
    const { S, D, M } = parts;
    const whole = S && D ? [[base, S, D, M]] : Object.values(parts).map(v => [metric(v).short, v]);
    for (const [name, ...of] of whole) {
      out.push({ key: `${name} ${of[0].code} ${of[0].channel}`, name, title: name, parts: of.filter(Boolean) });
    }
  }
  for (const cell of out) {  // like channels are told apart by what they are called
    const alike = out.filter(other => other.name === cell.name);
    if (alike[1]) cell.title = `${cell.name} ${channelOf(cell.parts[0])}`;
  }
  const rank = cell => [look(cell), cell.parts[0].code];
  return out.sort((a, b) => (rank(a).map((n, i) => n - rank(b)[i]).find(Boolean) ?? BY_LABEL.compare(a.title, b.title))
    || a.parts[0].channel - b.parts[0].channel);
}

const channelOf = v => (v.label ?? `#${(v.channel % 4096).toString(16)}`) + (v.ambiguous ? "?" : "");

const look = cell => LOOKS.findIndex(([pattern]) => pattern.test(cell.name));

// All that may be said of a value before its number is believed.
function judge({ name, parts }) {
  const old = Math.max(...parts.map(v => now() - (v.flags & LATE ? observedAt(v) : heardAt(v))));
  const usual = Math.max(...parts.map(expected)), observed = Math.min(...parts.map(observedAt));
  const verdict = parts.map(v => v.verdict).find(word => !word.startsWith("accepted"));
  const is = {
    stale: old > Math.max(STALE_MIN_MS, 5 * usual),
    missing: verdict === "missing", withdrawn: verdict === "withdrawn", training: verdict === "doubtful_training",
    doubtful: verdict && verdict !== "missing",
    clock: parts.some(v => heardAt(v) - observedAt(v) > Math.max(LATE_BY_MS, usual)),
  };
  is.dim = is.clock || old > Math.max(DIM_MIN_MS, 2 * usual);
  is.state = words[["stale", "missing", "withdrawn", "training", "doubtful", "clock"].find(key => is[key])] ?? "";
  is.aged = (name.startsWith("NIBP") ? `${moment(observed, 5)} ` : "") + age(now() - observed);
  return is;
}

function makeValue() {
  const button = make("button", "value", ...["name", "number", "unit", "age", "state"].map(part => make("span", part)));
  button.addEventListener("click", () => detail(button.shown));
  return button;
}

function drawValue(button, cell, device, alerts) {
  const [name, number, unit, aged, state] = button.children, [first, , third] = cell.parts;
  const is = judge(cell), hidden = is.stale || is.missing || is.withdrawn, about = metric(first)[language] || cell.name;
  const worst = alerts.find(a => a.device === device.id && cell.parts.some(v => isOf(a, v)));
  const stars = worst ? `${STARS[worst.priority]} ` : "";
  const text = hidden ? "--" : cell.parts.slice(0, 2).map(digits).join("/") + (is.doubtful ? "?" : "");
  const classes = [worst?.priority, (cell.parts[1] || text.length > 5 || cell.title.length > 12) && "wide",
    ...["dim", "stale", "doubtful", "missing"].filter(key => is[key])];
  button.className = ["value", ...classes].filter(Boolean).join(" ");
  button.dataset.name = cell.name;
  button.style.setProperty("--colour", `var(--${LOOKS[look(cell)][1]})`);
  set(name, stars + cell.title);
  set(number, text);
  set(unit, hidden ? "" : (third ? `(${digits(third)}) ` : "") + unitOf(first));
  set(aged, is.aged);
  set(state, is.state);
  button.title = about;
  const said = [stars && stars + worst.message, about, text, unit.textContent, is.aged, is.state];
  button.setAttribute("aria-label", said.filter(Boolean).join(", "));
  button.shown = { device, cell };
}

const isOf = (alert, v) => alert.condition.startsWith(`${v.code}-${v.channel}-`);  // code-channel-side
// A bound has its sign, a code its words.
const digits = v => v.value === null ? v.text ?? "--" : (v.bound ?? "") + v.value.toFixed(v.decimals);
// What was not judged is not in the metric's unit.
const unitOf = v => /unit|unmapped|unknown/.test(v.verdict) ? "?"
  : (v.unit ?? metric(v).unit).replace("Cel", "°C").replace(/[[\]]|^1$/g, "");

// Beds that alarm outside of what the window shows, the worst first: one step away.
function drawElsewhere() {
  const rank = tile => PRIORITIES.findIndex(priority => tile.classList.contains(priority));
  const tiles = [...$("beds").children].filter(tile => {
    const { top, bottom } = tile.getBoundingClientRect();
    return rank(tile) >= 0 && (bottom < 40 || top > innerHeight - 40);
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
    button.className = `alert ${PRIORITIES[rank(tile)]}`;
    set(button, `${tile.dataset.bed} ${tile.querySelector(".alert b").textContent}`);
  });
}

function drawLedger() {
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

// What opens with high priority is spoken once; everything else waits to be read.
function announce(beds) {
  const high = picture.alerts.filter(a => a.priority === "high");
  const fresh = high.filter(a => !announced.has(a.episode));
  announced = new Set(high.map(a => a.episode));
  const label = id => beds.find(bed => bed.devices.some(d => d.id === id)).label;
  if (fresh.length) $("said").textContent = fresh.map(a => `${label(a.device)}: ${a.message}`).join("; ");
}

async function detail(shown) {
  const { device, cell } = asked = shown, [first] = cell.parts;
  const [origin, said] = await Promise.all([ask(`/batch/${first.batch}`), ask(`/alarms/${device.id}`)]);
  if (asked !== shown) return;  // another value was clicked meanwhile
  const after = ms => `${stamp(ms, true)} (${ms < first.received ? "−" : "+"}${Math.abs(ms - first.received)} ms)`;
  const rows = [[words.device, [device.name, device.claim, device.id]]];
  for (const v of cell.parts) {
    const m = metric(v);
    const validity = v.validity && words.validities[v.validity];
    const channel = [words.channel, v.label, `#${v.channel}`, v.ambiguous && `(${words.ambiguous})`];
    rows.push([m.short, [`${digits(v)} ${unitOf(v)}`, words.verdicts[v.verdict], validity]],
      [words.code, [m.reference, v.code, v.channel && channel.filter(Boolean).join(" "), m.loinc && `LOINC ${m.loinc}`]]);
  }
  rows.push(
    [words.deviceAlarms, (said?.alarms ?? []).map(a =>
      `${["", "*", "**", "***"][a.priority]} ${a.text || a.condition} ${words.since} ${moment(a.since)}`)],
    [words.flags, words.flagWords.filter((_, i) => first.flags & 1 << i)],
    [words.observed, [after(first.observed)]],
    [words.received, [stamp(first.received, true)]],
    [words.signed, [origin ? after(origin.signed_ms) : words.storeAway]],
    [words.storedAt, [after(first.stored)]],
    [words.batch, origin ? [origin.batch_no, origin.batch_id, words.place(origin.position)] : [`(${first.batch})`]],
    [words.leaf, [String(first.leaf)]],
    [words.edge, origin ? [origin.edge, origin.lane] : []],
  );
  const list = make("dl"), close = make("button", "", words.close);
  const title = make("h2", "", `${device.bed ?? nameOf(device)} · ${cell.name}`);
  title.id = "detail-title";
  for (const [term, texts] of rows) {
    if (texts.length) list.append(make("dt", "", term), make("dd", "", texts.filter(Boolean).join(" · ")));
  }
  close.addEventListener("click", () => $("detail").close());
  $("detail").replaceChildren(title, make("p", "", cell.parts.map(v => metric(v)[language]).join(" · ")), list, close);
  if (!isLost() && !$("detail").open) $("detail").showModal();
}

async function ask(path) {
  const answer = await fetch(path).catch(() => null);
  return answer?.ok ? answer.json().catch(() => null) : null;
}

// Children by key: what stays is the same element, so that focus, hover and a half-done click outlive the redraw.
function reconcile(parent, items, create, update) {
  const keys = new Set(items.map(([key]) => String(key))), kept = new Map();
  for (const child of [...parent.children]) {
    keys.has(child.dataset.key) ? kept.set(child.dataset.key, child) : child.remove();
  }
  items.forEach(([key, item], i) => {
    const child = kept.get(String(key)) ?? create(item);
    child.dataset.key = key;
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
    update(child, item);
  });
}

function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

function set(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const [divisor, unit] = s < 120 ? [1, "s"] : s < 7200 ? [60, "min"] : s < 172_800 ? [3600, "h"] : [86_400, "d"];
  return words.age(Math.floor(s / divisor), unit);
}

// ISO dates, 24 h, this browser's zone; written out where it is precise.
function stamp(ms, precise = false) {
  const west = new Date(ms).getTimezoneOffset(), two = n => String(Math.floor(n)).padStart(2, "0");
  const text = new Date(ms - west * 60_000).toISOString().replace("T", " ");
  const zone = `${west > 0 ? "-" : "+"}${two(Math.abs(west) / 60)}:${two(Math.abs(west) % 60)}`;
  return precise ? `${text.slice(0, 23)} ${zone}` : text.slice(0, 19);
}

// The time alone where it was today.
function moment(ms, length = 8) {
  const text = stamp(ms);
  return text.slice(0, 10) === stamp(now()).slice(0, 10) ? text.slice(11, 11 + length) : text.slice(5, 16);
}

function speak(chosen) {
  language = chosen;
  words = WORDS[language];
  document.documentElement.lang = words.locale;
  for (const id of ["notice", "language"]) set($(id), words[id]);
  $("language").lang = words.otherLocale;
  for (const id of ["beds", "elsewhere", "ledger"]) $(id).setAttribute("aria-label", words[id]);
  draw();
}

function tick() {
  connect(draw);
  draw();
}

// A wall display is told by its address: /#zh.
const wished = () => /^#(en|zh)$/.exec(location.hash)?.[1];
$("language").addEventListener("click", () => { location.hash = language === "en" ? "zh" : "en"; });
addEventListener("hashchange", () => speak(wished() ?? language));
addEventListener("keydown", event => {  // 1 to 9: to that bed
  if (event.ctrlKey || event.altKey || event.metaKey || $("detail").open || !/^[1-9]$/.test(event.key)) return;
  document.querySelectorAll(".bed")[event.key - 1]?.querySelector(".value")?.focus();
});
document.addEventListener("visibilitychange", tick);
addEventListener("pageshow", tick);
speak(wished() ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
setInterval(tick, 1000);
tick();
