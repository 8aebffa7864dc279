"""Does layer norm generalize better, end more accurate, or overfit less?

A multilayer perceptron with two hidden layers of 64 neurons and no norm, batch norm or
layer norm before each ReLU is trained for long: 1,000 batches of 32. The data sets are

- `digits`: 1,077 training images of digits;
- `few`: 100 of these images;
- `noisy`: all of them, a fifth of the training labels replaced by others;
- `cancer`: the 569 tumours of scikit-learn's breast cancer set, 30 measurements each,
  standardized by the training split, 341 / 114 / 114.

The learning rate is tuned for each norm and data set on the validation split at the end
of the training, with three seeds of its own. Then 12 seeds count. A seed decides the
split, the initial weights and the order of the examples, alike for every norm.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on; one of losses from 0.05 nats on.
- "Generalizes better" holds for a data set if at the same training loss the test error
  with layer norm is lower than with no norm by more than the bar, at 95 % over all data
  sets together; it does not hold there if it surely is not.
- "The final accuracy is higher" is the same of the test error at the end.
- "Overfits less" is the same of the gap, test loss minus training loss at the end.

Measured are

- `test_error`: the share of the test split that is wrong at the end; not looked at
  while tuning;
- `val_error`: the same of the validation split;
- `train_loss`: cross-entropy on the training split at the end, in nats;
- `gap`: cross-entropy on the test split minus that on the training split at the end, in
  nats; for `noisy`, and for this measurement alone, a fifth of the test labels are
  replaced as well, so that both splits are of one kind;
- `rise`: how much cross-entropy on the test split has risen from its lowest, in nats;
- `error_at`: the test error where the training loss is first at a level or below it:
  0.3 nats for `digits` and `few`, 0.1 for `cancer`, 1.2 for `noisy`, where a network
  that expects just what was done to the labels is at 0.94. Empty if it never is. All
  losses are looked at every 20 steps, in evaluation mode.
"""

import torch

from lnlib.lab import data, training
from lnlib.lab.experiment import Tuning

NORMS = {"none": None, "batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}
STEPS, BATCH_SIZE, LOOK = 1000, 32, 20
LEVELS = {"digits": 0.3, "few": 0.3, "noisy": 1.2, "cancer": 0.1}  # nats

GRID = {"data": ["digits", "few", "noisy", "cancer"], "norm": list(NORMS)}
SEEDS = range(12)
TUNING = Tuning(
    "lr",
    levels=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    seeds=(100, 101, 102),
    by="val_error",
)
# On another processor single images near a boundary may change sides, and a training
# run multiplies the difference of a last digit.
MEASUREMENTS = {
    "test_error": 0.05,
    "val_error": 0.05,
    "train_loss": 0.1,
    "gap": 0.3,
    "rise": 0.3,
    "error_at": 0.05,
}


def cost(config):
    """How long a run takes, by its norm."""
    return {"none": 1.0, "batch": 1.3, "layer": 1.2}[config["norm"]]


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    split = split_of(config["data"], seed).to(device)
    sizes = [split.x_train.shape[1], 64, 64, int(split.y_test.max()) + 1]
    model = training.mlp(sizes, NORMS[config["norm"]], seed).to(device)
    tested = config["stage"] == "test"
    trace = []

    def look():
        steps.append(None)
        if tested and len(steps) % LOOK == 0:
            trace.append(losses(model, split))
            model.train()

    steps = []
    training.train(
        model,
        split.x_train,
        split.y_train,
        steps=STEPS,
        batch_size=BATCH_SIZE,
        lr=config["lr"],
        seed=seed,
        after_step=look,
    )
    measured = dict.fromkeys(MEASUREMENTS)
    measured["val_error"] = training.error(model, split.x_val, split.y_val)
    measured["train_loss"] = training.loss(model, split.x_train, split.y_train)
    if tested:
        _, test_loss, measured["test_error"] = trace[-1]
        measured["rise"] = test_loss - min(at[1] for at in trace)
        y = split.y_test
        if config["data"] == "noisy":
            y = some_replaced(y, seed + 1000)
        measured["gap"] = training.loss(model, split.x_test, y) - measured["train_loss"]
        reached = [at[2] for at in trace if at[0] <= LEVELS[config["data"]]]
        measured["error_at"] = reached[0] if reached else None
    return measured


def losses(model, split):
    """Training loss, test loss and test error, in evaluation mode: floats."""
    return (
        training.loss(model, split.x_train, split.y_train),
        training.loss(model, split.x_test, split.y_test),
        training.error(model, split.x_test, split.y_test),
    )


def split_of(name, seed):
    """The `Split` of a data set."""
    if name == "cancer":
        return cancer(seed)
    split = data.digits(seed)
    if name == "few":
        return split._replace(x_train=split.x_train[:100], y_train=split.y_train[:100])
    if name == "noisy":
        return split._replace(y_train=some_replaced(split.y_train, seed))
    return split


def some_replaced(y, seed, share=0.2, classes=10):
    """Labels (M,), a share of them replaced by another class."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    further = torch.randint(1, classes, (len(chosen),), generator=generator)
    replaced = y.clone()
    replaced[chosen] = (y[chosen] + further) % classes
    return replaced


def cancer(seed):
    """Breast cancer as a `Split` of 341 / 114 / 114, standardized by the first part.

    Source: Street, Wolberg and Mangasarian 1993, "Nuclear feature extraction for breast
    tumor diagnosis"; the copy that scikit-learn carries.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        x, y, test_size=114, stratify=y, random_state=seed
    )
    x, x_val, y, y_val = train_test_split(
        x, y, test_size=114, stratify=y, random_state=seed
    )
    mean, scale = x.mean(0), x.std(0)
    parts = []
    for inputs, labels in ((x, y), (x_val, y_val), (x_test, y_test)):
        parts += [torch.tensor((inputs - mean) / scale), torch.tensor(labels)]
    return data.Split(*parts)
