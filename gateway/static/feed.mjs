// The pictures as they come, put together from what changed, and whether what is shown is still live.
// What a line says stands in gateway/pages/values.py.
import { $ } from "/elements.mjs";
import { openSource } from "/feed-source.mjs";

const LOST_MS = 6000;   // a picture comes each second or so: after six without one nothing here is live
const RETRY_MS = 5000, MEND_MS = 2000;
const AS_SENT_DIGITS = 6;
let source, asked = -Infinity, mended = -Infinity, beaten = -Infinity, came = 0, offset = 0, fresh = true, build = null;
let number = 0, sets = {}, rows = new Map();
const began = performance.now(), beds = new Map();

export let picture = null;
export let metrics = {};
export let broken = false;  // what came cannot be understood

// The newest value of one channel of a device; its times are those of the row that owns it.
class Value {
  constructor(code, channel, label) {
    Object.assign(this, { code, channel, label, row: null, column: 0, shown: null });
  }
  get mark() { return this.row.marks[this.column] ?? {}; }
  get validation_result() { return this.mark.validation_result ?? "accepted"; }
  get ambiguous() { return this.mark.ambiguous ?? false; }
  get flags() { return this.row.flags; }
  get observed() { return this.row.observed; }
  get received() { return this.row.received; }
  get stored() { return this.row.stored; }
  get every() { return Array.isArray(this.row.every) ? this.row.every[this.column] : this.row.every; }
  get unit() { return this.row.columns[this.column][2]; }
  // As a monitor shows it: a bound has its sign, a code its words.
  get text() {
    if (this.shown === null) return this.mark.text ?? "--";
    const digits = this.row.columns[this.column][3];
    const number = digits === null
      ? String(this.shown / 10 ** AS_SENT_DIGITS) : (this.shown / 10 ** digits).toFixed(digits);
    return (this.mark.bound ?? "") + number;
  }
}

// The browser's clock may be wrong, and a proxy may hold pictures back: how late one is says the server's steady tick.
// How long ago it came say two clocks here: one stands still while the computer sleeps, the other may be set.
const elapsed = () => Math.max(picture ? performance.now() + offset - picture.tick : performance.now() - began, 0);
export const now = () => picture.now + elapsed();
export const isLost = () => elapsed() > LOST_MS || (picture !== null && Date.now() - came > LOST_MS);
export const isServed = () => performance.now() - beaten < LOST_MS;

export function connect(draw) {
  if ((isServed() && source.readyState !== EventSource.CLOSED) || performance.now() - asked < RETRY_MS) return;
  source?.close();
  source = openSource();
  asked = performance.now();
  source.addEventListener("hello", event => {
    greet(JSON.parse(event.data));
    beaten = performance.now();
  });
  source.addEventListener("signed-out", () => {
    source.close();
    location.assign(`/sign-in?to=${encodeURIComponent(location.pathname)}`);
  });
  source.addEventListener("beat", () => { beaten = performance.now(); });
  source.addEventListener("message", event => {
    came = Date.now();
    beaten = performance.now();
    take(JSON.parse(event.data), beaten);
    draw();
  });
}

// The picture that came in the page, where there is one; it is no older than the page's request.
export function takeOpening() {
  const { hello, picture: opening } = JSON.parse($("opening").textContent);
  $("opening").remove();
  greet(hello);
  if (opening) {
    came = Date.now();
    take(opening, performance.getEntriesByType("navigation")[0].requestStart);
  }
}

function greet(hello) {
  if (build && build !== hello.build) location.reload();
  ({ build, metrics } = hello);
  fresh = true;
}

// `at`: by this page's clock, when it came at the latest.
function take(next, at) {
  if (!next.whole && next.number !== number + 1) return askForTheWhole();
  number = next.number;
  try {
    put(next);
    broken = false;
  } catch (error) {
    broken = true;
    console.error(error);
    askForTheWhole();
  }
  offset = fresh ? next.tick - at : Math.max(offset, next.tick - at);
  fresh = false;
}

// Whoever connects is sent everything; at once, but not again and again.
function askForTheWhole() {
  source?.close();
  mended = Math.max(performance.now(), mended + MEND_MS);
  asked = mended - RETRY_MS;
}

function put(next) {
  if (next.whole) {
    beds.clear();
    rows = new Map();
    sets = {};
  }
  Object.assign(sets, next.sets);
  for (const { bed: key, structure, alarms, patient, lines } of next.beds) {
    if (structure === null) beds.delete(key);
    else {
      if (structure) beds.set(key, arrange(structure));
      if (alarms) beds.get(key).alarms = alarms;
      if (patient !== undefined) beds.get(key).patient = patient;
      for (const line of lines) say(next.now, ...line);
    }
  }
  picture = {
    now: next.now, tick: next.tick, ledger: next.ledger ?? picture.ledger, adt: next.adt ?? picture?.adt ?? null,
    asked: next.asked ?? picture?.asked ?? null,
    patientsKnown: next.patients_known ?? picture?.patientsKnown ?? false, beds: [...beds.values()],
  };
}

function arrange({ devices, ...bed }) {
  return { ...bed, alarms: [], patient: null, devices: devices.map(({ rows: of, ...device }) => {
    device.channels = new Map();
    device.values = [];
    for (const [key, set] of of) {
      rows.set(key, { device, columns: sets[set], received: 0, observed: 0, stored: 0, flags: 0, marks: {}, every: null });
    }
    return device;
  }) };
}

function say(now, key, age, lag, delay, values, more) {
  const row = rows.get(key), received = now - age;
  Object.assign(row, { received, observed: received - lag, stored: received + delay }, more);
  for (const [column, shown] of Object.entries(values)) {
    const [code, channel] = row.columns[column], name = `${code}-${channel}`, { device } = row;
    let value = device.channels.get(name);
    if (!value) {
      value = new Value(code, channel, device.labels[name]);
      device.channels.set(name, value);
      device.values.push(value);
    }
    Object.assign(value, { row, column, shown });
  }
}
