// The page's elements: made once, found again by their keys, touched where something changed.

export const $ = id => document.getElementById(id);

// Children by key: what stays is the same element, so that focus, hover and a half-done click outlive the redraw.
export function reconcile(parent, items, create, update) {
  const keys = new Set(items.map(([key]) => String(key))), kept = new Map();
  for (const child of [...parent.children]) {
    keys.has(child.dataset.key) ? kept.set(child.dataset.key, child) : child.remove();
  }
  items.forEach(([key, item], i) => {
    const child = kept.get(String(key)) ?? create(item);
    child.dataset.key = key;
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
    update(child, item);
  });
}

export function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

export function set(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}
