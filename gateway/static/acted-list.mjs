// A list of things that a person can do something about: what each is, why an act was refused, a reason, the acts.
import { $, make, reconcile, set } from "/elements.mjs";
import { post } from "/post.mjs";

// `rows`: { key, title, link, lines, acts: [{ text, path, wish, reason }] }; `reason`: what the wish calls it, "" none.
// `said`: { none, reason, refused: answer => text, done: () => } of the page.
export function drawActedList(id, rows, said) {
  const shown = rows.length ? rows : [{ key: "none", title: "", lines: [said.none], acts: [] }];
  reconcile($(id), shown.map(row => [row.key, row]), () => makeRow(said), (box, row) => drawRow(box, row, said));
}

function makeRow(said) {
  const box = make("article", "item", make("h3"), make("p", "about"), make("a", "link"), make("p", "refusal"), make("form"));
  box.children[3].setAttribute("role", "alert");
  box.lastChild.addEventListener("submit", async event => {
    event.preventDefault();
    const act = box.row.acts[Number(event.submitter?.dataset.key ?? 0)], reason = box.querySelector("input")?.value.trim() ?? "";
    const answer = await post(act.path, act.reason ? { ...act.wish, [act.reason]: reason } : act.wish);
    const refused = await said.refused(answer);
    set(box.children[3], refused);
    if (!refused) box.querySelector("input")?.replaceWith(make("input"));  // what was said is said
    await said.done(refused);
  });
  return box;
}

function drawRow(box, row, said) {
  box.row = row;
  const [title, about, link, , form] = box.children;
  set(title, row.title);
  title.hidden = !row.title;
  set(about, row.lines.filter(Boolean).join("\n"));
  link.hidden = !row.link;
  if (row.link) {
    link.href = row.link.href;
    set(link, row.link.text);
  }
  form.hidden = !row.acts.length;
  const fields = [...(row.acts.some(act => act.reason) ? [["reason", null]] : []), ...row.acts.map((act, i) => [i, act])];
  reconcile(form, fields, makeField, (field, act) => {
    if (act) set(field, act.text);
    else {
      set(field.firstChild, said.reason);
      Object.assign(field.lastChild, { required: !row.reasonMayLack, maxLength: 500, autocomplete: "off" });
    }
  });
}

const makeField = act => act ? make("button") : make("label", "", make("span"), make("input"));
