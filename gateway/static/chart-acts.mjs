// What people do to a chart: sent as one request, and refused in a word that the page has a sentence for.
import { chartWords } from "/chart-words.mjs";
import { words } from "/words.mjs";

// "" where it is done, else why not.
export async function act(wish) {
  const answer = await fetch("/chart-act", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish),
  }).catch(() => null);
  if (answer?.status === 204) return "";
  const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  return refused ?? "unreadable";
}

export const refusalText = why => why ? chartWords().refused[why] ?? words.refused[why] ?? words.refused.unreadable : "";
