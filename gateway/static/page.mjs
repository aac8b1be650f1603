// What each bed shows now, and how old it is. The server sends the whole picture each second; the page draws it again.

const WORDS = {
  en: {
    notice: "Not a medical device: a second pair of eyes. Values wait for a nurse's confirmation.", lang: "中文",
    silent: "silent since", stranger: "device not registered", age: s => `${s} s`, minutes: m => `${m} min`, hours: h => `${h} h`,
    lost: "No live data. What stood here is old.\nThe page goes on by itself when the feed is back.", empty: "No values yet.",
    reports: "Reports", values: "Values", said: "said by devices", stored: "stored", quarantined: "quarantined", way: "on the way or lost",
    charted: "charted", doubtful: "doubtful", unmapped: "unmapped", missing: "no reading", close: "Close",
    rows: { device: "device", claim: "claims to be", code: "code", value: "value", verdict: "verdict", observed: "measured", received: "received by the edge",
      signed: "signed", stored: "stored", batch: "batch", leaf: "leaf", edge: "edge", lane: "lane", flags: "flags" },
  },
  zh: {
    notice: "非医疗器械:仅供辅助查看。数值须由护士确认。", lang: "English",
    silent: "无数据,自", stranger: "设备未登记", age: s => `${s} 秒`, minutes: m => `${m} 分钟`, hours: h => `${h} 小时`,
    lost: "没有实时数据。此处内容已过时。\n数据恢复后页面会自动继续。", empty: "尚无数值。",
    reports: "报告", values: "数值", said: "设备发出", stored: "已存储", quarantined: "已隔离", way: "在途或丢失",
    charted: "已入病历", doubtful: "存疑", unmapped: "未映射", missing: "无读数", close: "关闭",
    rows: { device: "设备", claim: "自称", code: "编码", value: "数值", verdict: "判定", observed: "测量时间", received: "边缘接收",
      signed: "签名", stored: "存储", batch: "批次", leaf: "叶", edge: "边缘", lane: "通道", flags: "标记" },
  },
};
const COLOURS = [[/^(HR|PR|ECG)/, "--green"], [/SpO2/i, "--cyan"], [/^(ABP|ART|IBP)/, "--red"], [/^(RR|RESP)/i, "--yellow"]];
const EXPECTED_MS = 5000;      // between two values, until the page has seen two
const SILENT_MS = 30000;
const LOST_MS = 8000;          // the picture comes each second: after eight without one nothing here is live
const FLAGS = ["late", "future", "drift", "no time of its own", "gap before it"];

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let metrics = {}, picture = null, skew = 0, heard = performance.now(), lost = false;
const intervals = new Map();   // of a channel: [last moment, usual distance]
const $ = id => document.getElementById(id);
const word = key => WORDS[language][key];

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return word("age")(seconds);
  if (seconds < 7200) return word("minutes")(Math.round(seconds / 60));
  return word("hours")(Math.round(seconds / 3600));
}

