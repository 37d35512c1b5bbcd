"""Plots of calibration, net benefit and subgroups; `plot_frame` gives their look."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.plot_frame import COLOURS, MARKERS, STYLES, new_plot
from usgland.evaluation.shown.text import format_measure, format_number, format_percent

ROW_INCHES = 0.34  # of a group in the plot of subgroups
# Of the axis of net benefit, in heights of the curve; the legend stands above it.
LOW, HIGH = 0.12, 1.75


def reliability_plot(metrics: dict[str, Any]) -> Figure:
    """Share of malignant cases against the mean probability, bin by bin."""
    figure, both = new_plot((8.2, 4.5), 2, metrics["synthetic"])
    level = format_percent(metrics["confidence_level"])
    for axes, unit in zip(both, UNITS, strict=True):
        part = metrics["calibration"][unit]
        error = part["ece_equal_count"]
        axes.plot([0, 1], [0, 1], color="0.5", linewidth=0.9, linestyle=":")
        _draw_smooth(axes, part.get("smooth", {}).get("curve", []))
        _draw_bins(axes, unit, part["curve"])
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set_xlabel("Mean P(malignant)")
        axes.set_ylabel("Share of malignant cases")
        axes.set_title(f"per {unit}, n = {part['n']}", fontsize=11)
        axes.text(
            0.03,
            0.97,
            f"{_bins_text(part['curve'])}\n"
            f"slope {format_measure(part['slope'])}\n"
            f"in the large {format_measure(part['intercept_in_the_large'])}\n"
            f"ECE {format_number(error['value'])}, by chance "
            f"{format_number(error['if_calibrated'])}",
            transform=axes.transAxes,
            fontsize=7.5,
            va="top",
            zorder=8,
            bbox={"facecolor": "white", "edgecolor": "0.8", "alpha": 0.85},
        )
    figure.supxlabel(
        f"Role {metrics['role']}. Bins of equal numbers of cases; bars: {level} Wilson "
        "intervals. Grey: spline of the logit with its band.",
        fontsize=8,
    )
    return figure


def decision_curve_plot(metrics: dict[str, Any], curves: dict[str, Any]) -> Figure:
    """Net benefit of the model, of acting on all and on none, per image and patient.

    `curves` are unit -> what `decision_curve` gives.
    """
    figure, both = new_plot((8.2, 4.6), 2, metrics["synthetic"])
    level = format_percent(metrics["confidence_level"])
    for axes, unit in zip(both, UNITS, strict=True):
        curve = curves[unit]
        threshold = np.array(curve["threshold"])
        low, high = (np.array(curve[name], "float64") for name in ("low", "high"))
        colour = COLOURS[unit]
        axes.fill_between(
            threshold, low, high, color=colour, alpha=0.2, linewidth=0,
            label=f"{level} band",
        )  # fmt: skip
        axes.plot(threshold, curve["model"], color=colour, label="by the model")
        for who, style in (("all", "--"), ("none", ":")):
            act = curve[f"treat_{who}"]
            axes.plot(threshold, act, color="0.25", linestyle=style, label=who)
        known = [value for value in curve["model"] if value == value]
        top = max(curve["prevalence"], 0.01, *known)
        axes.set(xlim=(0, 1), ylim=(-LOW * top, HIGH * top))
        axes.set_xlabel("Threshold on P(malignant) to act")
        axes.set_ylabel("Net benefit, true positives a case")
        axes.set_title(
            f"per {unit}, n = {curve['n']}, prevalence {curve['prevalence']:.3g}",
            fontsize=10,
        )
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend(
            fontsize=8, title="act on", title_fontsize=8, ncols=2, loc="upper right"
        )
    what = "given" if curves["patient"]["given"] else "that of the cases here"
    figure.supxlabel(f"Role {metrics['role']}. The prevalence is {what}.", fontsize=8)
    return figure


def subgroup_plot(metrics: dict[str, Any], column: str) -> Figure:
    """Measures of each group of a column with their intervals, per patient."""
    groups = metrics["subgroups"][column]["patient"]["groups"]
    names = tuple(groups[0]["figures"])
    height = 1.6 + ROW_INCHES * len(groups)
    figure, panels = new_plot((9.2, height), len(names), metrics["synthetic"])
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        for row, group in enumerate(groups):
            _draw_row(axes, row, group["figures"][name], group["small"])
        axes.set(xlim=(-0.03, 1.03), ylim=(len(groups) - 0.5, -0.5))
        labels = [
            f"{g['group']} ({g['n_benign']} + {g['n_malignant']})" for g in groups
        ]
        axes.set_yticks(range(len(groups)), [""] * len(groups) if number else labels)
        axes.set_title(NAMES[name], fontsize=10)
        axes.grid(axis="x", color="0.9", linewidth=0.6)
    level = format_percent(metrics["confidence_level"])
    figure.supxlabel(
        f"{column}, role {metrics['role']}, per patient (benign + malignant); {level} "
        f"intervals. Hollow: fewer than {metrics['subgroups'][column]['small_below']} "
        "patients of a label.",
        fontsize=8,
    )
    return figure


def _draw_smooth(axes: Axes, curve: list[dict[str, Any]]) -> None:
    """The curve without bins and its band, behind the bins."""
    if not curve or curve[0]["share"] is None or curve[0]["share"] != curve[0]["share"]:
        return
    points = pd.DataFrame(curve).astype("float64")
    x = points["probability"]
    axes.fill_between(x, points["low"], points["high"], color="0.85", linewidth=0)
    axes.plot(x, points["share"], color="0.45", linewidth=1.1)


def _draw_bins(axes: Axes, unit: str, curve: list[dict[str, Any]]) -> None:
    bins = pd.DataFrame(curve)
    below, above = bins["share"] - bins["low"], bins["high"] - bins["share"]
    axes.errorbar(
        bins["mean_probability"],
        bins["share"],
        yerr=np.maximum([below, above], 0),
        color=COLOURS[unit],
        linestyle=STYLES[unit],
        marker=MARKERS[unit],
        linewidth=1.2,
        capsize=2.5,
    )


def _bins_text(curve: list[dict[str, Any]]) -> str:
    """How many cases the bins hold: their points may lie too close for labels."""
    counts = sorted({part["n"] for part in curve})
    several = f" to {counts[-1]}" if len(counts) > 1 else ""
    return f"{len(curve)} bins of {counts[0]}{several} cases"


def _draw_row(axes: Axes, row: int, measure: dict[str, Any], small: bool) -> None:
    value, low, high = (measure[key] for key in ("value", "low", "high"))
    if value is None or value != value:
        axes.text(0.5, row, "undefined", ha="center", va="center", fontsize=8)
        return
    if low is not None and low == low:
        axes.plot([low, high], [row, row], color=COLOURS["patient"], linewidth=1.4)
    axes.plot(
        value,
        row,
        marker=MARKERS["patient"],
        markersize=6,
        markeredgecolor=COLOURS["patient"],
        markerfacecolor="white" if small else COLOURS["patient"],
        linestyle="none",
        zorder=6,
        clip_on=False,
    )
