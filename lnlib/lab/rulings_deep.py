"""Rules of the claims on depth, on stable training, and on gain and bias.

A rule reads the table of one experiment, whose docstring says which bars were fixed
before looking, and returns a `lnlib.lab.rules.Verdict`.
"""

import dataclasses
import itertools

from lnlib.lab import evidence, rules

VANISHED = -1.0  # log10: at the first of 64 layers a tenth of the last's
SMALL_GRADIENT = 1e-3  # of the first layer's weights against the last's
LEARNED = 0.2  # test error
DEEP_BAR = 0.05  # a difference of test errors of deep networks that matters
ERROR_BAR = 0.01  # of other networks
WIDTH_BAR = 0.25  # decades of learning rates


def all_of(*answers):
    """One answer of several that must all be YES.

    Args:
        answers: each an `Answer`; at least one.

    Returns:
        An `Answer`: YES if all are; NO if one is NO or REVERSED; UNCLEAR otherwise.

    Raises:
        ValueError: there is none.

    >>> yes, unclear = rules.Answer("yes", "a"), rules.Answer("unclear", "b")
    >>> all_of(yes, unclear)
    Answer(answer='unclear', why='a, and b')
    """
    if not answers:
        raise ValueError("Expected at least one answer, but got none")
    given = {answer.answer for answer in answers}
    why = ", and ".join(answer.why for answer in answers)
    if given & {rules.NO, rules.REVERSED}:
        return rules.Answer(rules.NO, why)
    return rules.Answer(rules.UNCLEAR if rules.UNCLEAR in given else rules.YES, why)


def gradients_that_last(table, norm="layer", depth=64):
    """Whether a gradient goes through many plain layers, for each activation and gain.

    Args:
        table: `Evidence` of deep_start.
        norm: the arm that is looked at.
        depth: how many layers.

    Returns:
        A dict from "relu at gain 1.0" and so on to `Answer`; YES where the gradient at
        the first layer is more than a tenth of that at the last. 95 % over all.
    """
    arm = table.where(path="plain", norm=norm, depth=depth)
    cells = [(a, g) for a in arm.levels("activation") for g in arm.levels("gain")]
    level = 1 - 0.05 / len(cells)
    return {
        f"{a} at gain {g}": rules.above(
            arm.where(activation=a, gain=g), "log_gradient", VANISHED, level
        )
        for a, g in cells
    }


def placement_makes_no_difference(table, depth=64):
    """L-18: layer norm before and after the activation do the same to a gradient.

    The same is: within a factor of ten over 64 layers, for each activation at gain 1.
    """
    arms = table.where(path="plain", norm=["layer", "after"], depth=depth, gain=1.0)
    return rules.everywhere(
        rules.across(
            arms,
            "activation",
            lambda part, level: rules.equivalent(
                part, "log_gradient", "layer", "after", -VANISHED, alpha=1 - level
            ),
        )
    )


def layer_norm_keeps_gradients(table):
    """L-36: with layer norm the gradient does not vanish, whatever f and weights."""
    return rules.everywhere(gradients_that_last(table))


def small_gradients_stop_learning(table):
    """L-37: where the first layer's gradient is small at the start, nothing is learned.

    The arms that are looked at are those whose gradient is surely below the bar.
    """
    table = table.where(stage="test")
    answers = {}
    for optimizer in table.levels("optimizer"):
        for norm in table.levels("norm"):
            for depth in table.levels("depth"):
                at = {"optimizer": optimizer, "norm": norm, "depth": depth}
                rows = table.where(path="plain", **at)
                if not len(rows):
                    continue
                if rules.above(rows, "gradient", SMALL_GRADIENT).answer == rules.NO:
                    answers[f"{norm}, {depth} layers, {optimizer}"] = rules.above(
                        rows, "test_error", LEARNED
                    )
    return rules.everywhere(answers)


def depth_needs_layer_norm(table, than="he", least=16):
    """Whether layer norm makes deep networks better than another arm does.

    Args:
        table: `Evidence` of deep_training.
        than: the other arm; "he" is the right initial weights and no norm.
        least: the depth from which on a network counts as deep.

    Returns:
        A dict from "plain, 16 layers" and so on to `Answer`, 95 % over all.
    """
    table = table.where(stage="test", optimizer="sgd", norm=["layer", than])
    cells = {}
    for path in table.levels("path"):
        for depth in table.levels("depth"):
            rows = table.where(path=path, depth=depth)
            if depth >= least and len(rows):
                cells[f"{path}, {depth} layers"] = rows
    return {
        name: rules.better(
            rows,
            "test_error",
            "layer",
            than,
            margin=DEEP_BAR,
            level=1 - 0.05 / len(cells),
        )
        for name, rows in cells.items()
    }


def layer_norm_widens_the_rates(table):
    """L-38: more learning rates work with layer norm than without a norm.

    Args:
        table: `Evidence` of deep_rates, or of rates_repeat, of which batches of 32
            examples are looked at, as there.
    """
    if "batch_size" in table.factors:
        table = table.where(batch_size=32)
    cells = [(p, n) for p in table.levels("path") for n in ("none", "he")]
    return rules.everywhere(
        {
            f"{path}, against {than}": rules.better(
                table.where(path=path),
                "width",
                "layer",
                than,
                margin=WIDTH_BAR,
                lower=False,
                level=1 - 0.05 / len(cells),
            )
            for path, than in cells
        }
    )


