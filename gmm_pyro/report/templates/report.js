"use strict";

const tip = document.getElementById("tip");
const said = document.getElementById("said");
let described = null; // the button that the tip is about

// ---------------------------------------------------------------- sorting

function cellOf(row, column) {
  return row.cells[column];
}

function order(a, b, column, sign) {
  const [left, right] = [cellOf(a, column), cellOf(b, column)];
  if (!("value" in left.dataset)) {
    return sign * left.textContent.localeCompare(right.textContent, "en", { numeric: true });
  }
  const [x, y] = [left.dataset.value, right.dataset.value].map(number);
  if (Number.isNaN(x) || Number.isNaN(y)) {
    return Number(Number.isNaN(x)) - Number(Number.isNaN(y)); // at the end in either direction
  }
  return x === y ? 0 : sign * (x < y ? -1 : 1);
}

function number(text) {
  if (text === "") return NaN;
  return text.endsWith("inf") ? (text.startsWith("-") ? -Infinity : Infinity) : Number(text);
}

function sort(button) {
  const head = button.closest("th");
  const table = button.closest("table");
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => order(a, b, head.cellIndex, up ? 1 : -1));
  body.append(...rows);
  said.textContent = `${table.caption.textContent} sorted by ${button.textContent}, ${
    up ? "ascending" : "descending"
  }`;
}

// ---------------------------------------------------------------- what a column means

function show(button) {
  const words = document.getElementById(button.getAttribute("aria-describedby"));
  if (!words) return;
  described = button;
  tip.textContent = words.textContent;
  tip.hidden = false;
  const [at, size] = [button.getBoundingClientRect(), tip.getBoundingClientRect()];
  const room = document.documentElement.clientWidth - size.width - 8;
  const below = at.bottom + size.height + 8 < window.innerHeight;
  tip.style.left = `${Math.max(8, Math.min(at.left, room))}px`;
  tip.style.top = `${below ? at.bottom : Math.max(0, at.top - size.height)}px`;
}

function hide() {
  described = null;
  tip.hidden = true;
}

function stays(event) {
  const to = event.relatedTarget;
  return to === tip || (to instanceof Node && described !== null && described.contains(to));
}

for (const button of document.querySelectorAll(".sortable thead button")) {
  button.addEventListener("click", () => sort(button));
  if (!button.hasAttribute("aria-describedby")) continue;
  button.addEventListener("mouseenter", () => show(button));
  button.addEventListener("focus", () => show(button));
  button.addEventListener("mouseleave", (event) => stays(event) || hide());
  button.addEventListener("blur", hide);
}
tip.addEventListener("mouseleave", (event) => stays(event) || hide());
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("scroll", () => described && show(described), {
  capture: true,
  passive: true,
});

// ---------------------------------------------------------------- printing

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
  closed = [];
});
