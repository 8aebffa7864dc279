"""Figures: the same bytes for the same data, and colours that can be told apart."""

import io
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from lnlib import plotting


@pytest.fixture(autouse=True)
def own_style():
    with mpl.rc_context():
        mpl.use("svg")
        plotting.use()
        yield
        plt.close("all")


def draw():
    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [1, 3, 2], label="a line")
    ax.fill_between([0, 1], [0, 1], alpha=0.3)
    plotting.label_lines(ax)
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_the_same_data_gives_the_same_bytes():
    assert draw() == draw()


def test_figures_are_transparent_with_text_as_text_in_two_ink_colours():
    svg = draw()
    assert "a line" in svg and "<text" in svg
    assert "#ffffff" not in svg and "#000000" not in svg
    assert plotting.INK in svg and plotting.GRID in svg


def luminance(color):
    channels = mpl.colors.to_rgb(color)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
              for c in channels]  # fmt: skip
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", ["#ffffff", "#14181e"])
@pytest.mark.parametrize("color", plotting.COLORS)
def test_colours_stand_out_on_a_light_and_on_a_dark_page(color, ground):
    # WCAG 2.1 asks 3 to 1 of graphical objects.
    a, b = sorted((luminance(color), luminance(ground)))
    assert (b + 0.05) / (a + 0.05) >= 3


def test_every_colour_has_a_marker():
    assert len(plotting.MARKERS) == len(plotting.COLORS) == len(set(plotting.MARKERS))


def test_labels_stand_at_the_ends_of_their_lines():
    _, ax = plt.subplots()
    ax.plot([0, 1], [5, 6], label="up", color=plotting.GREEN)
    ax.plot([0, 1], [0, 0])  # no label: none is written
    (label,) = plotting.label_lines(ax, fontsize=8)
    assert label.get_text() == "up" and label.xy == (1, 6)
    assert label.get_color() == plotting.GREEN


def test_lines_without_labels_are_refused():
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    with pytest.raises(ValueError, match="these axes have none"):
        plotting.label_lines(ax)


def test_figures_on_colab_have_a_ground(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    plotting.use()
    assert "#ffffff" in draw() and plotting.INK in draw()
    monkeypatch.delitem(sys.modules, "google.colab")
    plotting.use()
    assert "#ffffff" not in draw()


def test_use_works_without_ipython(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    mpl.rcParams["svg.hashsalt"] = None
    plotting.use()
    assert mpl.rcParams["svg.hashsalt"] == "lnlib"


def test_use_sets_the_format_of_a_notebook(monkeypatch):
    import IPython
    import matplotlib_inline.backend_inline as inline

    calls = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        inline, "set_matplotlib_formats", lambda *a, **k: calls.append((a, k))
    )
    plotting.use()
    assert calls == [(("svg",), {"metadata": {"Date": None}, "bbox_inches": None})]


def test_a_view_keeps_what_it_looks_at_and_drops_the_line_of_sight():
    a, e = np.deg2rad(40), np.deg2rad(30)
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    seen = plotting.view(points, azimuth=40, elevation=30)
    assert seen.shape == (4, 5, 2)
    np.testing.assert_allclose(plotting.view(towards, 40, 30), 0, atol=1e-15)
    lost = points @ towards  # what lies along the line of sight, and nothing else
    lengths = np.sqrt((seen**2).sum(-1) + lost**2)
    np.testing.assert_allclose(lengths, np.linalg.norm(points, axis=-1))
    assert plotting.view([0, 0, 1.0], 40, 30)[1] > 0  # the third axis points up


def test_a_view_of_the_plane_is_refused():
    with pytest.raises(ValueError, match=r"Expected points .* but got \(5, 2\)"):
        plotting.view(np.zeros((5, 2)))


# --- which cells share their statistics ------------------------------------------


@pytest.mark.parametrize("axes", [0, 1, -1, (0, 2, 3), (1, 2, 3), (2, 3), (), (3, 0)])
def test_cells_share_a_number_just_when_they_share_a_mean(axes):
    shape = (2, 3, 2, 4)
    groups = plotting.statistics_groups(shape, axes)
    x = np.random.default_rng(0).normal(size=shape)
    means = np.broadcast_to(x.mean(axes, keepdims=True), shape)
    same = groups.ravel()[:, None] == groups.ravel()
    assert (same == (means.ravel()[:, None] == means.ravel())).all()
    _, first = np.unique(groups, return_index=True)
    assert groups.ravel()[np.sort(first)].tolist() == list(range(len(first)))


@pytest.mark.parametrize("axes", [2, -3, (0, 0), (0, -2), (1, 5)])
def test_axes_that_are_not_there_or_twice_are_refused(axes):
    with pytest.raises(ValueError, match="Expected different axes of a shape of 2"):
        plotting.statistics_groups((2, 3), axes)


def lefts(ax):
    return [round(patch.get_x(), 2) for patch in ax.patches]


def test_blocks_of_columns_stand_apart():
    plain, blocks = plt.subplots(1, 2)[1]
    groups = np.array([[0, 0, 1, 1], [2, 2, 3, 3]])
    plotting.shared_statistics(plain, groups)
    plotting.shared_statistics(blocks, groups, block=2)
    assert lefts(plain) == [0.06, 1.06, 2.06, 3.06] * 2
    assert lefts(blocks) == [0.06, 1.06, 2.56, 3.56] * 2
    assert plain.get_xlim() == (0, 4) and blocks.get_xlim() == (0, 4.5)
    colours = [p.get_facecolor() for p in blocks.patches]
    assert colours[0] == colours[1] != colours[2] == colours[3] != colours[4]


@pytest.mark.parametrize("block", [0, 3, -1])
def test_a_block_that_does_not_fit_is_refused(block):
    with pytest.raises(ValueError, match=f"divisor of the 4 columns, but got {block}"):
        plotting.shared_statistics(plt.gca(), np.zeros((1, 4)), block=block)


def test_a_table_without_two_axes_is_refused():
    with pytest.raises(ValueError, match=r"two axes, but got \(4,\)"):
        plotting.shared_statistics(plt.gca(), np.zeros(4))


def test_a_line_without_points_has_no_place_for_a_label():
    fig, ax = plt.subplots()
    ax.plot([], [], label="nothing")
    with pytest.raises(ValueError, match="but 'nothing' has none"):
        plotting.label_lines(ax)
    plt.close(fig)


def test_shared_statistics_takes_lists():
    fig, ax = plt.subplots()
    plotting.shared_statistics(ax, [[0, 0], [1, 1]])
    assert len(ax.patches) == 4
    plt.close(fig)
