"""What is drawn is what is in the frame; nothing of torch or jax is needed for it."""

import hashlib
import math
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from widelimit.figures.compare import compare_slopes
from widelimit.figures.plots import plot_curves, plot_drift, plot_phases, plot_power_law, plot_slopes, plot_terms
from widelimit.figures.style import LIMIT, PHASE_COLOURS, VERDICT_COLOURS, colours, letter, panels, save, size_label, styled

SIZES, RATES = (64, 128, 256), 2.0 ** np.arange(-6, 3)


def sweep():
    """Losses whose best rate moves by -1/4 octave per octave of the size; the limit is infinite size."""
    rows = []
    for n in (*SIZES, math.inf):
        centre = -2 - 0.25 * math.log2(min(n, 512) / 64)
        rows += [(s, n, r, 1 + 8 / n + 0.01 * s + 0.05 * (math.log2(r) - centre) ** 2) for s in (0, 1, 5) for r in RATES]
    return pd.DataFrame(rows, columns=["seed", "size.n", "hp.learning_rate", "value"])


def one_axes():
    return panels()[1][0, 0]


def test_curves_are_seed_means_with_the_limit_dashed():
    frame = sweep()
    ax = plot_curves(frame, one_axes(), x="hp.learning_rate", axis="n", optima=True)
    lines = {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}
    assert list(lines) == ["64", "128", "256", "∞"]
    for label, line in lines.items():
        n = math.inf if label == "∞" else float(label)
        expected = frame[frame["size.n"] == n].groupby("hp.learning_rate")["value"].mean()
        assert line.get_xdata() == pytest.approx(RATES)
        assert line.get_ydata() == pytest.approx(expected.to_numpy())
        assert (line.get_linestyle() == "--") == (n == math.inf)
    assert to_hex(lines["∞"].get_color()) == LIMIT
    stars = [line for line in ax.get_lines() if line.get_marker() == "*"]
    assert [math.log2(star.get_xdata()[0]) for star in stars] == pytest.approx([-2, -2.25, -2.5, -2.75])
    assert [star.get_ydata()[0] for star in stars] == pytest.approx([1.02 + 8 / n for n in (*SIZES, math.inf)])


def test_diverged_points_are_left_out_and_an_edge_has_no_star():
    frame = sweep()
    frame = frame[frame["size.n"] == 64].assign(value=lambda f: f["value"].where(f["hp.learning_rate"] < 0.2, math.inf))
    ax = plot_curves(frame, one_axes(), x="hp.learning_rate", axis="n", optima=True)
    (line,) = ax.get_lines()
    assert line.get_xdata().max() < 0.2


def test_a_power_law_is_drawn_with_its_reference():
    frame = pd.DataFrame({"size.n": SIZES, "value": [n**-1.0 for n in SIZES], "seed": 0})
    ax = plot_power_law(frame, one_axes(), axis="n", reference=-1)
    points, line = ax.get_lines()[0], ax.get_lines()[-1]
    assert points.get_ydata() == pytest.approx([1 / n for n in SIZES])
    assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx([-1, -1])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["64", "128", "256"]


def test_the_drift_is_that_of_the_optima():
    ax = plot_drift(sweep()[lambda f: np.isfinite(f["size.n"])], one_axes(), axis="n")
    *stars, line = ax.get_lines()
    assert [star.get_ydata()[0] for star in stars] == pytest.approx([2.0**-2, 2.0**-2.25, 2.0**-2.5])
    assert line.get_label() == "slope $-0.25$"


def terms():
    powers = {("a", "t"): 0.0, ("a", "u"): -0.5, ("b", "t"): 0.3}
    rows = [(s, w, t, 1, n, n**p) for (w, t), p in powers.items() for s in (0, 1) for n in SIZES]
    frame = pd.DataFrame(rows, columns=["seed", "weight", "term", "step", "size.n", "value"])
    return frame, compare_slopes(frame, axis="n", predicted={("a", "t"): 0, ("a", "u"): -0.5, ("b", "t"): 0})


def test_slopes_are_coloured_by_verdict():
    _, rows = terms()
    ax = plot_slopes(rows, one_axes())
    assert ax.get_legend_handles_labels()[1] == ["agrees (2)", "misses (1)"]
    drawn = {to_hex(line.get_color()): line.get_ydata() for line in ax.get_lines() if line.get_marker() not in ("None", "|", "_")}
    assert sorted(drawn[VERDICT_COLOURS["agrees"]]) == pytest.approx([-0.5, 0.0], abs=1e-12)
    assert drawn[VERDICT_COLOURS["misses"]] == pytest.approx([0.3])


def test_phases_are_areas_and_facets_of_their_own_kind_are_lines():
    facet, plain = (SimpleNamespace(kind=kind, corners=((0, 0), (0, 1))) for kind in ("kernel", "trivial"))
    stable = SimpleNamespace(kind="trivial", corners=((0, 0), (1, 1), (1, 0), (0, 1)), facets=(facet, plain))
    rest = SimpleNamespace(kind="unstable", corners=((0, 0), (-1, 1), (-1, 0), (0, 1)), facets=())
    ax = plot_phases([stable, rest], one_axes(), places={"here": (0.5, 0.5)})
    assert [to_hex(area.get_facecolor()) for area in ax.patches] == [PHASE_COLOURS["unstable"], PHASE_COLOURS["trivial"]]
    corners = ax.patches[1].get_xy()[:4]  # in order around the area
    assert all(abs(np.subtract(a, b)).sum() == 1 for a, b in pairwise(corners.tolist()))
    line, place = ax.get_lines()
    assert to_hex(line.get_color()) == PHASE_COLOURS["kernel"].lower()
    assert (place.get_xdata()[0], place.get_ydata()[0]) == (0.5, 0.5)


def test_small_multiples_have_a_panel_per_weight():
    frame, rows = terms()
    _, axes = panels(2, 2)
    used = plot_terms(frame, axes, axis="n", rows=rows)
    assert [ax.get_title(loc="left") for ax in used] == ["a", "b"]
    assert used[0].get_legend_handles_labels()[1] == ["t  +0.00 (0)", "u  -0.50 (-0.5)"]
    assert [ax.get_visible() for ax in axes.flat] == [True, True, False, False]
    with pytest.raises(ValueError, match="2 weights need as many axes, not 1"):
        plot_terms(frame, [axes[0, 0]], axis="n")


def test_sizes_go_from_light_to_dark():
    shades = colours([256, 64, math.inf, 128])
    light = [sum(shades[n][:3]) for n in SIZES]
    assert light == sorted(light, reverse=True)
    assert shades[math.inf] == LIMIT
    assert [size_label(s) for s in (64, 5.656854, 1024.0, math.inf)] == ["64", "5.66", "1024", "∞"]


def test_files_repeat_byte_for_byte(tmp_path):
    def draw(stem):
        figure, axes = panels()
        with styled():
            plot_curves(sweep(), axes[0, 0], x="hp.learning_rate", axis="n")
            letter(axes.flat)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in save(figure, tmp_path / stem / "figure")]

    assert draw("one") == draw("two")


def test_figures_need_neither_torch_nor_jax():
    code = """
import sys
for blocked in ("torch", "jax", "sympy", "seaborn"):
    sys.modules[blocked] = None
import widelimit.figures as figures
assert "matplotlib" not in sys.modules and "pandas" not in sys.modules
for name in dir(figures):
    getattr(figures, name)
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
