"use strict";
const root = document.documentElement;
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

// Light and dark.
const toggle = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
const nameToggle = () => { toggle.textContent = isDark() ? "Light page" : "Dark page"; };
toggle.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("elbo-lab-theme", root.dataset.theme); } catch (error) { /* no storage */ }
  nameToggle();
});
prefersDark.addEventListener("change", nameToggle);
nameToggle();

// Fold and open; what is folded opens for a link into it, and for the printer.
const folded = all("details.question, details.block");
const fold = document.getElementById("fold");
const nameFold = () => { fold.textContent = folded.every(part => part.open) ? "Fold all" : "Open all"; };
fold.addEventListener("click", () => {
  const open = !folded.every(part => part.open);
  for (const part of folded) part.open = open;
});
for (const part of folded) part.addEventListener("toggle", nameFold);
fold.hidden = !folded.length;
nameFold();
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", openTarget);
openTarget();
document.getElementById("contents").open = matchMedia("(min-width: 70rem)").matches;
let before = null;
addEventListener("beforeprint", () => {
  before = { theme: root.dataset.theme, closed: folded.filter(part => !part.open) };
  root.dataset.theme = "light";
  for (const part of before.closed) part.open = true;
});
addEventListener("afterprint", () => {
  if (before.theme) root.dataset.theme = before.theme; else delete root.dataset.theme;
  for (const part of before.closed) part.open = false;
});

// On a narrow page a figure is shown whole, and large enough to read on demand.
for (const button of all(".enlarge")) button.addEventListener("click", () => {
  const large = button.parentElement.classList.toggle("large");
  button.textContent = large ? "Show whole figure" : "Enlarge";
});

// A click on a head sorts up, down, and as it was; what has no number stays last.
const worth = cell => {
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  return cell.classList.contains("n") || cell.textContent === "-" ? null : cell.textContent;
};
for (const table of all("table")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  for (const button of all("thead button", table)) button.addEventListener("click", () => {
    const head = button.parentElement;
    const column = head.cellIndex;
    const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
    const order = next === undefined ? "ascending" : next;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    if (order) head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const rows = order ? original.map(row => [worth(row.cells[column]), row]).sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    }).map(pair => pair[1]) : original;
    body.append(...rows);
  });
}

// What a column means: for the mouse, the keyboard and a finger.
const help = document.getElementById("help");
let helped = null;
const hide = () => { helped = null; help.hidden = true; };
const place = () => {
  const at = helped.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - help.offsetWidth - 8);
  const above = at.top - help.offsetHeight - 6;
  help.style.left = `${Math.max(8, left)}px`;
  help.style.top = `${above > 0 ? above : at.bottom + 6}px`;
};
for (const button of all("button[data-help]")) {
  button.setAttribute("aria-describedby", "help");
  const show = () => {
    helped = button;
    help.textContent = button.dataset.help;
    help.hidden = false;
    place();
  };
  for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, show);
  for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => { if (helped === button) hide(); });
}
addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
// The focus of a keyboard scrolls the page.
addEventListener("scroll", () => { if (helped) place(); }, { passive: true, capture: true });

// The files are inside the page.
for (const link of all("a.download")) link.addEventListener("click", event => {
  event.preventDefault();
  const file = document.getElementById(link.hash.slice(1));
  const copy = document.createElement("a");
  copy.href = URL.createObjectURL(new Blob([file.textContent], { type: "text/plain" }));
  copy.download = link.download;
  copy.click();
  URL.revokeObjectURL(copy.href);
});
