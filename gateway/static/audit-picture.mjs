// Who looked when, as a picture: a line for each person, a bar for each look, a mark for each act.
import { make } from "/elements.mjs";
import { stamp } from "/time.mjs";

const SVG = "http://www.w3.org/2000/svg", WIDTH = 1000, NAMES = 190, LINE = 26, FOOT = 24;
const PEOPLE_MAX = 30;  // the list has them all

function shape(tag, attributes, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

// `label` says in words what the picture shows: (people, from, until).
export function drawPicture(figure, traces, label) {
  figure.hidden = !traces.length;
  if (!traces.length) return;
  const people = [...new Map(traces.map(each => [each.person, each.name])).entries()].slice(0, PEOPLE_MAX);
  const from = Math.min(...traces.map(each => each.at)), until = Math.max(...traces.map(each => each.until ?? each.at), from + 60_000);
  const x = ms => NAMES + (ms - from) / (until - from) * (WIDTH - NAMES - 6), height = people.length * LINE + FOOT;
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label(people.length, stamp(from), stamp(until)) });
  people.forEach(([person, name], i) => {
    const top = i * LINE;
    picture.append(shape("line", { x1: 0, x2: WIDTH, y1: top + LINE, y2: top + LINE, class: "rule" }),
      shape("text", { x: 2, y: top + 18 }, [person, name !== person && name].filter(Boolean).join(" ").slice(0, 22)));
    for (const each of traces.filter(one => one.person === person)) {
      const title = shape("title", {}, `${stamp(each.at)} ${each.page || each.what}`);
      picture.append(each.until === null
        ? shape("circle", { cx: x(each.at), cy: top + 13, r: 5, class: "act" }, title)
        : shape("rect", { x: x(each.at), y: top + 6, width: Math.max(3, x(each.until) - x(each.at)), height: 14,
          class: each.restricted || each.relation === "break_glass" ? "look marked" : "look" }, title));
    }
  });
  picture.append(shape("text", { x: NAMES, y: height - 6 }, stamp(from).slice(0, 16)),
    shape("text", { x: WIDTH - 4, y: height - 6, "text-anchor": "end" }, stamp(until).slice(0, 16)));
  figure.replaceChildren(picture, make("figcaption", "", label(people.length, stamp(from).slice(0, 16), stamp(until).slice(0, 16))));
}
