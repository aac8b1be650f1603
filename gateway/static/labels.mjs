// Labels of marks that stand on one axis, in rows above it: none lies on another.

const GAP = 4;  // pixels beside a label

// `marks` are { x, text, ... } in any order, `widthOf` is of a text in pixels; labels lie between `left` and `right`. What has
// no room in `rows` is counted in one row more: +3 stands for three marks. Of each label comes { text, mark, row, from, to },
// where `mark` is the first that it is of.
export function layOut(marks, widthOf, left, right, rows) {
  const ends = Array(rows).fill(-Infinity), placed = [];
  let more = null;
  for (const mark of marks.toSorted((a, b) => a.x - b.x)) {
    const box = beside(mark.x, widthOf(mark.text), left, right);
    const row = ends.findIndex(end => box.from >= end);
    if (row >= 0) {
      ends[row] = box.to + GAP;
      placed.push({ text: mark.text, mark, row, ...box });
      continue;
    }
    const counted = beside(mark.x, widthOf("+99"), left, right);
    if (more && counted.from < more.to + GAP) {
      more.count += 1;
    } else {
      more = { mark, row: rows, count: 1, ...counted };
      placed.push(more);
    }
    more.text = `+${Math.min(more.count, 99)}`;
  }
  return placed;
}

// To the right of its mark; at the end of the axis to the left of it.
function beside(x, width, left, right) {
  const from = x + GAP + width > right ? Math.max(left, x - GAP - width) : x + GAP;
  return { from, to: from + width };
}
