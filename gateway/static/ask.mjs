// Questions to the server: where only a reason opens a stay, the page asks for one; who is signed in no more signs in.
import { askReason } from "/glass.mjs";

const had = new Set();  // what this page was given of whom, by the first and the last part of the address

// What a page may see no more it does not go on showing: it begins anew, and asks for a reason where one opens it.
// `problem` is what stands in the way, by a key of the page's words; "" where nothing does.
export async function readFrom(path) {
  let answer = await fetch(path).catch(() => null);
  const what = `${path.split("/")[1]} ${path.split("/").at(-1)}`;
  if (answer?.status === 403 && had.has(what)) {
    document.body.hidden = true;
    location.reload();
    return new Promise(() => {});
  }
  if (answer?.status === 403 && await askReason(answer)) answer = await fetch(path).catch(() => null);
  if (answer?.status === 401) signIn();
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  if (found) had.add(what);
  return { found, problem: found ? "" : problemOf(answer) };
}

function problemOf(answer) {
  if (!answer) return "serverAway";
  return { 401: "signedOut", 403: "noAccess", 404: "notFound" }[answer.status] ?? "storeAway";
}

export const signIn = () => location.assign(`/sign-in?to=${encodeURIComponent(location.pathname)}`);
