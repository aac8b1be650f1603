// Who is signed in, as the frame says it: the pages of their role, and the way out.
import { $, make, set } from "/elements.mjs";
import { post, whoIsIn } from "/post.mjs";
import { language, words } from "/words.mjs";

// Pages that are some roles' alone; the others are everybody's.
const PAGES = [
  { id: "to-grants", path: "/grants", name: "grants",
    roles: ["nurse", "physician", "technician", "trainee", "biomedical_engineer", "record_office", "administrator"] },
  { id: "to-devices", path: "/devices", name: "devices", roles: ["nurse", "physician", "technician", "biomedical_engineer", "trainee"] },
  { id: "to-boxes", path: "/boxes", name: "boxes", roles: ["biomedical_engineer", "administrator"] },
  { id: "to-fleet", path: "/fleet", name: "fleet", roles: ["biomedical_engineer", "administrator"] },
  { id: "to-mapping", path: "/mapping", name: "mapping", roles: ["biomedical_engineer", "administrator"] },
  { id: "to-audit", path: "/audit", name: "audit", roles: ["auditor", "second_auditor"] },
];
const out = make("button");
let me = null;

export async function openWho() {
  out.id = "sign-out";
  out.type = "button";
  out.hidden = true;
  out.addEventListener("click", async () => {
    await post("/sign-out", {});
    location.assign("/sign-in");
  });
  $("language").after(out);
  me = await whoIsIn();
  drawWho();
}

export function drawWho() {
  const isPerson = me !== null && me.role !== "station_display" && !me.locked;  // a lock takes names away
  out.hidden = !isPerson;
  set(out, words.signOut);
  out.title = isPerson ? words.signedIn(me.name) : "";
  out.setAttribute("aria-label", isPerson ? `${words.signOut}: ${me.name}` : words.signOut);
  for (const { id, path, name, roles } of PAGES) {
    if (!isPerson || !roles.includes(me.role)) continue;
    let link = $(id);
    if (!link) {
      link = make("a", "link");
      link.id = id;
      link.href = path;
      if (`${location.pathname}/`.startsWith(`${path}/`)) link.setAttribute("aria-current", "page");
      $("find").before(link);
    }
    link.hash = language;
    set(link, words[name]);
  }
}
