// Who sits at this workstation: the name and the lock in the head, the band while nobody does, and the next person's key.
// A lock takes away names, charts and acts; the server does, and the page hides what it still has.
import { $, make, set } from "/elements.mjs";
import { keyWords, refusedText } from "/key-words.mjs";
import { post, whoIsIn } from "/post.mjs";
import { signInByKey } from "/security-key.mjs";
import { stamp } from "/time.mjs";

const LOOK_EVERY_MS = 15_000, IDLE_LOOK_MS = 2000, ACTIVE = "vitalwire-active", RETURN = "vitalwire-return:";
const others = new BroadcastChannel("vitalwire-workstation");
const person = make("a", "link"), lock = make("button"), band = make("section"), news = make("section");
let me = null, lockAfterMs = Infinity, activeMs = Date.now(), told = [], waits = false, last = { refused: "" };

export async function openWorkstation() {
  makeHead();
  makeBand();
  makeNews();
  others.addEventListener("message", ({ data }) => (data.locked ? leave() : data.id === me?.id && !me.locked ? null : enter(data.id)));
  for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, touched, { passive: true });
  me = await whoIsIn();
  drawWorkstation();
  if (me?.locked && location.pathname !== "/") {  // the head of a page may hold a name too
    sessionStorage.setItem(RETURN + me.id, location.href);
    location.replace(`/${location.hash}`);
    return;
  }
  setInterval(look, LOOK_EVERY_MS);
  if (!me || me.role === "station_display") return;
  const answer = await fetch("/workstation").catch(() => null), found = answer?.ok ? await answer.json() : {};
  lockAfterMs = (found.lock_after_s ?? Infinity) * 1000;
  told = found.news ?? [];
  setInterval(lockWhenIdle, IDLE_LOOK_MS);
  drawWorkstation();
}

export function drawWorkstation() {
  const w = keyWords(), isPerson = me !== null && me.role !== "station_display", isLocked = me?.locked ?? false;
  document.documentElement.classList.toggle("locked", isLocked);
  person.hidden = lock.hidden = !isPerson || isLocked;
  stand(news, told.length > 0 && !isLocked);
  stand(band, isLocked);
  set(person, me?.name ?? "");
  person.title = w.people;
  set(lock, w.lock);
  const [text, open, other, refusal] = band.children;
  set(text, w.locked);
  set(open, waits ? w.waiting : w.switchTo);
  open.disabled = waits;
  set(other, w.otherWay);
  set(refusal, refusedText(last));
  const [list, notYou, read] = news.children;
  list.replaceChildren(...told.map(key => make("li", "", key.revoked === null
    ? w.news.enrolled(key.label || w.noName, stamp(key.enrolled)) : w.news.revoked(key.label || w.noName, stamp(key.revoked), key.by, key.why))));
  set(notYou, w.news.notYou);
  set(read, w.news.read);
}

// On the page only while it says something.
function stand(element, isThere) {
  if (isThere === element.isConnected) return;
  isThere ? $("page").prepend(element) : element.remove();
}

function makeHead() {
  person.id = "to-people";
  person.href = `/people${location.hash}`;
  lock.id = "lock";
  lock.type = "button";
  lock.addEventListener("click", lockNow);
  $("help").before(person, lock);
}

function makeBand() {
  const open = make("button"), other = make("a", "link"), refusal = make("p", "refusal");
  band.id = "lock-band";
  band.setAttribute("role", "status");
  refusal.setAttribute("role", "alert");
  open.type = "button";
  open.id = "switch";
  other.href = "/sign-in";
  open.addEventListener("click", takeOver);
  band.append(make("p"), open, other, refusal);
}

function makeNews() {
  const read = make("button");
  news.id = "key-news";
  news.setAttribute("role", "alert");
  read.type = "button";
  read.addEventListener("click", async () => {
    if ((await post("/keys/told", {}))?.ok) told = [];
    drawWorkstation();
  });
  news.append(make("ul"), make("p"), read);
}

async function takeOver() {
  waits = true;
  last = { refused: "" };
  drawWorkstation();
  const found = await signInByKey();
  waits = false;
  if (found.id) {
    others.postMessage({ id: found.id });
    enter(found.id);
    return;
  }
  last = found;
  drawWorkstation();
  $("switch").focus();
}

// The same person finds the page that was left; another one begins at the beds.
function enter(id) {
  const left = sessionStorage.getItem(RETURN + id);
  sessionStorage.removeItem(RETURN + id);
  location.assign(left ?? `/${location.hash}`);
  if (left === location.href || (!left && location.pathname === "/")) location.reload();
}

async function lockNow() {
  const answer = await post("/lock", {});
  others.postMessage({ locked: true });
  if (answer?.ok) {
    leave();
    return;
  }
  me = { ...me, locked: true };  // the server is away: at least nothing is shown
  drawWorkstation();
}

function leave() {
  if (!me || me.locked) return;
  sessionStorage.setItem(RETURN + me.id, location.href);
  me = { ...me, locked: true };
  drawWorkstation();
  if (location.pathname === "/") location.reload();
  else location.assign(`/${location.hash}`);
}

function touched() {
  activeMs = Date.now();
  localStorage.setItem(ACTIVE, String(activeMs));  // of every tab of this browser
}

function lockWhenIdle() {
  const active = Math.max(activeMs, Number(localStorage.getItem(ACTIVE) ?? 0));
  if (me && !me.locked && Date.now() - active > lockAfterMs) lockNow();
}

// A session that ended or was locked elsewhere leaves nothing on this screen.
async function look() {
  const answer = await fetch("/me").catch(() => null);
  if (answer?.status === 401) location.assign(`/sign-in?to=${encodeURIComponent(location.pathname)}${location.hash}`);
  if (!answer?.ok || !me) return;
  const now = await answer.json();
  if (now.id !== me.id) location.assign(`/${location.hash}`);
  else if (now.locked && !me.locked) leave();
  else if (!now.locked && me.locked) location.reload();
}
