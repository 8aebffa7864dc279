"""Draw the figures that stand outside the notebooks, again and always the same."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.isotonic import isotonic_regression

from lnlib import plotting

BOOK = Path(__file__).resolve().parent.parent / "book"
STATIC = BOOK / "_static"
sys.path.insert(0, str(BOOK / "_ext"))

import timeline  # noqa: E402, an extension of the site: found by the line above


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


def history():
    """The history of normalization: a time axis, and beside each dot its name.

    Half of the entries lie in a sixth of the time, so the years before 2014 are drawn
    on a smaller scale, and the axis is broken there.
    """
    kinds, entries = timeline.read(BOOK / "history.yml")
    looks = dict(zip(kinds, zip(plotting.COLORS, plotting.MARKERS, strict=True),
                     strict=True))  # fmt: skip
    years = np.array([timeline.year(entry) for entry in entries])
    first, last, seam = 1990, int(years[-1]) + 1, 2014
    step = (last - seam) / (len(entries) - 2)  # between two names

    def place(year):
        return np.where(year < seam, seam + (year - seam) / 8, year)

    # The names stand as near to their dots as they can without touching each other.
    order = step * np.arange(len(entries))
    rows = isotonic_regression(place(years) - order) + order
    top, bottom = float(place(np.array(first))), max(last, rows[-1] + step)

    # Narrow, so that it can be read on a phone.
    fig, ax = plt.subplots(figsize=(4.6, 0.2 * (bottom - top) / step + 0.9))
    for entry, height, row in zip(entries, place(years), rows, strict=True):
        color, marker = looks[entry["kind"]]
        ax.plot([0, 0.16, 0.22], [height, row, row], color=color, linewidth=0.8)
        ax.plot(0, height, marker, color=color, markersize=5, clip_on=False)
        bold = {"weight": "bold"} if entry["cite"] == "ba2016layer" else {}
        text = f"{entry['name']}, {str(entry['date'])[:4]}"
        ax.text(0.24, row, text, va="center", size=9, **bold)
    for ends in ((top, seam - 0.12), (seam + 0.12, last)):
        ax.plot([0, 0], ends, color=plotting.INK, linewidth=1, zorder=0)
    for height in (seam - 0.12, seam + 0.12):
        ax.plot([-0.03, 0.03], [height + 0.08, height - 0.08], color=plotting.INK,
                linewidth=1)  # fmt: skip
    ticks = [1990, 2000, 2010, *range(seam + 1, last + 1)]
    ax.set(xlim=(-0.04, 1.5), ylim=(bottom, top - step), xticks=[])
    ax.set_yticks([float(place(np.array(tick))) for tick in ticks], ticks)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for (color, marker), label in zip(looks.values(), kinds.values(), strict=True):
        ax.plot([], [], marker, color=color, label=label)
    fig.legend(loc="outside upper left", ncols=2, fontsize=8.5, handletextpad=0.1,
               columnspacing=0.8)  # fmt: skip
    return fig


# The site maps ink to its theme; the README is shown where nothing does, on light
# pages and on dark ones, so its copy brings a ground of its own.
FIGURES = {
    rows_and_columns: {"figures/rows-and-columns.svg": "none", "readme.svg": "white"},
    history: {"figures/history.svg": "none"},
}


def draw(static=STATIC):
    """Write the figures below a folder; returns their paths."""
    plotting.use()
    written = []
    for figure, files in FIGURES.items():
        fig = figure()
        for name, ground in files.items():
            path = static / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fig.savefig(path, facecolor=ground, metadata={"Date": None})
            written.append(path)
        plt.close(fig)
    return written


if __name__ == "__main__":
    for path in draw():
        print(path.relative_to(STATIC.parent.parent))
