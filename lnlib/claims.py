"""The ledger: what is said of layer norm, and what measurement and derivation say of it.

The claims are those of two articles that introduce layer norm to beginners, and a few
that belong beside them. Each has its words, what they literally mean, how it can be
settled, and a rule. The verdict is what the rule returns; none is written down here.

>>> ledger()["L-31"].verdict().verdict
'wrong as stated'
"""

import dataclasses
from collections import Counter

from lnlib.lab import derivations as derived
from lnlib.lab import evidence, rules, rulings_deep, rulings_training
from lnlib.lab import rulings_batches as batches
from lnlib.lab.rules import (
    CONDITIONAL,
    DOES_NOT_HOLD,
    HOLDS,
    NOT_TESTABLE,
    OPEN,
    WRONG,
    Verdict,
)

ARTICLES = {
    "A": "Layer Normalization: An Essential Technique for Deep Learning Beginners. "
    "OpenGenus IQ.",
    "B": "An article on layer normalization in very deep networks. Its text begins with "
    "the section “Introduction to Deep Learning and Neural Networks”; title and author "
    "are not in it.",
    "added": "What neither article says, and a reader of both should know.",
}

MEASURED, DERIVED, LITERATURE, RHETORIC = (
    "measured",
    "derived",
    "literature",
    "rhetoric",
)


@dataclasses.dataclass(frozen=True)
class Quote:
    """Words of an article: which article, the heading they stand under, the words."""

    article: str
    section: str
    words: str

    def __str__(self):
        return f"“{self.words}” ({self.article}, {self.section})"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, its source and its rule.

    Attributes:
        id: L-01 and so on.
        quotes: a tuple of `Quote`; empty for what was added.
        meaning: what is literally said, as a statement that can be false.
        kind: "measured", "derived", "literature" or "rhetoric".
        rule: called without arguments, returns a `Verdict`; None for a measured claim
            whose experiment is still to come.
        experiment: the name of the experiment that settles it, or is to settle it.
        chapter: the page that shows it, or None where it is still to come.
        note: what a reader should know besides.
        sources: keys of the bibliography.
    """

    id: str
    quotes: tuple
    meaning: str
    kind: str
    rule: object = None
    experiment: str | None = None
    chapter: str | None = None
    note: str = ""
    sources: tuple = ()

    def verdict(self, where=None):
        """What the rule returns, a `Verdict`; open if it cannot be asked yet.

        Args:
            where: the folder of the tables; by default that of the library.
        """
        if self.rule is None:
            return Verdict(OPEN, f"the experiment {self.experiment!r} is still to come")
        if self.kind != MEASURED:
            return self.rule()
        try:
            table = evidence.load(self.experiment, where)
        except evidence.EvidenceError as error:
            return Verdict(OPEN, str(error))
        if not table.provenance.get("complete", False):
            return Verdict(OPEN, f"the table of {self.experiment!r} is not complete")
        return self.rule(table)


# ---------------------------------------------------------------- rules of literature


def sourced(verdict, *facts):
    """A rule that returns a verdict for facts of the literature.

    Args:
        verdict: what follows from the facts.
        facts: sentences, each of which ends with the key of its source in brackets.
    """

    def rule():
        return Verdict(verdict, "; ".join(facts))

    return rule


def _said(reason):
    return lambda: Verdict(NOT_TESTABLE, reason)


# ---------------------------------------------------------------- the claims


def _quotes(text):
    """Quotes from lines `article | section | words`."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return tuple(Quote(*(part.strip() for part in line.split("|"))) for line in lines)


def _claim(number, quotes, meaning, kind, rule=None, **more):
    return Claim(f"L-{number:02}", _quotes(quotes), meaning, kind, rule, **more)


WHY_NORMALIZE = "01_why_normalize"
FORMULA = "02_the_formula"
SCRATCH = "03_from_scratch"
BACKWARD = "04_the_backward_pass"
FAMILY = "08_the_family"
DEPTH = "10_very_deep_networks"

