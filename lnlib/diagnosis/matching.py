"""Which of the known mistakes return what a function returned."""

import itertools

from lnlib import functional, mistakes
from lnlib.diagnosis.inputs import _error


def _agree(y, z, bound):
    return y.shape == z.shape and _error(y, z) <= bound


def _matching(evidence, bound):
    """The smallest sets of mistakes that return what was returned, on all inputs."""
    evidence = [(g, tuple(range(-len(g.row), 0)), y) for g, y in evidence]
    options = {}
    for mistake in mistakes.MISTAKES:
        if mistake.kind == "forward" and mistake.loses == "definition":
            for function in (mistake.function, *mistake.variants):
                for part in function.parts:
                    options.setdefault(part, [None]).append((mistake, function))
    sets = [
        [pair for pair in choice if pair]
        for choice in itertools.product(*options.values())
    ]
    found, size = [], None
    for pairs in sorted(sets[1:], key=len):
        if size is not None and len(pairs) > size:
            break
        parts = dict(mistakes._PARTS)
        for _, function in pairs:
            parts.update(function.parts)
        # On most sets the first input decides.
        if all(
            _agree(
                y, mistakes._compute(parts, g.x, row, g.weight, g.bias, g.eps), bound
            )
            for g, row, y in evidence
        ):
            size = len(pairs)
            names = tuple(mistake for mistake, _ in pairs)
            if names not in found:
                found.append(names)
    return found or [()]


def _matching_backward(given, dy, found, bound):
    """The mistake of the gradient that returns these three gradients."""
    _, mean, rstd = functional.layer_norm_forward(
        given.x, given.row, given.weight, None, given.eps
    )
    for mistake in mistakes.MISTAKES:
        if mistake.kind == "backward" and mistake.loses == "definition":
            theirs = mistake.function(dy, given.x, given.row, mean, rstd, given.weight)
            if all(_agree(d, t, bound) for d, t in zip(found, theirs, strict=True)):
                return (mistake,)
    return ()
