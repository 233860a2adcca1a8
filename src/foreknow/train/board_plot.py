"""The scoreboard as a figure: every model's metric with its interval, validation beside test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foreknow.train.look import BLUE, GREY, dress, legible, new_figure, number_axis, reference_style
from foreknow.train.scoreboard import NETWORK, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["scoreboard_figure"]


def scoreboard_figure(rows: Sequence[Row], metric: str, verdict: str) -> Figure:
    """Draw a dot and a 95% interval per model.

    Args:
        rows: The scoreboard; the network's row is set apart by colour and a line.
        metric: Plain name of the metric to show.
        verdict: The title's sentence.
    """
    splits = [("validation", "val"), ("test", "test")]
    shown = [(n, k) for n, k in splits if any(math.isfinite(getattr(r, k).get(metric, math.nan)) for r in rows)]
    figure, panels = new_figure(
        (11.4 if len(shown) > 1 else 8.4, 0.9 + 0.38 * len(rows)),
        verdict or "Scoreboard",
        f"{metric} of every model on the same rows; lines are 95% intervals (bootstrap over rows)",
        columns=max(len(shown), 1),
        sharey=True,
    )
    for axes, (name, key) in zip(panels, shown, strict=False):
        dress(axes, f"{metric} on {name}", "")
        for y, row in enumerate(reversed(rows)):
            value, interval = getattr(row, key).get(metric, math.nan), getattr(row, f"{key}_interval")
            colour = BLUE if row.model == NETWORK else GREY
            if interval is not None:
                axes.plot(interval, [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
            if math.isfinite(value):
                axes.plot([value], [y], color=colour, marker="o", markersize=8, markeredgecolor="white")
                if row.model == NETWORK:
                    axes.axvline(value, **reference_style())
        axes.set_yticks(range(len(rows)), [legible(r.model) for r in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        number_axis(axes, "x")
    return figure
