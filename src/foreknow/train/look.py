"""How figures look and how they say numbers: sizes, colours, axes, words.

Everything is set on the artists: matplotlib's settings are global, and threads and users share them.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from foreknow.errors import TaskError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

HEAVY_TAIL = 6.0  # a range this many times as wide as the middle 90% of the values gets a logarithmic scale
DPI = 144

FONT = "DejaVu Sans"
INK, GREY, EDGE, GRID = "#2b2f36", "#6f7681", "#b8bdc6", "#e6e8ec"
BLUE, ROSE = "#33638d", "#c4576b"
HALO = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
COLORS = ("#332288", "#cc6677", "#44aa99", "#999933", "#88ccee", "#882255", "#117733", "#aa4499")
"""Paul Tol's "muted" hues, which stay apart for colour-blind readers."""


MAX_POINTS = 2_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A named line with the number its legend gives."""

    name: str
    value: float
    x: Floats
    y: Floats


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Keep about 2,000 points of a curve within 0..1, evenly along its length, the ends included."""
    if len(x) <= MAX_POINTS:
        return x, y
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    kept = np.searchsorted(length, np.linspace(0, length[-1], MAX_POINTS))
    kept = np.unique(np.append(kept, [0, len(x) - 1]))
    return x[kept], y[kept]


# Words and numbers.


def class_names(classes: Sequence[str] | None, num_classes: int) -> list[str]:
    """Shorten class names for a figure; a name the font can't write becomes ``class 3``."""
    if classes is None:
        return [f"class {k}" for k in range(num_classes)]
    if len(classes) != num_classes:
        raise TaskError(f"there are {len(classes)} class names for {num_classes} classes")
    names = [" ".join(str(name).split()) or "(empty)" for name in classes]
    names = [name if writable(name) else f"class {k}" for k, name in enumerate(names)]
    short = [shorten(name) for name in names]
    return [f"{k}: {s}" if len(s) < len(names[k]) and short.count(s) > 1 else s for k, s in enumerate(short)]


def shorten(name: str) -> str:
    """Cut a long name in the middle, between words if it has some there."""
    if len(name) <= 34:
        return name
    head, tail = name[:22], name[-12:]
    if " " in head and " " in tail:
        return f"{head.rsplit(maxsplit=1)[0]} … {tail.split(' ', 1)[1]}"
    return f"{head}…{tail[3:]}"


def legible(text: str) -> str:
    """The text with letters the font lacks replaced."""
    return "".join(letter if writable(letter) else "?" for letter in text)


def writable(text: str) -> bool:
    """Whether the font has all letters of a text."""
    return all(ord(letter) in letters() for letter in text)


@lru_cache
def letters() -> frozenset[int]:
    """Code points the font can draw."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(FONT)).get_charmap())


def curves_title(kind: str, fact: str, split: str, curves: Sequence[Curve], output: Floats) -> str:
    """The fact a figure of curves states."""
    if output.ndim == 1:
        return f"{kind}, {split}: {fact} {curves[0].value:.3f}"
    values = [curve.value for curve in curves]
    span = f"{min(values):.3f} to {max(values):.3f}" if len(curves) > 1 else f"{values[0]:.3f}"
    num_classes = output.shape[1]
    over = f"{num_classes} classes" if len(curves) == num_classes else f"{len(curves)} of {num_classes} classes"
    return f"{kind}, {split}: {fact} {span}, {over}"


def curves_width(curves: Sequence[Curve]) -> float:
    """Width of a figure of square axes with room for the legend."""
    longest = max(len(curve.name) for curve in curves)
    return 6.6 + (1.1 + 0.085 * longest if longest else 0.0)


def format_percent(share: float, digits: int | None = None) -> str:
    """Write a share as percent; digits grow towards 0 and 1, and only 1 itself is 100%."""
    percent = 100 * float(share)
    if digits is None:
        digits = 0 if 10 <= percent <= 90 or percent in (0, 100) else 1
    if 0 < percent < 0.1:
        return "<0.1%" if digits else "<1%"
    if 0 < percent < 0.5 and not digits:
        return "<1%"
    if 100 - 0.5 * 10**-digits <= percent < 100:
        return f">{100 - 10**-digits:g}%"
    return f"{percent:.{digits}f}%"


def format_count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def format_result(value: float) -> str:
    """Write the value of a metric or loss."""
    return f"{value:.3f}".replace("-", "−") if 0.001 <= abs(value) < 10 or value == 0 else format_number(value)


def format_number(value: float) -> str:
    """A number for an axis or a sentence."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return text.replace("-", "−")


