// The pictures as they come, and whether what is shown is still live.

const LOST_MS = 6000;   // a picture comes each second: after six without one nothing here is live
const RETRY_MS = 5000;
let source, asked = -Infinity, beaten = -Infinity, came = 0, offset = 0, fresh = true, build = null;
const began = performance.now();

export let picture = null;
export let metrics = {};

// The browser's clock may be wrong, and a proxy may hold pictures back: how late one is says the server's steady tick.
// How long ago it came say two clocks here: one stands still while the computer sleeps, the other may be set.
const elapsed = () => Math.max(picture ? performance.now() + offset - picture.tick : performance.now() - began, 0);
export const now = () => picture.now + elapsed();
export const isLost = () => elapsed() > LOST_MS || (picture !== null && Date.now() - came > LOST_MS);
export const isServed = () => performance.now() - beaten < LOST_MS;

export function connect(draw) {
  if ((isServed() && source.readyState !== EventSource.CLOSED) || performance.now() - asked < RETRY_MS) return;
  source?.close();
  source = new EventSource("/events");
  asked = performance.now();
  source.addEventListener("hello", event => {
    const hello = JSON.parse(event.data);
    if (build && build !== hello.build) location.reload();
    ({ build, metrics } = hello);
    fresh = true;
    beaten = performance.now();
  });
  source.addEventListener("beat", () => { beaten = performance.now(); });
  source.addEventListener("message", event => {
    picture = JSON.parse(event.data);
    came = Date.now();
    beaten = performance.now();
    offset = fresh ? picture.tick - beaten : Math.max(offset, picture.tick - beaten);
    fresh = false;
    draw();
  });
}