def depth_with_more_seeds(table, arm="layer", than="he"):
    """Whether an arm makes deep networks better than another, in each kind of network.

    Args:
        table: `Evidence` of deep_repeat.
        arm, than: arms; "he" is the right initial weights and no norm.

    Returns:
        A dict from "plain, 16 layers" and so on to `Answer`, 95 % over all where both
        arms were run.

    Raises:
        ValueError: the two were run together nowhere.
    """
    table = table.where(stage="test", norm=[arm, than])
    cells = {
        f"{path}, {depth} layers": rows
        for path in table.levels("path")
        for depth in table.levels("depth")
        if len((rows := table.where(path=path, depth=depth)).levels("norm")) == 2
    }
    if not cells:
        raise ValueError(f"Expected networks of both arms, but got none: {arm}, {than}")
    level = 1 - 0.05 / len(cells)
    return {
        name: rules.improves(
            rows, "test_error", arm, than, margin=DEEP_BAR, level=level
        )
        for name, rows in cells.items()
    }


def layer_norm_makes_depth_trainable(table, longer=None):
    """L-81: deep networks with layer norm are better than with good weights alone.

    No network of 32 plain layers had learned within the budget of deep_repeat. One with
    five times the steps, from deep_longer, takes the place of that cell.

    Args:
        table: `Evidence` of deep_repeat.
        longer: that of deep_longer; by default the library's.
    """
    answers = depth_with_more_seeds(table)
    answers.pop("plain, 32 layers", None)
    try:
        longer = evidence.load("deep_longer") if longer is None else longer
    except evidence.EvidenceError as error:
        return rules.Verdict(rules.OPEN, str(error))
    answers["plain, 32 layers, 1000 steps"] = rules.improves(
        longer.where(stage="test"),
        "test_error",
        "layer",
        "he",
        margin=DEEP_BAR,
        # Half the error, since ten of its seeds had been looked at before the rest.
        level=1 - 0.05 / 2 / (len(answers) + 1),
    )
    return rules.everywhere(answers)


def _pairs(table):
    """The rows of each pair of network and batch size in a table of learning_rate."""
    return {
        f"{network}, batches of {size}": table.where(network=network, batch_size=size)
        for network, size in itertools.product(
            table.levels("network"), table.levels("batch_size")
        )
    }


def wider_than(table, than, level=None):
    """Whether more learning rates work with layer norm than with another arm.

    Args:
        table: `Evidence` of learning_rate.
        than: the other arm.
        level: the confidence of each answer; by default 95 % over all.

    Returns:
        A dict from "deep, batches of 4" and so on to `Answer`.
    """
    pairs = _pairs(table)
    level = 1 - 0.05 / len(pairs) if level is None else level
    return {
        name: rules.improves(
            rows, "width", "layer", than, margin=WIDTH_BAR, lower=False, level=level
        )
        for name, rows in pairs.items()
    }


def stabler_and_better(table):
    """Where layer norm is more stable, and better, than both arms without a norm.

    Args:
        table: `Evidence` of learning_rate.

    Returns:
        A dict from "deep, batches of 4" and so on to `Answer`, 95 % over all.
    """
    pairs = _pairs(table)
    level = 1 - 0.05 / len(pairs)
    return {
        name: all_of(*_stabler_and_better(rows, level).values())
        for name, rows in pairs.items()
    }


def _stabler_and_better(rows, level):
    """Against each arm without a norm, whether layer norm is both."""
    each = 1 - (1 - level) / 4  # four comparisons
    return {
        f"against {than}": all_of(
            rules.improves(
                rows, "width", "layer", than, margin=WIDTH_BAR, lower=False, level=each
            ),
            rules.improves(
                rows, "test_error", "layer", than, margin=ERROR_BAR, level=each
            ),
        )
        for than in ("none", "he")
    }


def layer_norm_stabilizes_somewhere(table):
    """L-51: in some network training is more stable and the result better with it.

    One network is looked at, with batches of 4, the one that learning_rate pointed to:
    8 plain layers. The claim holds if layer norm does better there than the usual
    initial weights and than He's without a norm, and is conditional if than one of the
    two.

    Args:
        table: `Evidence` of rates_repeat.
    """
    rows = table.where(path="plain", batch_size=4)
    found = rules.everywhere(_stabler_and_better(rows, 0.95))
    if found.verdict in (rules.HOLDS, rules.CONDITIONAL):
        return found
    # That it is not so in one network does not say that it is so in none.
    return dataclasses.replace(found, verdict=rules.OPEN)


def layer_norm_is_stabler_than_batch_norm(table):
    """L-85: more learning rates work with layer norm than with batch norm."""
    return rules.everywhere(wider_than(table, "batch"))


def gain_and_bias_against(table, arm="both", than="neither"):
    """Whether one choice of gain and bias is better than another, in each network.

    Args:
        table: `Evidence` of affine.
        arm, than: levels of the factor affine.

    Returns:
        A dict from network to `Answer`, 95 % over all.
    """
    return rules.across(
        table.where(stage="test"),
        "network",
        lambda rows, level: rules.improves(
            rows, "test_error", arm, than, "affine", margin=ERROR_BAR, level=level
        ),
    )


def gain_and_bias_help(table):
    """L-27: a network with gain and bias is better than one with neither."""
    return rules.everywhere(gain_and_bias_against(table))


def weight_norm_adds(table):
    """L-66: layer norm with weight norm has a lower test error than without."""
    return rules.everywhere(
        rules.across(
            table.where(stage="test"),
            "optimizer",
            lambda part, level: rules.better(
                part, "test_error", "both", "layer", margin=ERROR_BAR, level=level
            ),
        )
    )