# Looks.


def new_figure(
    size: tuple[float, float],
    title: str,
    note: str = "",
    *,
    rows: int = 1,
    columns: int = 1,
    height_ratios: Sequence[float] | None = None,
    width_ratios: Sequence[float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Start a figure of panels below a title and a note; `size` (width, height) of the panels, in inches."""
    from matplotlib.figure import Figure

    width = size[0]
    lines = textwrap.wrap(legible(title), int(9.5 * (width - 0.3)))
    notes = textwrap.wrap(legible(note), int(14 * (width - 0.3)))
    below_title = 0.14 + 0.25 * len(lines)
    band = below_title + 0.19 * len(notes) + 0.1
    height = size[1] + band
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - band / height), w_pad=0.1, h_pad=0.08, wspace=0.05)
    place: dict[str, Any] = {"x": 0.14 / width, "ha": "left", "va": "top"}
    text: dict[str, Any] = {"fontfamily": FONT, "parse_math": False, **place}
    head = figure.suptitle("\n".join(lines), y=1 - 0.14 / height, fontsize=13, fontweight="bold", color=INK, **text)
    head.set_in_layout(False)
    if notes:
        body = figure.text(y=1 - below_title / height, s="\n".join(notes), fontsize=9.5, color=GREY, **text)
        body.set_in_layout(False)
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=sharex,
        sharey=sharey,
        height_ratios=height_ratios,
        width_ratios=width_ratios,
    )
    return figure, list(panels.flat)


def dress(axes: Axes, x_label: str, y_label: str) -> None:
    """Labels, spines and grid."""
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(EDGE)
    axes.grid(True, color=GRID, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9.5, labelcolor=INK, labelfontfamily=FONT, pad=5)
    for label, text in ((axes.xaxis.label, x_label), (axes.yaxis.label, y_label)):
        label.set(text=legible(text), fontsize=10.5, color=INK, fontfamily=FONT, parse_math=False)


def reference_style(**changes: Any) -> dict[str, Any]:
    """Look of a line that the data are compared with."""
    return {"color": GREY, "linewidth": 1.3, "linestyle": (0, (4, 3)), "zorder": 1.5, **changes}


def name_diagonal(axes: Axes, at: float, name: str) -> None:
    """Write below the diagonal, along it whatever the shape of the axes."""
    from matplotlib.transforms import ScaledTranslation

    away = ScaledTranslation(3 / 72, -3 / 72, axes.figure.dpi_scale_trans)
    turn: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True}
    write_text(axes, at, at, name, color=GREY, ha="center", va="top", transform=axes.transData + away, **turn)


def write_text(axes: Axes, x: float, y: float, s: str, **style: Any) -> None:
    """Text in the house font, never read as formula."""
    look: dict[str, Any] = {"fontsize": 10, "fontfamily": FONT, "parse_math": False, "color": INK}
    axes.text(x, y, s, **look | style)


def draw_dot(axes: Axes, x: float, y: float) -> None:
    """Mark a point of a curve."""
    if math.isfinite(y):
        axes.plot([x], [y], color=ROSE, marker="o", markersize=9, markeredgecolor="white", linestyle="", zorder=4)


def say_beyond(axes: Axes, num_rows: int) -> None:
    """Say how many rows lie outside of what is shown."""
    if num_rows:
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 9}
        write_text(axes, 0.99, 0.97, f"{format_count(num_rows, 'row')} beyond", color=GREY, **place)


def draw_curves(axes: Axes, curves: Sequence[Curve], drawstyle: Literal["default", "steps-pre"]) -> None:
    """Draw curves into the unit square; named ones get a legend with their values, the highest first."""
    for i in sorted(range(len(curves)), key=lambda i: -curves[i].value):
        curve = curves[i]
        style: dict[str, Any] = {"color": BLUE, "label": "model"}
        if curve.name:  # the value comes first: matplotlib hides labels that begin with an underscore
            style = {"color": COLORS[i], "linestyle": ("-", (0, (5, 1.5)))[i % 2]}
            style["label"] = f"{curve.value:.3f}  {curve.name}"
        axes.plot(*thin(curve.x, curve.y), drawstyle=drawstyle, linewidth=2.2, solid_capstyle="round", **style)
    if curves[0].name:
        lines = [line for line in axes.lines if str(line.get_label())[:1].isdigit()]
        font = {"family": FONT, "size": 10}
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False}
        legend = axes.legend(handles=lines, prop=font, labelcolor=INK, handlelength=2.4, labelspacing=0.8, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", anchor="W")


def label_ends(axes: Axes, epochs: Floats, lines: Mapping[str, tuple[Floats, str]]) -> None:
    """Name each line beside its last point, the names apart from each other."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = []
    for name, (values, color) in lines.items():
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            ends.append((float(values[known[-1]]), float(epochs[known[-1]]), name, color))
    ends.sort()
    gap = 0.06 * (high - low)
    push = max(0.0, gap - (ends[-1][0] - ends[0][0])) / 2 if len(ends) == 2 else 0.0
    for i, (y, x, name, color) in enumerate(ends):
        place: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(name, (x, y + (2 * i - 1) * push), color=color, fontsize=10, fontfamily=FONT, **place)


def scale_axis(axes: Axes, which: Literal["x", "y"], values: Floats) -> tuple[float, float]:
    """Set scale and limits of an axis for values, logarithmic if they are heavy-tailed; return the limits."""
    from matplotlib.ticker import SymmetricalLogLocator

    axis = axis_of(axes, which)
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    low, q05, q95, high = (float(q) for q in np.quantile(values, [0, 0.05, 0.95, 1]))
    if high - low > HEAVY_TAIL * (q95 - q05):
        smallest = float(np.quantile(np.abs(values[values != 0]), 0.1))
        linthresh = 10.0 ** math.floor(math.log10(smallest))
        set_scale("symlog", linthresh=linthresh, linscale=0.5)
        locator = SymmetricalLogLocator(base=10, linthresh=linthresh)
        locator.set_params(numticks=7)
        axis.set_major_locator(locator)
    else:
        set_scale("linear")
    transform = axis.get_transform()
    start, end = transform.transform(np.array([low, high]))
    pad = 0.03 * (end - start) or 0.5 * max(1.0, abs(start))
    low, high = (float(v) for v in transform.inverted().transform(np.array([start - pad, end + pad])))
    set_limits(low, high)
    number_axis(axes, which)
    return low, high


def draw_cloud(figure: Figure, axes: Axes, x: Floats, y: Floats) -> None:
    """Draw points, or the density of many, into the scales and limits the axes have."""
    if len(x) <= MAX_POINTS:
        axes.scatter(x, y, s=20, color=BLUE, alpha=0.35, linewidths=0)
        return
    from matplotlib.colors import LogNorm

    edges = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        transform = axis.get_transform()
        start, end = transform.transform(np.array(limits))
        edges.append(transform.inverted().transform(np.linspace(start, end, 81)))
    counts, _, _ = np.histogram2d(x, y, bins=edges)
    most = max(2, int(counts.max()))
    norm = LogNorm(vmin=1, vmax=most)
    mesh = axes.pcolormesh(*edges, np.ma.masked_equal(counts.T, 0), cmap=blues("#c9dbe9"), norm=norm)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.45, aspect=16, pad=0.02, anchor=(0, 1))
    bar.ax.spines["outline"].set_visible(False)
    bar.ax.tick_params(which="both", length=0, labelsize=9, labelcolor=GREY, labelfontfamily=FONT)
    ticks = [10**k for k in range(len(str(most)))]
    ticks += [most] if most >= 3 * ticks[-1] or len(ticks) == 1 else []
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.set_xlabel("rows", fontsize=9.5, color=GREY, fontfamily=FONT, labelpad=7)


def blues(first: str = "#f3f6f9") -> Colormap:
    """From almost white to dark blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("foreknow", [first, "#9dbcd6", BLUE, "#173650"])


def axis_of(axes: Axes, which: Literal["x", "y"]) -> Axis:
    """One of the two axes."""
    return axes.xaxis if which == "x" else axes.yaxis


def percent_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Shares as percent."""
    axis_of(axes, which).set_major_formatter(lambda value, _: f"{100 * value:.6g}%")


def number_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Plain numbers, thousands separated."""
    axis_of(axes, which).set_major_formatter(lambda value, _: f"{value:,.10g}".replace("-", "−"))


def whole_axis(axes: Axes, which: Literal["x", "y"], num_ticks: int = 5) -> None:
    """Whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis_of(axes, which).set_major_locator(MaxNLocator(nbins=num_ticks, integer=True, min_n_ticks=1))
    axis_of(axes, which).set_major_formatter(lambda value, _: f"{value:,.0f}")
