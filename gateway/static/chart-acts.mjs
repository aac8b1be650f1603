// What people do to a chart: sent as one request, and refused in a word that the page has a sentence for.
import { chartWords } from "/chart-words.mjs";
import { post } from "/post.mjs";
import { words } from "/words.mjs";

// "" where it is done, else why not.
export async function act(wish) {
  const answer = await post("/chart-act", wish);
  if (answer?.status === 204) return "";
  const { refused } = await answer?.json().catch(() => ({})) ?? { refused: "server_away" };
  return refused ?? "unreadable";
}

export const refusalText = why => why ? chartWords().refused[why] ?? words.refused[why] ?? words.refused.unreadable : "";
