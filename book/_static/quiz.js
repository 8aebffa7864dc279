// Questions. In the source a question is plain text: the question, a numbered list of
// answers, and a <details> of feedback for each, named by the number of its answer. It
// reads well without this script, which makes a group of radio buttons of it (one right
// answer) or of checkboxes (several). Nodes are moved, not copied, so that formulas
// survive, whether they are set already or not.
(() => {
  "use strict";
  let count = 0;

  function make(tag, className, ...children) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children);
    return node;
  }

  function letter(number) {
    return String.fromCharCode(64 + Number(number));
  }

  function letters(numbers) {
    const names = numbers.map(letter);
    const last = names.pop();
    return names.length ? `${names.join(", ")} and ${last}` : last;
  }

  // The parts of a question, or an error that says what was expected.
  function parse(quiz) {
    const list = quiz.querySelector(":scope > ol");
    if (!list) throw new Error("expected a numbered list of answers, but got none");
    const numbers = [...list.children].map((_, i) => String(i + 1));
    const right = quiz.dataset.answer.split(",").map((s) => s.trim());
    const strange = right.filter((n) => !numbers.includes(n));
    if (strange.length)
      throw new Error(`expected data-answer among ${numbers}, but got ${strange}`);
    const feedback = new Map();
    for (const details of quiz.querySelectorAll(":scope > details"))
      feedback.set(details.querySelector("summary")?.textContent.trim(), details);
    for (const n of numbers)
      if (!feedback.has(n)) throw new Error(`expected feedback to answer ${n}, but got none`);
    return { list, right, feedback };
  }

  function upgrade(quiz) {
    const { list, right, feedback } = parse(quiz);
    const several = right.length > 1;
    const name = `quiz-${++count}`;

    const legend = make("legend", "quiz-question");
    const group = make("fieldset", "quiz-group", legend);
    for (let block; (block = quiz.firstElementChild) !== list; ) {
      // A legend holds text and no paragraphs: the content of the first goes in.
      if (legend.hasChildNodes()) group.append(block);
      else {
        legend.append(...block.childNodes);
        block.remove();
      }
    }
    if (several) group.append(make("p", "quiz-hint", "Choose all that are right."));

    const options = [...list.children].map((item, i) => {
      const number = String(i + 1);
      const ok = right.includes(number);
      const input = make("input");
      input.type = several ? "checkbox" : "radio";
      input.name = name;
      input.id = `${name}-${number}`;
      const first = item.firstElementChild;
      if (first?.tagName === "P") first.replaceWith(...first.childNodes);
      const text = make("span", "quiz-text", ...item.childNodes);
      const mark = make("span", "quiz-letter", `${letter(number)}. `);
      const label = make("label", "", input, mark, text);
      label.htmlFor = input.id;
      const details = feedback.get(number);
      details.querySelector("summary").remove();
      const verdict = make("strong", "quiz-verdict", ok ? "Right." : "Not quite.");
      const said = make("div", "quiz-feedback", verdict, ...details.childNodes);
      said.hidden = true;
      details.remove();
      // What becomes visible in a status is read out by screen readers.
      const status = make("div", "quiz-status", said);
      status.setAttribute("role", "status");
      const option = make("div", "quiz-option", label, status);
      group.append(option);
      return { number, ok, input, option, said };
    });

    function judge(option, shown) {
      option.said.hidden = !shown;
      option.option.classList.toggle("quiz-right", shown && option.ok);
      option.option.classList.toggle("quiz-wrong", shown && !option.ok);
    }

    if (several) {
      const button = make("button", "quiz-check", "Check");
      button.type = "button";
      const summary = make("p", "quiz-summary");
      summary.setAttribute("role", "status");
      button.addEventListener("click", () => {
        const chosen = options.filter((o) => o.input.checked);
        if (!chosen.length) {
          summary.textContent = "Choose at least one answer first.";
          return;
        }
        const wrong = chosen.filter((o) => !o.ok).map((o) => o.number);
        const missed = right.filter((n) => !options[n - 1].input.checked);
        for (const option of options) judge(option, option.input.checked);
        const parts = [];
        if (wrong.length)
          parts.push(`${letters(wrong)} ${wrong.length > 1 ? "do" : "does"} not belong.`);
        if (missed.length) parts.push(`${letters(missed)} ${missed.length > 1 ? "were" : "was"} missed.`);
        summary.textContent = parts.length
          ? `Not quite. ${parts.join(" ")}`
          : `Right: ${letters(right)}, and no other.`;
      });
      group.addEventListener("change", () => {
        for (const option of options) judge(option, false);
        summary.textContent = "";
      });
      group.append(button, summary);
    } else {
      group.addEventListener("change", () => {
        for (const option of options) judge(option, option.input.checked);
      });
    }
    list.remove();
    quiz.append(group);
    quiz.classList.add("quiz-ready");
  }

  for (const quiz of document.querySelectorAll("div.quiz")) {
    try {
      upgrade(quiz);
    } catch (error) {
      console.error(`quiz: ${error.message}`);
    }
  }
})();
