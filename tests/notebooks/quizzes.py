"""Questions with feedback in Markdown, and what is wrong with one.

A question is plain HTML around plain Markdown: it reads well where nothing upgrades
it, and the site turns it into radio buttons or checkboxes.
"""

import re

OPENING = re.compile(r'<div[^>]*\bclass="[^"]*\bquiz\b')
BLOCK = re.compile(
    r'^<div class="quiz" data-answer="([^"]*)">\n\n(.*?)\n\n</div>$', re.M | re.S
)
ANSWER = re.compile(r"^(\d+)\. +\S", re.M)
FEEDBACK = re.compile(
    r"^<details><summary>([^<]*)</summary>\n(.*?)^</details>$", re.M | re.S
)


def problems(markdown):
    """What is wrong with the questions of a text, as a list of strings.

    Markdown between HTML tags needs blank lines around it, or it stays raw text.
    """
    # Code fences may show how a question is written.
    text = re.sub(r"^(```+|~~~+).*?^\1\s*$", "", markdown, flags=re.M | re.S)
    blocks = BLOCK.findall(text)
    if len(blocks) != (found := len(OPENING.findall(text))):
        return [
            f'expected {found} quizzes of the form <div class="quiz" '
            f'data-answer="…">, blank line, …, blank line, </div>; got {len(blocks)}'
        ]
    return [
        f"quiz {number}: {problem}"
        for number, (right, body) in enumerate(blocks, 1)
        for problem in _of_one(right, body)
    ]


def _of_one(right, body):
    head, *_ = re.split(r"^<details>", body, maxsplit=1, flags=re.M)
    question = re.search(r"^\*\*Question\.\*\* +(\S.*?)(?=^1\. )", head, re.M | re.S)
    if not question:
        yield "expected '**Question.** …' and then the answers, numbered from 1"
    numbers = [int(n) for n in ANSWER.findall(head)]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < 2:
        yield f"expected two or more answers numbered 1, 2, …; got {numbers}"
    feedback = FEEDBACK.findall(body)
    if [name for name, _ in feedback] != [str(n) for n in numbers]:
        yield (
            f"expected feedback for the answers {numbers}, in order; "
            f"got it for {[name for name, _ in feedback]}"
        )
    for name, text in feedback:
        if not re.fullmatch(r"\n(?=\S).*\S\n\n", text, re.S):
            yield f"expected feedback {name} between blank lines; got {text!r}"
    if len(feedback) != body.count("<details") or len(feedback) != body.count(
        "</details>"
    ):
        yield "expected each <details> and </details> at the start of its own line"
    if not re.fullmatch(r"\d+(,\d+)*", right):
        yield f'expected data-answer="2" or "1,3"; got "{right}"'
    elif not {int(n) for n in right.split(",")} <= set(numbers):
        yield f"expected right answers among {numbers}; got {right}"