_CLAIMS = [
    # ------------------------------------------------ history
    _claim(
        1,
        """
        A | History and Evolution | a relatively new technique
        A | Question 1 | an old technique that has been used for decades in neural networks
        """,
        "Layer norm is new; given as a wrong answer: it has been used for decades.",
        LITERATURE,
        sourced(HOLDS, "this layer is of 2016 [ba2016layer]"),
        note="It is a special case of divisive normalization, which vision science had in "
        "1992 [ren2017normalizing].",
        sources=("ba2016layer", "ren2017normalizing"),
    ),
    _claim(
        2,
        "A | History and Evolution | first introduced by Jimmy Lei Ba, Jamie Ryan Kiros,"
        " and Geoffrey Hinton in their 2016 paper",
        "Ba, Kiros and Hinton published it first, in 2016.",
        LITERATURE,
        sourced(HOLDS, "it is a technical report of July 2016 [ba2016layer]"),
        chapter=FORMULA,
        sources=("ba2016layer",),
    ),
    _claim(
        3,
        "A | History and Evolution | developed as an alternative to batch normalization",
        "It was made to be used where batch norm is.",
        LITERATURE,
        sourced(
            HOLDS,
            "the abstract transposes batch norm into layer norm, for recurrent networks "
            "and where statistics of a mini-batch are a burden [ba2016layer]",
        ),
        sources=("ba2016layer",),
    ),
    _claim(
        4,
        "A | Question 1 | introduced as an alternative to convolutional neural networks",
        "Given as a wrong answer: it replaces convolutional networks.",
        LITERATURE,
        sourced(
            HOLDS, "it is a layer, and replaces batch norm, not a network [ba2016layer]"
        ),
        note="The verdict is on the article's saying that this answer is wrong.",
        sources=("ba2016layer",),
    ),
    _claim(
        5,
        """
        A | History and Evolution | the subject of numerous research studies
        A | History and Evolution | a significant evolution in the field of deep learning
        B | Conclusion and Future Directions | cannot be overstated
        """,
        "It matters much.",
        RHETORIC,
        _said("there is no measure of how much is much"),
    ),
    # ------------------------------------------------ batch norm, the foil
    _claim(
        6,
        """
        A | History and Evolution | subtracting the mean and dividing by the standard deviation
        B | The Concept of Normalization in Machine Learning | computing the mean and variance of the mini-batch
        """,
        "Batch norm standardizes by the statistics of the mini-batch.",
        DERIVED,
        derived.batch_statistics_are_half,
        chapter=FAMILY,
        note="Neither article says that inference uses running statistics instead.",
    ),
    _claim(
        7,
        """
        A | History and Evolution | sensitivity to batch size
        B | The Concept of Normalization in Machine Learning | batch normalization can be sensitive to the batch size
        """,
        "With batch norm, some smaller batch gives a higher test error than a large one.",
        MEASURED,
        batches.batch_norm_is_sensitive,
        experiment="batch_size",
        chapter="09_batch_or_layer",
        note="In a multilayer perceptron, at two examples a batch. A convolution has "
        "more values a channel: in 'convolution' batches of 2 do better than of 32, "
        "which take fewer steps.",
        sources=("wu2018group",),
    ),
    _claim(
        8,
        "A | History and Evolution | the order of training examples",
        "What batch norm computes depends on the order of the examples.",
        DERIVED,
        derived.batch_order_is_not_it,
        chapter="09_batch_or_layer",
        note="It depends on which examples are in the batch, and running statistics on "
        "the order of the batches; the experiment 'company' measures both.",
    ),
    _claim(
        9,
        "B | The Concept of Normalization in Machine Learning | may introduce additional "
        "computational overhead",
        "Batch norm costs time.",
        DERIVED,
        derived.batch_norm_folds,
        chapter=FAMILY,
        note="In training it does; at inference it can be had for nothing.",
    ),
    _claim(
        10,
        "B | The Concept of Normalization in Machine Learning | leads to increased "
        "training speed and enhanced stability",
        "Networks with batch norm train faster and more stably.",
        LITERATURE,
        sourced(
            CONDITIONAL,
            "the same accuracy on ImageNet in 14 times fewer steps [ioffe2015batch]",
            "in deep networks without skip connections it makes gradients explode "
            "[yang2019mean]",
        ),
        sources=("ioffe2015batch", "yang2019mean"),
    ),
    _claim(
        11,
        "B | Comparative Analysis | benefit convolutional neural networks (CNNs), "
        "particularly in image processing tasks, as it introduces dependencies",
        "Batch norm helps convolutional networks because examples depend on each other.",
        MEASURED,
        batches.helps_by_dependence,
        experiment="convolution",
        chapter="09_batch_or_layer",
        note="Batch norm helps much. Instance norm, which is batch norm without the "
        "dependence, helps as much, to a point, in batches of 32, where it was asked with "
        "sixty seeds.",
    ),
    _claim(
        12,
        "B | Comparative Analysis | introduce stochasticity into the learning process "
        "due to its reliance on mini-batch statistics",
        "With batch norm an example's output depends on chance companions, at some batch "
        "size.",
        MEASURED,
        batches.batch_norm_is_random,
        experiment="batch_size",
        chapter="09_batch_or_layer",
    ),
    _claim(
        13,
        "B | Comparative Analysis | less effective in certain scenarios such as online "
        "learning or recurrent neural networks (RNNs)",
        "Batch norm does worse with single examples and in recurrent networks.",
        MEASURED,
        batches.batch_norm_is_worse_online,
        experiment="stream",
        chapter="09_batch_or_layer",
        note="The experiment 'stream' measures the half about single examples: batch "
        "norm that waits for 16 of them is better. The half about recurrent networks is "
        "one published comparison, without repeats.",
        sources=("ba2016layer", "cooijmans2017recurrent"),
    ),
    # ------------------------------------------------ what layer norm is
    _claim(
        14,
        """
        A | History and Evolution | operates on a single training example at a time
        B | How Layer Normalization Works | operates on individual training instances
        B | What is Layer Normalization? | processing each data point independently
        """,
        "The output for an example depends on that example alone.",
        DERIVED,
        derived.rows_are_independent,
        chapter=FORMULA,
        note="In a sequence it is each token by itself, and not each example.",
    ),
    _claim(
        15,
        """
        B | The Concept of Normalization in Machine Learning | across the features for each layer independently
        B | Comparative Analysis | normalizes across the feature dimension
        """,
        "Statistics are taken over the features of an example.",
        DERIVED,
        derived.over_features,
        chapter=FORMULA,
    ),
    _claim(
        16,
        """
        A | How Does Layer Normalization Work? | the mean and standard deviation of the activations of each neuron in a given layer
        B | What is Layer Normalization? | computing the mean and variance for each feature across the input layer
        """,
        "Each neuron, or feature, has a mean and a deviation of its own.",
        DERIVED,
        derived.not_over_neurons,
        chapter=FORMULA,
        note="Read by itself that is batch norm. Read with the formula that follows, the "
        "second article means the right thing.",
    ),
    _claim(
        17,
        "A | How Does Layer Normalization Work? | the distribution of the inputs to each "
        "neuron more consistent across training examples",
        "With layer norm a neuron's input varies less from example to example.",
        MEASURED,
        rulings_training.neurons_vary_less,
        experiment="neurons",
        chapter=WHY_NORMALIZE,
        note="As it stands and relative to the size of the numbers in its layer, before "
        "and after training. What layer norm makes alike is the examples, over neurons.",
    ),
    _claim(
        18,
        """
        A | What is Layer Normalization? | applied to the activations of neurons within a layer
        B | What is Layer Normalization? | normalizing the inputs to each layer
        B | How Layer Normalization Works | all the neurons’ outputs
        """,
        "It makes no difference whether outputs, inputs or summed inputs are normalized.",
        MEASURED,
        rulings_deep.placement_makes_no_difference,
        experiment="deep_start",
        chapter=DEPTH,
        note="Before and after the activation, and what a gradient becomes over 64 plain "
        "layers before training. The paper normalizes the summed inputs, before the "
        "activation.",
    ),
    _claim(
        19,
        """
        A | What is Layer Normalization? | centered around zero and has a unit variance
        B | How Layer Normalization Works | a mean of zero and a unit variance
        """,
        "The output has mean 0 and variance 1.",
        DERIVED,
        derived.zero_mean_unit_variance,
        chapter=FORMULA,
    ),
    _claim(
        20,
        """
        B | What is Layer Normalization? | µ = 1/d * Σi=1d xi
        B | What is Layer Normalization? | σ² = 1/d * Σi=1d (xi – µ)²
        B | What is Layer Normalization? | yi = (xi – µ) / √(σ² + ε)
        """,
        "These are the formulas of layer norm.",
        DERIVED,
        derived.formula_is_right,
        chapter=FORMULA,
        note="The paper has no epsilon.",
    ),
    _claim(
        21,
        "B | What is Layer Normalization? | yi = γ yi + β",
        "One gamma and one beta serve all features.",
        DERIVED,
        derived.gain_is_per_feature,
        chapter=FORMULA,
        note="And y stands for two things in one line.",
    ),
    _claim(
        22,
        """
        B | How Layer Normalization Works | The mean (BC)
        B | How Layer Normalization Works | the variance (C3²)
        """,
        "Nothing: these are µ and σ², damaged in printing.",
        RHETORIC,
        _said("a misprint states nothing"),
    ),
    _claim(
        23,
        "B | How Layer Normalization Works | y = γ * (x – BC) / sqrt(C3² + ε) + β",
        "With the misprint mended, this is the whole forward pass.",
        DERIVED,
        derived.final_formula_is_right,
        chapter=BACKWARD,
    ),
    _claim(
        24,
        "A | How Does Layer Normalization Work? | takes the weighted sum of the outputs "
        "of the neurons in the previous layer, applies an activation function",
        "A layer is that, neuron by neuron.",
        DERIVED,
        derived.neurons_are_weighted_sums,
        note="The bias is left out.",
    ),
    _claim(
        25,
        "A | How Does Layer Normalization Work? | instead of normalizing over the entire "
        "batch, we normalize over the activations within each layer",
        "Layer norm is batch norm with the axes exchanged.",
        DERIVED,
        derived.over_features,
        chapter=FORMULA,
        note="It contradicts the sentence before it, L-16.",
    ),
    _claim(
        26,
        """
        B | How Layer Normalization Works | restore any potential loss of information
        B | What is Layer Normalization? | enable the model to restore expressive power
        """,
        "With gamma and beta, what the norm took away can be had back.",
        DERIVED,
        derived.cannot_be_undone,
        note="In networks the skip connection keeps it; the experiment 'information' is "
        "to measure how much.",
    ),
    _claim(
        27,
        "B | How Layer Normalization Works | empowers them to learn richer representations",
        "With gamma and beta a network does better than without.",
        MEASURED,
        rulings_deep.gain_and_bias_help,
        experiment="affine",
        chapter=FAMILY,
        note="On the digits, in a perceptron and in a residual network of 16 layers. In "
        "both a linear layer follows the ReLU behind the norm.",
    ),
    _claim(
        28,
        "",
        "Layer norm is no reparameterization: no weights without it do what weights with "
        "it do.",
        DERIVED,
        derived.is_no_reparameterization,
        chapter=FAMILY,
        sources=("ba2016layer",),
    ),
    # ------------------------------------------------ epsilon
    _claim(
        29,
        """
        B | What is Layer Normalization? | a small constant added for numerical stability
        B | How Layer Normalization Works | a small constant added for numerical stability
        """,
        "Without epsilon some inputs give no number.",
        DERIVED,
        derived.eps_is_for_stability,
        chapter=FORMULA,
        note="It changes the function as well.",
    ),
    _claim(
        30,
        "A | Question 2 | To prevent numerical instability in the computation of the "
        "standard deviation",
        "Without epsilon the standard deviation is computed badly.",
        DERIVED,
        derived.eps_guards_the_division,
        chapter=SCRATCH,
        note="Given as the right answer. It is the division that epsilon guards.",
    ),
    _claim(
        31,
        "A | Question 2 | If the standard deviation is very small (close to zero), then "
        "the normalized values can become very large",
        "A small deviation makes large outputs.",
        DERIVED,
        derived.outputs_are_bounded,
        sources=("samuelson1968deviant",),
        chapter=FORMULA,
    ),
    _claim(
        32,
        "A | Question 2 | cause numerical overflow or underflow",
        "A small deviation makes the division overflow or underflow.",
        DERIVED,
        derived.overflow_where,
        note="What fails is 0 / 0, and squares in half precision.",
    ),
    _claim(
        33,
        "A | Question 2 | increasing the standard deviation, which in turn limits the "
        "size of the normalized values",
        "Without epsilon the outputs have no limit.",
        DERIVED,
        derived.eps_does_not_limit_the_size,
        chapter=BACKWARD,
        note="What it limits is the gradient. The articles add it in different places: A "
        "to the denominator, B under the root.",
    ),
    _claim(
        34,
        "A | Question 2 | (e.g., 1e-8), we can ensure that the normalization is stable "
        "and does not introduce numerical errors",
        "With 1e-8 nothing goes wrong.",
        DERIVED,
        derived.eps_1e_8_is_not_safe,
        chapter=SCRATCH,
    ),
    _claim(
        35,
        """
        A | Question 2 | To ensure that the output of the normalization is always positive
        A | Question 2 | To prevent the model from overfitting to the training data
        A | Question 2 | To increase the expressiveness of the model
        """,
        "Given as wrong answers: epsilon does these things.",
        DERIVED,
        derived.eps_does_nothing_else,
        note="The verdict is on the article's saying that they are wrong.",
    ),
    # ------------------------------------------------ benefits
    _claim(
        36,
        """
        A | Benefits of Layer Normalization | can prevent the vanishing gradient problem
        B | Benefits of Layer Normalization in Very Deep Networks | effective in addressing the vanishing gradient problem
        """,
        "With layer norm the gradient does not shrink from layer to layer.",
        MEASURED,
        rulings_deep.layer_norm_keeps_gradients,
        experiment="deep_start",
        chapter=DEPTH,
        note="Before training, and for layer norm before the activation. The gains of an "
        "activation give one number, since layer norm does not see the scale of the "
        "weights: it is three of four activations. With tanh the gradient grows. A "
        "gradient that arrives is not enough for a network to learn.",
    ),
    _claim(
        37,
        """
        A | Benefits of Layer Normalization | gradients become very small during backpropagation and cause the network to stop learning
        B | Introduction to Deep Learning and Neural Networks | minimal updates to the weights, stalling the learning process
        """,
        "Where gradients are small, a network does not learn.",
        MEASURED,
        rulings_deep.small_gradients_stop_learning,
        experiment="deep_training",
        chapter=DEPTH,
        note="In plain networks of 16 and 32 ReLUs without a norm. There all inputs have "
        "one direction, too, so small gradients go together with not learning, and need "
        "not be why. Adam does not tell: the gradients are below its epsilon.",
    ),
    _claim(
        38,
        """
        A | Benefits of Layer Normalization | improve the stability of the training process
        B | Benefits of Layer Normalization in Very Deep Networks | avoiding the large fluctuations that can destabilize training
        """,
        "With layer norm more learning rates work.",
        MEASURED,
        rulings_deep.layer_norm_widens_the_rates,
        experiment="rates_repeat",
        chapter=DEPTH,
        note="In networks of 8 layers on the digits. Five seeds, in deep_rates, had left "
        "one of the four comparisons unclear.",
    ),
    _claim(
        39,
        "B | Benefits of Layer Normalization in Very Deep Networks | more reliable "
        "updates during backpropagation",
        "With layer norm a gradient still holds after a step along it.",
        MEASURED,
        rulings_training.gradients_hold,
        experiment="landscape",
        chapter=WHY_NORMALIZE,
        note="Against no norm, and against good initial weights without one; for steps "
        "of one relative length, and for those of each arm's own rate.",
    ),
    _claim(
        40,
        """
        B | Benefits of Layer Normalization in Very Deep Networks | improved convergence speed
        B | Benefits of Layer Normalization in Very Deep Networks | ultimately leading to reduced training times
        """,
        "With layer norm a loss is reached in fewer steps, and in less time.",
        MEASURED,
        rulings_training.converges_sooner,
        experiment="convergence",
        chapter=WHY_NORMALIZE,
        note="Against no norm, and against good initial weights without one. Time allows "
        "for a step that takes twice as long.",
    ),
    _claim(
        41,
        """
        B | What is Layer Normalization? | mitigate issues related to internal covariate shift
        B | Benefits of Layer Normalization in Very Deep Networks | By reducing the internal covariate shift
        """,
        "It helps because activations then change their distribution less in training.",
        MEASURED,
        rulings_training.helps_by_less_shift,
        experiment="covariate_shift",
        chapter=WHY_NORMALIZE,
        note="That it helps is one thing, and that the distributions change less is so, "
        "too; the rule is on the because.",
        sources=("santurkar2018how", "xu2019understanding"),
    ),
    _claim(
        42,
        "B | Benefits of Layer Normalization in Very Deep Networks | reaching optimal or "
        "near-optimal weight settings",
        "Training finds weights near the best.",
        RHETORIC,
        _said("of a loss that is not convex nobody knows the best weights"),
    ),
    _claim(
        43,
        """
        A | Benefits of Layer Normalization | improve the generalization performance
        A | Conclusion | improve the generalization performance
        """,
        "With layer norm the test error is lower at the same training loss.",
        MEASURED,
        batches.generalizes_better,
        experiment="generalization",
        chapter="09_batch_or_layer",
    ),
    _claim(
        44,
        """
        A | Benefits of Layer Normalization | By reducing the impact of small changes in the input distribution
        B | Challenges and Limitations of Layer Normalization | generally robust to varying input distributions
        """,
        "With layer norm a shift of the inputs does less harm.",
        MEASURED,
        batches.shifts_do_less_harm,
        experiment="shift",
        chapter="09_batch_or_layer",
        note="Against no norm. Layer norm of the inputs themselves takes away what it "
        "is invariant to, contrast and offset; against batch norm with running "
        "statistics layer norm is harmed less by these two.",
    ),
    _claim(
        45,
        "A | Benefits of Layer Normalization | where the input distribution can change "
        "over time, such as in natural language processing",
        "With layer norm a drift of the inputs does less harm.",
        MEASURED,
        batches.drifts_do_less_harm,
        experiment="shift",
        chapter="09_batch_or_layer",
        note="Against no norm. Against batch norm with running statistics a drift of "
        "the contrast does less harm.",
    ),
    _claim(
        46,
        """
        A | Benefits of Layer Normalization | reduce the impact of outliers in the training data
        B | Challenges and Limitations of Layer Normalization | its effectiveness can diminish when applied to inputs that exhibit significant outliers
        """,
        "A: it protects from outliers. B: it suffers from them.",
        DERIVED,
        derived.outliers,
        note="A is right of examples that stand out, B of features that do.",
    ),
    _claim(
        47,
        "B | Comparative Analysis | under diverse conditions, including on "
        "single-instance tasks",
        "It works on a single example as in a batch.",
        DERIVED,
        derived.rows_are_independent,
        chapter=FORMULA,
    ),
    _claim(
        48,
        """
        B | Conclusion and Future Directions | consistent scaling of layer inputs across different batch sizes
        B | Comparative Analysis | not reliant on the batch size
        B | The Concept of Normalization in Machine Learning | without the limitations imposed by batch size
        """,
        "With layer norm the batch size makes no difference, to the layer or the result.",
        MEASURED,
        batches.layer_norm_is_not_sensitive,
        experiment="batch_repeat",
        chapter="09_batch_or_layer",
        note="The rate is tuned for each size, and the bar looks to one side: no smaller "
        "batch gives a higher error by a point. At 2, 16 and 32 it is lower than at 128, "
        "by less than one in the mean.",
    ),
    _claim(
        49,
        "B | What is Layer Normalization? | where the batch size is small or highly "
        "variable",
        "It has an advantage where the batch size changes from step to step.",
        MEASURED,
        batches.better_when_batches_vary,
        experiment="varying_repeat",
        chapter="09_batch_or_layer",
    ),
    _claim(
        50,
        "B | Comparative Analysis | improved convergence rates and generalization across "
        "different network architectures",
        "Whatever the architecture, layer norm does better than batch norm.",
        LITERATURE,
        sourced(
            DOES_NOT_HOLD,
            "in the convolutional networks of its own paper batch norm does better "
            "[ba2016layer]",
            "in a ResNet, layer norm in the place of batch norm does worse "
            "[liu2022convnet]",
        ),
        note="The sentence goes on: “making it a preferable option for certain use "
        "cases”.",
        sources=("ba2016layer", "liu2022convnet"),
    ),
    _claim(
        51,
        """
        A | Question 1 | Layer normalization can improve the stability and performance of neural networks.
        A | What is Layer Normalization? | aims to improve the performance and stability
        """,
        "In some networks training is more stable and the result better with it.",
        MEASURED,
        rulings_deep.layer_norm_stabilizes_somewhere,
        experiment="rates_repeat",
        chapter=DEPTH,
        note="Given as the right answer. Against the same network without a norm, both "
        "with PyTorch's initial weights and with He's.",
    ),
    _claim(
        52,
        """
        B | Conclusion and Future Directions | increases overall model accuracy
        B | Applications of Layer Normalization | enhances the final accuracy of various vision tasks
        """,
        "With layer norm the final accuracy is higher.",
        MEASURED,
        batches.ends_more_accurate,
        experiment="generalization",
        chapter="09_batch_or_layer",
    ),
    _claim(
        53,
        "A | Conclusion | a relatively simple technique to implement",
        "A few lines are enough.",
        DERIVED,
        derived.simple_to_write,
        chapter=SCRATCH,
    ),
    _claim(
        54,
        """
        A | Introduction | vanishing gradients and overfitting. To address these challenges, normalization techniques have been developed
        B | Introduction to Deep Learning and Neural Networks | exploding gradients, overfitting
        """,
        "Layer norm reduces overfitting.",
        MEASURED,
        batches.overfits_less,
        experiment="generalization",
        chapter="09_batch_or_layer",
    ),
    # ------------------------------------------------ where it is used
    _claim(
        55,
        "B | Applications of Layer Normalization | plays a critical role in convolutional "
        "neural networks (CNNs), particularly in architectures that are very deep",
        "After each convolution it makes a convolutional network better.",
        MEASURED,
        batches.improves_convolutions,
        experiment="convolution",
        chapter="09_batch_or_layer",
        note="Against no norm, three convolutions, and about three passes through the "
        "data, in which a network without a norm learns little. Batch norm and instance "
        "norm are far better there.",
        sources=("ba2016layer", "wu2018group", "liu2022convnet"),
    ),
    _claim(
        56,
        "",
        "In an image, layer norm over C, H, W, layer norm over C, group norm, instance "
        "norm and batch norm are different layers, equal only in special cases.",
        DERIVED,
        derived.family_identities,
        chapter=FAMILY,
        sources=("wu2018group",),
    ),
    _claim(
        57,
        "B | Applications of Layer Normalization | YOLO (You Only Look Once) and Mask "
        "R-CNN benefit from the integration of layer normalization",
        "YOLO and Mask R-CNN contain layer norm and are better for it.",
        LITERATURE,
        sourced(
            WRONG,
            "the block that YOLOv8 is built of is a convolution and batch norm "
            "[ultralytics2023conv]",
            "Mask R-CNN was trained with frozen batch norm, and with group norm "
            "[wu2018group]",
        ),
        note="With a Transformer as backbone such a detector does contain layer norm.",
        sources=("ultralytics2023conv", "wu2018group"),
    ),
    _claim(
        58,
        """
        B | Applications of Layer Normalization | the Transformer model implement layer normalization to facilitate the training process
        B | Applications of Layer Normalization | improved convergence rates during training and, consequently, better performance on language tasks
        """,
        "A Transformer with layer norm trains better than one without.",
        MEASURED,
        experiment="transformer",
    ),
    _claim(
        59,
        """
        B | Applications of Layer Normalization | allowing for effectively handling long-range dependencies
        B | Applications of Layer Normalization | maintaining coherence across long input sequences
        """,
        "Layer norm connects what is far apart in a sequence.",
        DERIVED,
        derived.moves_nothing_along_a_sequence,
        note="Attention does that; layer norm is pointwise. How it helps attention is "
        "another matter: Brody, Alon and Yahav.",
        sources=("brody2023expressivity",),
    ),
    _claim(
        60,
        """
        A | History and Evolution | speech recognition
        A | Applications of Layer Normalization | speech recognition
        """,
        "It is used in speech recognition.",
        LITERATURE,
        sourced(
            HOLDS,
            "wav2vec 2.0 has it, and was a test for taking it out "
            "[zhu2025transformers]",
        ),
        sources=("zhu2025transformers",),
    ),
    _claim(
        61,
        """
        A | History and Evolution | effective in a wide range of tasks
        A | History and Evolution | effective in a variety of neural network architectures
        """,
        "In most kinds of network it does better than no norm.",
        MEASURED,
        experiment="architectures",
    ),
    _claim(
        62,
        "B | Applications of Layer Normalization | assures that the agent’s learning "
        "remains stable and efficient",
        "In reinforcement learning values do not diverge with it, and returns are higher.",
        MEASURED,
        experiment="reinforcement",
    ),
    _claim(
        63,
        "B | Applications of Layer Normalization | maintaining the stability of policy "
        "updates while preventing drastic fluctuations",
        "In actor-critic methods the policy changes less from update to update with it.",
        MEASURED,
        experiment="reinforcement",
    ),
    _claim(
        64,
        "B | Applications of Layer Normalization | more reliable accumulation of "
        "historical experience",
        "Layer norm keeps what was seen before.",
        DERIVED,
        derived.stores_nothing,
        note="It is the replay buffer that keeps experience.",
    ),
    _claim(
        65,
        "A | Applications of Layer Normalization | at different levels of the neural "
        "network, such as after each fully connected",
        "It can follow every fully connected layer.",
        DERIVED,
        derived.not_on_the_logits,
        note="Not the last: it takes away how sure the classifier is.",
        sources=("ba2016layer",),
    ),
    _claim(
        66,
        """
        A | History and Evolution | in combination with other normalization techniques, such as weight normalization, to further improve
        A | Conclusion | such as weight normalization, to further improve the performance
        """,
        "Layer norm with weight norm does better than layer norm.",
        MEASURED,
        rulings_deep.weight_norm_adds,
        experiment="weight_norm",
        chapter=FAMILY,
        note="On the digits. Behind the weights layer norm does not see their common "
        "length, and the first step with weight norm is the step without it.",
        sources=("salimans2016weight",),
    ),
    _claim(
        67,
        """
        B | How Layer Normalization Works | particularly beneficial for recurrent neural networks
        B | Comparative Analysis | when working with variable-length sequences
        B | Conclusion and Future Directions | promising results in enhancing sequence model performance
        """,
        "Recurrent networks train better with it, at the best rate of each.",
        MEASURED,
        experiment="recurrent",
    ),
    _claim(
        68,
        "B | Conclusion and Future Directions | not limited to just convolutional networks",
        "It is used elsewhere than in convolutional networks.",
        LITERATURE,
        sourced(
            HOLDS,
            "most experiments of its paper are on recurrent networks [ba2016layer]",
        ),
        note="It sounds as if those were its home; its own paper found batch norm better "
        "there.",
        sources=("ba2016layer",),
    ),
    # ------------------------------------------------ limitations
    _claim(
        69,
        "B | Challenges and Limitations of Layer Normalization | disrupt the inherent "
        "sequence order since normalizing features at each time step can lead to "
        "inconsistencies",
        "Normalizing each step changes the order of a sequence.",
        DERIVED,
        derived.moves_nothing_along_a_sequence,
        note="What it does take away is magnitude, L-74; the experiment 'recurrent' is "
        "to measure what that costs.",
    ),
    _claim(
        70,
        "B | Challenges and Limitations of Layer Normalization | suboptimal performance "
        "for tasks like language modeling",
        "A recurrent language model does worse with it.",
        MEASURED,
        experiment="recurrent",
    ),
    _claim(
        71,
        """
        B | Challenges and Limitations of Layer Normalization | computational overhead associated with the use of layer normalization
        B | Challenges and Limitations of Layer Normalization | increased training times and resource consumption, especially in very deep networks
        """,
        "It takes a noticeable share of the time, and more in deeper networks.",
        MEASURED,
        experiment="overhead",
    ),
    _claim(
        72,
        "B | Challenges and Limitations of Layer Normalization | approximations that "
        "maintain the benefits of normalization",
        "There are cheaper norms that do as well.",
        LITERATURE,
        sourced(
            HOLDS,
            "RMS norm does as well and took 7 to 64 % less time in the models of its "
            "paper [zhang2019root]",
            "a Transformer with layer norm before each sublayer can be turned into one "
            "with RMS norm that computes the same [jiang2023pre]",
        ),
        sources=("zhang2019root", "jiang2023pre"),
    ),
    _claim(
        73,
        "B | Challenges and Limitations of Layer Normalization | adaptations specifically "
        "designed for RNNs or convolutional neural networks",
        "There are such variants.",
        LITERATURE,
        sourced(
            HOLDS,
            "layer norm for LSTM and GRU is in the first paper [ba2016layer]",
            "group norm was made for convolutions [wu2018group]",
        ),
        sources=("ba2016layer", "wu2018group"),
    ),
    _claim(
        74,
        "B | Challenges and Limitations of Layer Normalization | it is not without its "
        "challenges and limitations",
        "There is something that it cannot do: carry the size of a vector.",
        DERIVED,
        derived.magnitude_is_lost,
    ),
    # ------------------------------------------------ future
    _claim(
        75,
        "B | Conclusion and Future Directions | adaptive normalization methods that can "
        "adjust to the unique characteristics of different datasets and tasks",
        "There can be norms that adapt to data and task.",
        LITERATURE,
        sourced(
            HOLDS,
            "AdaNorm takes the place of gain and bias by a function of the input "
            "[xu2019understanding]",
            "Switchable Normalization learns a mixture of norms for each layer "
            "[luo2019switchable]",
        ),
        sources=("xu2019understanding", "luo2019switchable"),
    ),
    _claim(
        76,
        "B | Conclusion and Future Directions | hybrid approaches that combine layer "
        "normalization with other techniques",
        "A mixture of norms does better than the best of them.",
        MEASURED,
        experiment="hybrid",
    ),
    _claim(
        77,
        """
        B | Conclusion and Future Directions | explore their integration with other advancements in deep learning
        B | Conclusion and Future Directions | paves the path for future innovations
        """,
        "More will come.",
        RHETORIC,
        _said("a hope states nothing that could be false"),
    ),
    # ------------------------------------------------ machine learning in general
    _claim(
        78,
        "B | Introduction to Deep Learning and Neural Networks | a subset of machine "
        "learning, which is itself a subset of artificial intelligence",
        "This is how the fields are divided.",
        RHETORIC,
        _said("it is a convention, and the usual one"),
    ),
    _claim(
        79,
        """
        B | The Concept of Normalization in Machine Learning | adjusting the values in a dataset to a common scale
        B | The Concept of Normalization in Machine Learning | features contribute proportionally to the final predictions
        """,
        "Normalizing a data set brings its features to one scale.",
        DERIVED,
        derived.common_scale_is_per_feature,
        note="That goes over the data set, feature by feature. Layer norm does not do it, "
        "and is introduced by it.",
    ),
    _claim(
        80,
        "B | Introduction to Deep Learning and Neural Networks | the values used to "
        "update the weights of the network",
        "Weights are updated by gradients.",
        DERIVED,
        derived.gradients_update_weights,
        note="By way of an optimizer, which may rescale them.",
    ),
    _claim(
        81,
        """
        B | Introduction to Deep Learning and Neural Networks | a successful method for stabilizing the training of very deep networks
        B | Conclusion and Future Directions | a crucial technique in addressing these issues
        """,
        "It is layer norm that makes very deep networks trainable.",
        MEASURED,
        rulings_deep.layer_norm_makes_depth_trainable,
        experiment="deep_repeat",
        chapter=DEPTH,
        note="Against the right initial weights without a norm, plain and residual. Five "
        "seeds, in deep_training, had left it open. In the residual networks either has "
        "an error of about 0.05, so that there was no room for the bar.",
    ),
    _claim(
        82,
        "B | Comparative Analysis | hinges on understanding the architecture and the "
        "specific demands of the task",
        "Which norm is best depends on the architecture.",
        LITERATURE,
        sourced(
            HOLDS,
            "one paper finds layer norm ahead in recurrent networks and batch norm in "
            "convolutional ones [ba2016layer]",
        ),
        sources=("ba2016layer",),
    ),
    _claim(
        83,
        "B | The Concept of Normalization in Machine Learning | where the batch size may "
        "be small, such as in reinforcement learning scenarios or certain natural "
        "language processing tasks",
        "It helps there because batches are small.",
        MEASURED,
        experiment="transformer",
    ),
    # ------------------------------------------------ what a careful reader still finds
    _claim(
        84,
        "A | History and Evolution | developed as a way to address these issues",
        "It was made against dependence on batch size and on the order of examples.",
        LITERATURE,
        sourced(
            CONDITIONAL,
            "dependence on the mini-batch and recurrent networks are its motive, "
            "the order of examples is not [ba2016layer]",
        ),
        sources=("ba2016layer",),
    ),
    _claim(
        85,
        "A | Benefits of Layer Normalization | several benefits over other normalization "
        "techniques such as batch normalization",
        "Training is more stable with layer norm than with batch norm.",
        MEASURED,
        rulings_deep.layer_norm_is_stabler_than_batch_norm,
        experiment="learning_rate",
        chapter=DEPTH,
        note="More stable is: more learning rates work. In networks of 2 and 8 layers on "
        "the digits, with batches of 4 and of 32.",
    ),
    _claim(
        86,
        "",
        "Layer norm is itself a nonlinearity.",
        DERIVED,
        derived.is_nonlinear,
        note="The articles name the activation function alone.",
    ),
    _claim(
        87,
        "B | Comparative Analysis | variability in performance when batch sizes are small",
        "With batch norm results vary more from seed to seed at some small batch size.",
        MEASURED,
        batches.batch_norm_varies_more,
        experiment="batch_size",
        chapter="09_batch_or_layer",
    ),
    _claim(
        88,
        "B | What is Layer Normalization? | By processing each data point independently, "
        "layer normalization enables more stable gradients",
        "Gradients are more stable because examples do not depend on each other.",
        MEASURED,
        rulings_training.stable_because_apart,
        experiment="landscape",
        chapter=WHY_NORMALIZE,
        note="Against a layer norm whose examples share mean and variance.",
    ),
    _claim(
        89,
        "B | Comparative Analysis | consistent scaling across the feature dimensions",
        "All features of an example are scaled alike.",
        DERIVED,
        derived.one_scale_for_all_features,
        chapter=FORMULA,
    ),
    _claim(
        90,
        "A | Question 1 | involves normalizing the activations in a batch of training "
        "examples",
        "Given as a wrong answer: layer norm normalizes over a batch.",
        DERIVED,
        derived.over_features,
        note="The verdict is on the article's saying that this answer is wrong.",
    ),
    _claim(
        91,
        "B | How Layer Normalization Works | This computed output serves as input to the "
        "subsequent layer",
        "Between the norm and the next layer stands nothing.",
        LITERATURE,
        sourced(
            CONDITIONAL,
            "in the paper the activation function stands there [ba2016layer]",
        ),
        note="In a Transformer it is so.",
        sources=("ba2016layer",),
    ),
]