const two = n => String(n).padStart(2, "0");
function stamp(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

function expected(key, observed) {
  const known = intervals.get(key) ?? [observed, EXPECTED_MS];
  if (observed > known[0]) known[1] = Math.max(1000, observed - known[0]);
  intervals.set(key, [Math.max(observed, known[0]), known[1]]);
  return known[1];
}

function drawValue(device, v, now) {
  const metric = metrics[v.code] ?? { short: String(v.code), unit: "" };
  const old = now - v.observed;
  const usual = expected(`${device.id}/${v.code}/${v.instance}`, v.observed);
  const stale = old > 5 * usual && old > 15000;
  const button = make("button", "value");
  button.type = "button";
  button.dataset.code = v.code;
  if (old > 2 * usual) button.classList.add("dim");
  if (stale) button.classList.add("stale");
  if (v.verdict.startsWith("doubtful")) button.classList.add("doubtful");
  const colour = COLOURS.find(([pattern]) => pattern.test(metric.short));
  const number = make("span", "number", v.value === null || stale ? "--" : v.value.toFixed(v.decimals) + (v.verdict.startsWith("doubtful") ? " ?" : ""));
  if (colour) number.style.setProperty("--colour", `var(${colour[1]})`);
  button.append(make("span", "name", metric.short), number, make("span", "unit", metric.unit), make("span", "age", age(old)));
  button.title = metric[language] ?? "";
  button.setAttribute("aria-label", `${metric[language] ?? metric.short} ${number.textContent} ${metric.unit}, ${age(old)}`);
  button.addEventListener("click", () => detail(device, v, metric));
  return button;
}

function drawBed(label, devices, now) {
  const ids = new Set(devices.map(d => d.id));
  const alerts = picture.alerts.filter(a => ids.has(a.device));
  const worst = ["high", "medium", "low"].find(p => alerts.some(a => a.priority === p));
  const adopted = devices[0].adopted;
  const tile = make("article", `bed ${worst ?? ""} ${adopted ? "" : "stranger"}`);
  tile.dataset.bed = label;
  tile.append(make("h2", "", label));
  tile.append(make("p", "who", adopted ? devices.map(d => d.name ?? d.claim ?? d.id).join(" · ") : word("stranger")));
  for (const a of alerts) tile.append(make("p", `alert ${a.priority}`, `${{ high: "***", medium: "**", low: "*" }[a.priority]} ${a.message}`));
  const values = make("div", "values");
  let newest = 0;
  for (const device of devices) for (const v of device.values) {
    newest = Math.max(newest, v.received);
    values.append(drawValue(device, v, now));
  }
  if (now - newest > SILENT_MS) tile.append(make("p", "silent", `${word("silent")} ${stamp(newest).slice(0, 19)}`));
  tile.append(values);
  return tile;
}

function drawLedger() {
  const l = picture.ledger, box = $("ledger");
  const way = l.said - l.stored - l.quarantined;
  const reports = make("p", way ? "off" : "", `${word("reports")}: ${l.said} ${word("said")} = ${l.stored} ${word("stored")} + ${l.quarantined} ${word("quarantined")} + ${way} ${word("way")}`);
  const total = l.charted + l.doubtful + l.unmapped + l.missing;
  const values = make("p", "", `${word("values")}: ${total} = ${["charted", "doubtful", "unmapped", "missing"].map(k => `${l[k]} ${word(k)}`).join(" + ")}`);
  box.replaceChildren(reports, values);
}

function draw() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  $("notice").textContent = word("notice");
  $("language").textContent = word("lang");
  $("clock").textContent = stamp(Date.now() + skew).slice(0, 19);
  $("lost").textContent = word("lost");
  lost = performance.now() - heard > LOST_MS;
  $("lost").hidden = !lost;
  if (!picture) return;
  const focused = document.activeElement?.dataset?.code, focusedBed = document.activeElement?.closest?.(".bed")?.dataset.bed;
  const beds = new Map();
  for (const device of picture.devices) {
    const label = device.adopted ? device.bed : device.claim ?? device.id;
    beds.set(label, [...(beds.get(label) ?? []), device]);
  }
  const now = Date.now() + skew;  // the store's clock: the browser's may be wrong
  const order = [...beds].sort((a, b) => (b[1][0].adopted - a[1][0].adopted) || a[0].localeCompare(b[0], language));
  $("beds").replaceChildren(...order.map(([label, devices]) => drawBed(label, devices, now)));
  if (!order.length) $("beds").append(make("p", "", word("empty")));
  if (focused) document.querySelector(`[data-bed="${CSS.escape(focusedBed ?? "")}"] [data-code="${focused}"]`)?.focus();
  drawLedger();
}

async function detail(device, v, metric) {
  const answer = await fetch(`/value/${v.batch}/${v.leaf}`);
  const origin = answer.ok ? await answer.json() : {};
  const rows = {
    device: `${device.id}`, claim: device.claim ?? "", code: `${metric.reference ?? ""} ${v.code}${metric.loinc ? `, LOINC ${metric.loinc}` : ""}`,
    value: `${v.value ?? "--"} ${metric.unit}`, verdict: v.verdict.replaceAll("_", " "), flags: FLAGS.filter((_, i) => v.flags & 1 << i).join(", "),
    observed: stamp(v.observed), received: stamp(v.received), signed: origin.signed_ms ? stamp(origin.signed_ms) : "", stored: stamp(v.stored),
    batch: origin.batch_id ? `${origin.batch_no} · ${origin.batch_id}` : v.batch, leaf: v.leaf, edge: origin.edge ?? "", lane: origin.lane ?? "",
  };
  const list = make("dl");
  for (const [key, text] of Object.entries(rows)) list.append(make("dt", "", word("rows")[key]), make("dd", "", String(text)));
  const close = make("button", "", word("close"));
  close.addEventListener("click", () => $("detail").close());
  $("detail").replaceChildren(make("h2", "", `${device.bed ?? device.claim ?? ""} ${metric[language] ?? metric.short}`), list, close);
  if (!$("detail").open) $("detail").showModal();
}

$("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  draw();
});

metrics = await (await fetch("/metrics.json")).json();
const feed = new EventSource("/events");
feed.onmessage = event => { picture = JSON.parse(event.data); skew = picture.now - Date.now(); heard = performance.now(); draw(); };
setInterval(draw, 1000);
draw();
