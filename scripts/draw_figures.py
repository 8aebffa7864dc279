"""Draw the figures that stand outside the notebooks, again and always the same."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

from lnlib import plotting

FIGURES = Path(__file__).resolve().parent.parent / "book" / "_static" / "figures"


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


def main():
    plotting.use()
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / "rows-and-columns.svg"
    rows_and_columns().savefig(path, metadata={"Date": None})
    print(path.relative_to(FIGURES.parent.parent.parent))


if __name__ == "__main__":
    main()
