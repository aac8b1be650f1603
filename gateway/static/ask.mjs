// Questions to the server: where only a reason opens a stay, the page asks for one; who is signed in no more signs in.
import { askReason } from "/glass.mjs";

// `problem` is what stands in the way, by a key of the page's words; "" where nothing does.
export async function read(path) {
  let answer = await fetch(path).catch(() => null);
  if (answer?.status === 403 && await askReason(answer)) answer = await fetch(path).catch(() => null);
  if (answer?.status === 401) signIn();
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  return { found, problem: found ? "" : problemOf(answer) };
}

function problemOf(answer) {
  if (!answer) return "serverAway";
  return { 401: "signedOut", 403: "noAccess", 404: "notFound" }[answer.status] ?? "storeAway";
}

export const signIn = () => location.assign(`/sign-in?to=${encodeURIComponent(location.pathname)}`);
