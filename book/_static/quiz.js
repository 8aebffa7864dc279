// Questions: a list of answers and a <details> of feedback for each, which read well
// without this script, become a group of radio buttons (one right answer) or
// checkboxes (several). Nodes are moved, not copied, so that formulas survive.
(() => {
  "use strict";
  let count = 0;

  function make(tag, className, ...children) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children);
    return node;
  }

  function upgrade(quiz) {
    const right = new Set(quiz.dataset.answer.split(",").map((s) => s.trim()));
    const list = quiz.querySelector("ol");
    const feedback = [...quiz.querySelectorAll("details")];
    if (!list || feedback.length !== list.children.length) return;

    const several = right.size > 1;
    const name = `quiz-${++count}`;
    const group = make("fieldset", "quiz-group");
    const legend = make("legend", "quiz-question");
    while (quiz.firstElementChild && quiz.firstElementChild !== list) {
      const block = quiz.firstElementChild;
      // A legend holds text, not paragraphs: the first block's content goes in.
      if (!legend.hasChildNodes()) legend.append(...block.childNodes);
      else group.append(block);
      if (block.parentNode === quiz) block.remove();
    }
    group.prepend(legend);

    const status = make("p", "quiz-status");
    status.setAttribute("role", "status");
    const options = [...list.children].map((item, i) => {
      const number = String(i + 1);
      const input = make("input");
      input.type = several ? "checkbox" : "radio";
      input.name = name;
      input.id = `${name}-${number}`;
      const letter = make("span", "quiz-letter", String.fromCharCode(65 + i) + ".");
      const text = make("span", "quiz-text", ...item.childNodes);
      const label = make("label", "", input, letter, text);
      const verdict = make("strong", "", right.has(number) ? "Right." : "Not quite.");
      const body = feedback[i];
      body.querySelector("summary")?.remove();
      const said = make("div", "quiz-feedback", verdict, " ", ...body.childNodes);
      said.hidden = true;
      const option = make("div", "quiz-option", label, said);
      body.remove();
      group.append(option);
      return { number, input, option, said };
    });

    function show(judged) {
      for (const { number, option, said } of options) {
        const shown = judged(number);
        said.hidden = !shown;
        option.classList.toggle("quiz-right", shown && right.has(number));
        option.classList.toggle("quiz-wrong", shown && !right.has(number));
      }
    }

    if (several) {
      const button = make("button", "quiz-check", "Check");
      button.type = "button";
      button.addEventListener("click", () => {
        const chosen = new Set(options.filter((o) => o.input.checked).map((o) => o.number));
        show((n) => chosen.has(n));
        const missed = [...right].filter((n) => !chosen.has(n)).length;
        const wrong = [...chosen].filter((n) => !right.has(n)).length;
        if (!missed && !wrong) status.textContent = "Right: these and no others.";
        else
          status.textContent =
            `${wrong} chosen that should not be, ${missed} still to be found.`;
      });
      group.append(button);
    } else {
      group.addEventListener("change", (event) => {
        const chosen = options.find((o) => o.input === event.target);
        show((n) => n === chosen.number);
        status.textContent = right.has(chosen.number)
          ? "Right: the feedback stands below the answer."
          : "Not quite: the feedback stands below the answer.";
      });
    }
    group.append(status);
    list.remove();
    quiz.append(group);
    quiz.classList.add("quiz-ready");
  }

  for (const quiz of document.querySelectorAll("div.quiz")) upgrade(quiz);
})();
