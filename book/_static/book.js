// Paper is white: a page in the dark is printed as it is in the light.
(() => {
  "use strict";
  const root = document.documentElement;
  let dark = false;
  function lighten() {
    if (root.dataset.theme !== "dark") return;
    dark = true;
    root.dataset.theme = "light";
  }
  function restore() {
    if (dark) root.dataset.theme = "dark";
    dark = false;
  }
  window.addEventListener("beforeprint", lighten);
  window.addEventListener("afterprint", restore);
  // A preview may tell only so.
  window.matchMedia("print").addEventListener("change", (paper) => {
    if (paper.matches) lighten();
    else restore();
  });
})();

// What scrolls sideways in a box of its own can be scrolled with the keyboard: the box
// is a stop of the tab key as long as it is too narrow, and no longer.
(() => {
  "use strict";
  const BOXES =
    'mjx-container[display="true"], .output.text_markdown, .output.text_html, ' +
    ".pst-scrollable-table-container, .figure-box, .bd-content pre";

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

// On a narrow screen a sidebar lies over the page: who opens it with a key is taken
// into it, and Escape closes it and leads back to the button.
(() => {
  "use strict";
  for (const side of ["primary", "secondary"]) {
    const open = document.getElementById(`pst-${side}-sidebar-checkbox`);
    const button = document.querySelector(`button.${side}-toggle`);
    const bar = document.querySelector(`.bd-sidebar-${side}`);
    if (!open || !button || !bar) continue;
    const covers = () => open.checked && getComputedStyle(bar).position === "fixed";
    button.addEventListener("click", () => {
      // The theme opens it on the same click.
      setTimeout(() => {
        if (covers()) bar.querySelector("a[href], button, input")?.focus();
      });
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !covers()) return;
      open.checked = false;
      button.focus();
    });
  }
})();
