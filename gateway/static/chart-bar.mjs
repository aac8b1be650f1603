// The way between a patient's page, chart and printed sheets.
import { $, set } from "/elements.mjs";
import { chartWords } from "/chart-words.mjs";
import { language } from "/words.mjs";

const PLACES = ["chart", "sheet", "hourly"];

// Of the encounter's key as it stands in the address; `patient` is a patient's key, where it is known.
export function drawChartBar(encounter, patient) {
  for (const place of PLACES) {
    const link = $(`to-${place}`);
    link.href = `/${place}/${encounter}#${language}`;
    link.hidden = false;
    set(link, chartWords()[place]);
    if (location.pathname.startsWith(`/${place}/`)) link.setAttribute("aria-current", "page");
  }
  $("to-patient").hidden = !patient;
  set($("to-patient"), chartWords().patient);
  if (patient) $("to-patient").href = `/patient/${encodeURIComponent(patient)}#${language}`;
}
