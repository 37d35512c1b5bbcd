"""Readers as points on the model's ROC curve, without and with clinical data.

The conditions differ in marker and fill as well as in colour, and a line ties the two
of a reader: the figure is read in grey, too.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usgland.evaluation.shown.plot_frame import COLOURS, new_plot
from usgland.evaluation.shown.text import format_number
from usgland.evaluation.statistics.roc_curves import roc_points
from usgland.evaluation.statistics.scores import score

# Okabe and Ito's bluish green and vermilion; a cross and a filled square.
READER_COLOURS = {"without": "#009E73", "with": "#D55E00"}
READER_MARKERS = {"without": "X", "with": "s"}
# What all points share.
MARKER: dict[str, Any] = {"markersize": 7, "linestyle": "none", "clip_on": False}
PANEL_INCHES = 3.3


def readers_plot(study: dict[str, Any], model: pd.DataFrame | None) -> Figure:
    """One panel a reader: both points, with crosses for their intervals.

    The model has its `label` and `probability`, one row a case.

    Reference:
        Figure 4A to C of the paper.
    """
    readers = study["readers"]
    size = (PANEL_INCHES * len(readers), PANEL_INCHES + 0.9)
    figure, panels = new_plot(size, len(readers), study["synthetic"])
    for index, (axes, reader) in enumerate(zip(panels, readers, strict=True)):
        _prepare(axes, study, model)
        for condition in study["conditions"]:
            _draw_point(axes, study["tables"][condition][index], condition)
        _draw_arrow(axes, study, index)
        axes.set_title(reader, fontsize=10)
    _legend(figure, panels[0])
    return figure


def overview_plot(study: dict[str, Any], model: pd.DataFrame | None) -> Figure:
    """All readers in one panel, numbered in the order of the tables."""
    figure, (axes,) = new_plot((5.2, 6.1), 1, study["synthetic"])
    _prepare(axes, study, model)
    for index in range(len(study["readers"])):
        for condition in study["conditions"]:
            row = study["tables"][condition][index]
            _draw_point(axes, row, condition, crosses=False)
            place: Any = {"xytext": (6, 5), "textcoords": "offset points", "zorder": 7}
            axes.annotate(str(index + 1), _point(row), fontsize=8, **place)
        _draw_arrow(axes, study, index)
    names = ", ".join(f"{i + 1} {name}" for i, name in enumerate(study["readers"]))
    axes.set_title(f"Readers: {names}", fontsize=9, wrap=True)
    _legend(figure, axes)
    return figure


def _prepare(axes: Axes, study: dict[str, Any], model: pd.DataFrame | None) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
    axes.set_aspect("equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel("1 − specificity", fontsize=9)  # noqa: RUF001
    axes.set_ylabel("Sensitivity", fontsize=9)
    if model is None:
        return
    about = study["model"]
    labels, probabilities = model["label"], model["probability"]
    area = score(labels, probabilities, 0.5)["roc_auc"]
    false, true, _ = roc_points(labels, probabilities)
    text = f"model, {about['n']} {about['unit']}s: AUC {format_number(area)}"
    axes.plot(false, true, color=COLOURS["image"], linewidth=1.4, label=text)
    row = study["tables"][study["conditions"][0]][-1]  # the model stands last
    axes.plot(
        *_point(row),
        **MARKER | {"markeredgewidth": 1.6, "zorder": 4},
        marker="o",
        markerfacecolor="white",
        markeredgecolor=COLOURS["image"],
        label="model, operating point",
    )


def _point(row: dict[str, Any]) -> tuple[float, float]:
    figures = row["figures"]
    return 1 - figures["specificity"]["value"], figures["sensitivity"]["value"]


def _draw_point(
    axes: Axes, row: dict[str, Any], condition: str, *, crosses: bool = True
) -> None:
    colour = READER_COLOURS[condition]
    if crosses:
        low_x, high_x = _reach(row["figures"]["specificity"])
        axes.errorbar(
            *_point(row),
            xerr=[high_x, low_x],  # 1 - specificity
            yerr=_reach(row["figures"]["sensitivity"]),
            color=colour,
            linewidth=1.1,
            linestyle="none",
            capsize=2,
            zorder=4,
        )
    axes.plot(
        *_point(row),
        **MARKER | {"markeredgewidth": 1.3, "zorder": 6},
        marker=READER_MARKERS[condition],
        markerfacecolor="white" if condition == "without" else colour,
        markeredgecolor=colour,
        label=f"reader, {condition} clinical data",
    )


def _reach(measure: dict[str, Any]) -> tuple[list[float], list[float]]:
    """How far its interval goes below and above the value."""
    value = measure["value"]
    return [value - measure["low"]], [measure["high"] - value]


def _draw_arrow(axes: Axes, study: dict[str, Any], index: int) -> None:
    """From the point without to the point with clinical data."""
    if len(study["conditions"]) < 2:
        return
    start, end = (_point(study["tables"][key][index]) for key in ("without", "with"))
    if start != end:
        arrow = {"arrowstyle": "->", "color": "0.25", "linewidth": 1.1}
        arrow |= {"shrinkA": 5, "shrinkB": 5}
        axes.annotate("", end, xytext=start, arrowprops=arrow, zorder=5)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    place: Any = {"loc": "outside lower center", "ncols": 2, "fontsize": 7.5}
    figure.legend(once.values(), once.keys(), frameon=False, **place)
