"""Draw the figures that stand outside the notebooks, again and always the same."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

from lnlib import plotting

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"


def rows_and_columns():
    """Batch norm takes its statistics over columns, layer norm over rows."""
    m, n = 4, 6
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.3))
    axes = {"rows": "examples", "columns": "features"}
    columns = np.tile(np.arange(n), (m, 1))
    plotting.shared_statistics(left, columns, "batch norm", **axes)
    plotting.shared_statistics(right, columns * 0 + np.arange(m)[:, None],
                               "layer norm", **axes)  # fmt: skip
    return fig


def draw(static=STATIC):
    """Write the figures below a folder; returns their paths."""
    plotting.use()
    fig = rows_and_columns()
    # The site maps ink to its theme; the README is shown where nothing does, on
    # light pages and on dark ones, so its copy brings a ground of its own.
    files = {"figures/rows-and-columns.svg": "none", "readme.svg": "white"}
    for name, ground in files.items():
        path = static / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, facecolor=ground, metadata={"Date": None})
    plt.close(fig)
    return [static / name for name in files]


if __name__ == "__main__":
    for path in draw():
        print(path.relative_to(STATIC.parent.parent))
