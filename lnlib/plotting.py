"""One look for every figure of the book.

Figures are SVG on a transparent ground, so that they belong to a light page and to a
dark one. Ink and grid have one colour each, which the site maps to those of its
theme; the other colours are told apart by the colour-blind and read on both grounds.
The same data gives the same bytes, so that a test can compare a figure.
"""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

INK = "#1a1a1a"  # text, axes, ticks: the site draws it in the colour of its text
GRID = "#d0d0d0"  # grid lines: the site draws them in the colour of its borders

BLUE = "#2a7fc1"
ORANGE = "#d9702a"
GREEN = "#1d9a6c"
PURPLE = "#b467b8"
YELLOW = "#a88212"
GREY = "#808890"

COLORS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P")  # the second sign beside the colour

STYLE = {
    "figure.figsize": (6.4, 3.4),
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "savefig.bbox": None,
    "svg.fonttype": "none",  # text stays text: smaller, and a reader can select it
    "svg.hashsalt": "lnlib",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def use():
    """Give every figure from here on the look of the book.

    In a notebook figures become SVG, without a date and with fixed ids. On Colab they
    get a white ground: its dark theme would show dark ink on a dark page.

    >>> use()
    >>> plt.rcParams["svg.fonttype"]
    'none'
    """
    plt.rcParams.update(STYLE)
    if "google.colab" in sys.modules:
        plt.rcParams.update({"figure.facecolor": "white", "savefig.facecolor": "white"})
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ModuleNotFoundError:  # a plain script
        return
    if get_ipython() is not None:
        # bbox_inches=None: a figure is as wide as it says, not cut to its ink.
        set_matplotlib_formats("svg", metadata={"Date": None}, bbox_inches=None)


def label_lines(ax, colors=None, **text):
    """Write each line's label at its right end, in its colour, instead of a legend.

    Args:
        ax: Axes whose lines have labels.
        colors: the colours of the labels; by default those of the lines.
        text: further properties of the text, such as `fontsize`.

    Raises:
        ValueError: no line has a label, or one that has a label has no points.

    >>> fig, ax = plt.subplots()
    >>> _ = ax.plot([0, 1], [0, 1], label="rising")
    >>> [t.get_text() for t in label_lines(ax)]
    ['rising']
    >>> plt.close(fig)
    """
    lines = [ln for ln in ax.get_lines() if not ln.get_label().startswith("_")]
    if not lines:
        raise ValueError("Expected lines with labels, but these axes have none")
    for line in lines:
        if not len(line.get_xdata()):
            raise ValueError(
                f"Expected lines with points, but {line.get_label()!r} has none"
            )
    colors = colors or [line.get_color() for line in lines]
    return [
        ax.annotate(
            line.get_label(),
            (line.get_xdata()[-1], line.get_ydata()[-1]),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=color,
            annotation_clip=False,
            **text,
        )
        for line, color in zip(lines, colors, strict=True)
    ]


def shared_statistics(ax, groups, title="", rows="", columns="", block=None):
    """Draw a table of numbers in which cells of one colour share their statistics.

    Args:
        ax: Axes to draw into.
        groups: array (rows, columns) of ints; cells with the same number share one
            mean and one variance.
        title: written above the table.
        rows, columns: what a row and a column of the table are.
        block: how many columns belong together, such as the pixels of a channel; a
            gap is left between blocks. None for no gaps.

    Raises:
        ValueError: groups does not have two axes, or block is not a divisor of the
            number of columns.

    >>> import numpy as np
    >>> fig, ax = plt.subplots()
    >>> shared_statistics(ax, np.array([[0, 0], [1, 1]]), title="layer norm")
    >>> len(ax.patches), plt.close(fig)
    (4, None)
    """
    groups = np.asarray(groups)
    if len(groups.shape) != 2:
        raise ValueError(f"Expected groups to have two axes, but got {groups.shape}")
    m, n = groups.shape
    if block is not None and (block < 1 or n % block):
        raise ValueError(
            f"Expected block to be a divisor of the {n} columns, but got {block}"
        )
    gaps = np.zeros(n) if block is None else 0.5 * (np.arange(n) // block)
    for i in range(m):
        for j in range(n):
            group = int(groups[i, j])
            cell = plt.Rectangle(
                (j + gaps[j] + 0.06, i + 0.06),
                *(0.88, 0.88),
                facecolor=COLORS[group % len(COLORS)],
                alpha=0.35 + 0.45 * (group // len(COLORS) % 2 == 0),
            )
            ax.add_patch(cell)
    ax.set(xlim=(0, n + gaps.max(initial=0)), ylim=(m, 0), aspect="equal", title=title)
    ax.set(xticks=[], yticks=[], xlabel=columns, ylabel=rows)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def statistics_groups(shape, axes):
    """Which numbers of an array share a mean and a variance, for `shared_statistics`.

    Args:
        shape: of the array, a tuple of ints.
        axes: those that the statistics are taken over, an int or a tuple of ints.

    Returns:
        An array of ints of that shape. Two cells have the same number if and only if
        they differ in `axes` alone; the numbers count from 0 in the order of the array.

    Raises:
        ValueError: an axis is out of range or named twice.

    >>> statistics_groups((2, 3), axes=1)
    array([[0, 0, 0],
           [1, 1, 1]])
    """
    axes = (axes,) if np.ndim(axes) == 0 else tuple(axes)
    within = [a for a in axes if -len(shape) <= a < len(shape)]
    places = {a % len(shape) for a in within}
    if len(within) < len(axes) or len(places) < len(axes):
        raise ValueError(
            f"Expected different axes of a shape of {len(shape)}, but got {axes}"
        )
    kept = [1 if a in places else n for a, n in enumerate(shape)]
    numbers = np.arange(np.prod(kept, dtype=int)).reshape(kept)
    return np.broadcast_to(numbers, shape).copy()


def view(points, azimuth=25.0, elevation=20.0):
    """Where points of space stand on paper, seen from far away.

    An orthographic projection: parallel lines stay parallel and no length grows. Two
    coordinates draw as lines and dots like any others, so a picture of space is as
    small, and as easy to compare, as a flat one. The third axis points up.

    Args:
        points: array (..., 3).
        azimuth: degrees by which the eye has gone around the third axis, from the
            first axis towards the second.
        elevation: degrees by which the eye stands above the plane of the first two.

    Returns:
        Array (..., 2): to the right, and up.

    Raises:
        ValueError: the last axis of points does not have length 3.

    >>> view(np.eye(3), azimuth=0, elevation=0).round(4) + 0.0
    array([[0., 0.],
           [1., 0.],
           [0., 1.]])
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != 3:
        raise ValueError(f"Expected points of shape (..., 3), but got {points.shape}")
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    up = np.array([-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)])
    return np.stack([points @ right, points @ up], axis=-1)