def ledger():
    """Every claim by its number: a dict from "L-01" and so on to `Claim`.

    >>> print(ledger()["L-31"].quotes[0].article)
    A
    """
    return {claim.id: claim for claim in _CLAIMS}


def tally(where=None):
    """How many claims have each verdict: a dict from verdict to int.

    Args:
        where: the folder of the tables; by default that of the library.

    >>> sum(tally().values()) == len(ledger())
    True
    """
    counts = Counter(c.verdict(where).verdict for c in _CLAIMS)
    return {v: counts[v] for v in rules.VERDICTS}


# The parts in which the ledger is read, by the numbers of their claims.
PARTS = {
    "History": [*range(1, 6), 84],
    "Batch norm, to compare with": [*range(6, 14), 87],
    "What layer norm is": [*range(14, 29), 86, *range(89, 92)],
    "Epsilon": range(29, 36),
    "What it is good for": [*range(36, 55), 81, 85, 88],
    "Where it is used": [*range(55, 69), 83],
    "Where it fails, and what it costs": range(69, 75),
    "The future": range(75, 78),
    "Machine learning in general": [*range(78, 81), 82],
}


def part(name):
    """The claims of a part of the ledger, in its order: a list of `Claim`.

    Raises:
        ValueError: there is no such part.

    >>> [claim.id for claim in part("The future")]
    ['L-75', 'L-76', 'L-77']
    """
    if name not in PARTS:
        raise ValueError(f"Expected a part, one of {', '.join(PARTS)}, but got {name}")
    found = ledger()
    return [found[f"L-{number:02}"] for number in PARTS[name]]


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """Two places of the articles that do not go together.

    Attributes:
        about: what they disagree about.
        first, second: each the id of a claim and which of its quotes is meant.
        exclude: whether at most one can be right; if not, they can be reconciled by a
            condition that neither place names.
    """

    about: str
    first: tuple
    second: tuple
    exclude: bool = False

    def sides(self):
        """Of each side the `Claim` and the `Quote`."""
        found = ledger()
        return [(found[i], found[i].quotes[n]) for i, n in (self.first, self.second)]


CONTRADICTIONS = (
    Contradiction("what shares a mean and a deviation", ("L-16", 0), ("L-25", 0), True),
    Contradiction("the same, in article B", ("L-16", 1), ("L-15", 1), True),
    Contradiction("what it does in recurrent networks", ("L-67", 0), ("L-69", 0), True),
    Contradiction("how long training takes", ("L-40", 1), ("L-71", 1)),
    Contradiction("what it does for language", ("L-58", 1), ("L-70", 0)),
    Contradiction("outliers", ("L-46", 0), ("L-46", 1)),
    Contradiction("where in a layer the norm stands", ("L-18", 1), ("L-18", 2)),
    Contradiction("whether the architecture matters", ("L-50", 0), ("L-82", 0)),
)
