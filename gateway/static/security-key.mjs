// Security keys, as the browser has them (WebAuthn level 3): gateway/people/security_keys.py says what is asked.

const sendJson = (path, wish) => fetch(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish),
}).catch(() => null);

// "" where it worked, else why not; `waitS`: how long to wait where that is why.
const refusal = async answer => {
  if (!answer) return { refused: "server_away" };
  if (answer.ok) return { refused: "" };
  const { refused = "unreadable", wait_s: waitS = 0 } = await answer.json().catch(() => ({}));
  return { refused, waitS: Math.ceil(waitS) };
};

export const hasKeys = () => "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

// Whose key was touched: { id }, or { refused }. Nothing is typed but the key's own PIN.
export async function signInByKey() {
  if (!hasKeys()) return { refused: "no_keys_here" };
  const asked = await sendJson("/sign-in/key/begin", {});
  if (!asked?.ok) return refusal(asked);
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await asked.json());
  const credential = await navigator.credentials.get({ publicKey }).catch(() => null);
  if (!credential) return { refused: "key_cancelled" };
  const answer = await sendJson("/sign-in/key", { credential: credential.toJSON() });
  return answer?.ok ? answer.json() : refusal(answer);
}

// What a new key answers to `options`; null where it was not touched or is known already.
export async function makeKey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await navigator.credentials.create({ publicKey }).catch(() => null);
  return credential?.toJSON() ?? null;
}

// By an administrator's link: for whom it is, then the key.
export async function beginByLink(code) {
  const answer = await sendJson("/sign-in/enrol-begin", { code });
  return answer?.ok ? answer.json() : refusal(answer);
}

export async function enrolByLink(code, label, options) {
  const credential = await makeKey(options);
  if (!credential) return { refused: "key_cancelled" };
  return refusal(await sendJson("/sign-in/enrol", { code, label, credential }));
}
