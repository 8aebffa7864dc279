// What scrolls sideways in a box of its own can be scrolled with the keyboard: the box
// is a stop of the tab key as long as it is too narrow, and no longer.
(() => {
  "use strict";
  const BOXES =
    'mjx-container[display="true"], .output.text_markdown, .output.text_html, ' +
    ".pst-scrollable-table-container, .bd-content pre";

  const seen = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) {
        target.tabIndex = 0;
        target.dataset.scrolls = "";
      } else if ("scrolls" in target.dataset) {
        target.removeAttribute("tabindex");
        delete target.dataset.scrolls;
      }
    }
  });

  function watch() {
    for (const box of document.querySelectorAll(BOXES)) seen.observe(box);
  }

  watch();
  // Formulas come later, where there are any.
  window.addEventListener("load", () => {
    window.MathJax?.startup?.promise?.then(watch);
  });
})();
