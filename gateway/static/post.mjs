// Every act of a person goes out here: with the token that only pages of this session can read (GET /me).
const TOUCH_MS = 60_000;
let me = null, touchedMs = 0;

// Who is signed in: { id, name, role, wards, csrf, ... }; null where nobody is or the server is away.
export async function whoIsIn() {
  me ??= fetch("/me").then(answer => (answer.ok ? answer.json() : null)).catch(() => null);
  const found = await me;
  if (!found) me = null;
  return found;
}

// The answer, or null where the server is away.
export async function post(path, wish) {
  const answer = await send(path, wish);
  if (answer?.status !== 403) return answer;
  const { refused } = await answer.clone().json().catch(() => ({}));
  if (refused !== "not_own") return answer;
  me = null;  // somebody else signed in, in another tab
  return send(path, wish);
}

async function send(path, wish) {
  const found = await whoIsIn();
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": found?.csrf ?? "" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(wish) }).catch(() => null);
}

// Somebody sits here: what polls and streams by itself does not keep a session.
export function keepWhileUsed() {
  const touch = () => {
    if (Date.now() - touchedMs < TOUCH_MS) return;
    touchedMs = Date.now();
    post("/me/touch", {});
  };
  touchedMs = Date.now();  // the page itself was asked for a moment ago
  for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, touch, { passive: true });
}
