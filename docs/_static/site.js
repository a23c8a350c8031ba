// What is wider than its column scrolls by itself; then the keyboard must reach it.
const SCROLLING = ".table-wrapper, pre, mjx-container[display]";

function reachByKeyboard() {
  for (const box of document.querySelectorAll(SCROLLING)) {
    const wide = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (wide && !box.hasAttribute("tabindex")) {
      box.tabIndex = 0;
      box.dataset.scrolls = "";
    } else if (!wide && "scrolls" in box.dataset) {
      box.removeAttribute("tabindex");
      box.removeAttribute("data-scrolls");
    }
  }
}

window.addEventListener("load", () => {
  const formulas = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
  formulas.then(reachByKeyboard);
  window.addEventListener("resize", reachByKeyboard);
});
