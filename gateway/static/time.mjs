// Moments and ages as people read them.
import { now } from "/feed.mjs";
import { words } from "/words.mjs";

export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const [divisor, unit] = s < 120 ? [1, "s"] : s < 7200 ? [60, "min"] : s < 172_800 ? [3600, "h"] : [86_400, "d"];
  return words.age(Math.floor(s / divisor), unit);
}

// ISO dates, 24 h, this browser's zone; written out where it is precise.
export function stamp(ms, precise = false) {
  const west = new Date(ms).getTimezoneOffset(), two = n => String(Math.floor(n)).padStart(2, "0");
  const text = new Date(ms - west * 60_000).toISOString().replace("T", " ");
  const zone = `${west > 0 ? "-" : "+"}${two(Math.abs(west) / 60)}:${two(Math.abs(west) % 60)}`;
  return precise ? `${text.slice(0, 23)} ${zone}` : text.slice(0, 19);
}

// The time alone where it was today.
export function moment(ms, length = 8) {
  const text = stamp(ms);
  return text.slice(0, 10) === stamp(now()).slice(0, 10) ? text.slice(11, 11 + length) : text.slice(5, 16);
}

// "2026-11-24 14:00" in this browser's zone; NaN for what is no time.
export function millisecondsOf(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)$/.exec(text.trim());
  if (!found) return NaN;
  const [year, month, day, hour, minute] = found.slice(1).map(Number);
  return new Date(year, month - 1, day, hour, minute).getTime();
}
