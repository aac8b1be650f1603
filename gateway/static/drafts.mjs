// What somebody has half written waits for its author: in this tab, by staff number; nobody else is shown it.
import { whoIsIn } from "/post.mjs";

const key = async of => {
  const me = await whoIsIn();
  return me && !me.locked ? `vitalwire-draft:${me.id}:${of}` : null;
};

export async function keepDraft(of, draft) {
  const name = await key(of);
  if (name) sessionStorage.setItem(name, JSON.stringify(draft));
}

// null where nothing waits.
export async function draftOf(of) {
  const name = await key(of);
  return name ? JSON.parse(sessionStorage.getItem(name) ?? "null") : null;
}

export async function dropDraft(of) {
  const name = await key(of);
  if (name) sessionStorage.removeItem(name);
}
