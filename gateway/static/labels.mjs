// Labels of marks that stand on one axis, in rows above it: none lies on another.

const GAP = 4;  // pixels beside a label

// `marks` are { x, text, ... }, the most important first; `widthOf` is of a text in pixels; labels lie between `left` and
// `right`. What has no room in `rows` is counted in one row more: +3 stands for three marks. Of each label comes
// { text, mark, row, from, to }, where `mark` is the first that it is of.
export function layOut(marks, widthOf, left, right, rows) {
  const placed = [], without = [];
  for (const mark of marks) {
    const box = beside(mark.x, widthOf(mark.text), left, right);
    const row = freeRow(placed, box, rows);
    row < rows ? placed.push({ text: mark.text, mark, row, ...box }) : without.push(mark);
  }
  const width = widthOf("+99");
  let more = null;
  for (const mark of without.toSorted((a, b) => a.x - b.x)) {
    const box = beside(mark.x, width, left, right);
    if (more && meet(more, box)) {
      more.count += 1;
    } else {
      more = { mark, row: rows, count: 1, ...box };
      placed.push(more);
    }
    more.text = `+${Math.min(more.count, 99)}`;
  }
  return placed;
}

const meet = (a, b) => a.from < b.to + GAP && b.from < a.to + GAP;

function freeRow(placed, box, rows) {
  let row = 0;
  while (row < rows && placed.some(label => label.row === row && meet(label, box))) row += 1;
  return row;
}

// To the right of its mark; at the end of the axis to the left of it.
function beside(x, width, left, right) {
  const from = x + GAP + width > right ? Math.max(left, x - GAP - width) : x + GAP;
  return { from, to: from + width };
}
