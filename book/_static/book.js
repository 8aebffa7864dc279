// Paper is white: a page in the dark is printed as it is in the light.
(() => {
  "use strict";
  const root = document.documentElement;
  const paper = window.matchMedia("print");
  let before = null;
  paper.addEventListener("change", () => {
    if (paper.matches && root.dataset.theme === "dark") {
      before = root.dataset.theme;
      root.dataset.theme = "light";
    } else if (!paper.matches && before !== null) {
      root.dataset.theme = before;
      before = null;
    }
  });
})();

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
