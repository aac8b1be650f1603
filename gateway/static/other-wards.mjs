// The way to a patient of another ward: its beds without a name, each opened by a reason alone.
import { readFrom } from "/ask.mjs";
import { breakGlass, forgetAsked } from "/glass.mjs";
import { $, make, reconcile, set } from "/elements.mjs";
import { language, words } from "/words.mjs";

let wards = [];

export function openOtherWards() {
  $("other-wards").addEventListener("toggle", async () => {
    if (!$("other-wards").open) return;
    wards = (await readFrom("/other-wards")).found?.wards ?? [];
    drawOtherWards();
  });
}

export function drawOtherWards() {
  const [title, about, list] = $("other-wards").children;
  set(title, words.otherWards);
  set(about, wards.length ? words.otherWardsAbout : words.nobodyElsewhere);
  reconcile(list, wards.map(each => [each.ward, each]), () => make("section", "", make("h2"), make("div")), (box, { ward, beds }) => {
    set(box.firstChild, ward.toUpperCase());
    reconcile(box.lastChild, beds.map(bed => [bed.encounter, bed]), makeBed, (button, bed) => set(button, bed.label));
  });
}

function makeBed({ encounter }) {
  const button = make("button");
  button.type = "button";
  button.addEventListener("click", async () => {
    forgetAsked(encounter);
    if (await breakGlass(encounter)) location.assign(`/patient/${encodeURIComponent(encounter)}#${language}`);
  });
  return button;
}
