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
PANEL_INCHES = 3.3


def readers_plot(study: dict[str, Any], model: pd.DataFrame | None) -> Figure:
    """One panel a reader: both points, with crosses for their intervals.

    Args:
        study: As `study_readers` gives it.
        model: The model's `label` and `probability`, one row a case; None for none.

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
    """All readers in one panel, numbered in the order of the tables.

    Args:
        study: As `study_readers` gives it.
        model: As in `readers_plot`.
    """
    figure, (axes,) = new_plot((5.2, 6.1), 1, study["synthetic"])
    _prepare(axes, study, model)
    for index in range(len(study["readers"])):
        for condition in study["conditions"]:
            row = study["tables"][condition][index]
            _draw_point(axes, row, condition, crosses=False)
            false, true = _point(row)
            axes.annotate(
                str(index + 1),
                (false, true),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=8,
                zorder=7,
            )
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
        marker="o",
        markersize=7,
        markerfacecolor="white",
        markeredgecolor=COLOURS["image"],
        markeredgewidth=1.6,
        linestyle="none",
        label="model, operating point",
        zorder=4,
        clip_on=False,
    )


def _point(row: dict[str, Any]) -> tuple[float, float]:
    figures = row["figures"]
    return 1 - figures["specificity"]["value"], figures["sensitivity"]["value"]


def _draw_point(
    axes: Axes, row: dict[str, Any], condition: str, *, crosses: bool = True
) -> None:
    false, true = _point(row)
    specificity, sensitivity = (
        row["figures"][name] for name in ("specificity", "sensitivity")
    )
    colour = READER_COLOURS[condition]
    if crosses:
        axes.errorbar(
            false,
            true,
            xerr=[
                [specificity["high"] - specificity["value"]],
                [specificity["value"] - specificity["low"]],
            ],
            yerr=[
                [sensitivity["value"] - sensitivity["low"]],
                [sensitivity["high"] - sensitivity["value"]],
            ],
            color=colour,
            linewidth=1.1,
            linestyle="none",
            capsize=2,
            zorder=4,
        )
    axes.plot(
        false,
        true,
        marker=READER_MARKERS[condition],
        markersize=7,
        markerfacecolor="white" if condition == "without" else colour,
        markeredgecolor=colour,
        markeredgewidth=1.3,
        linestyle="none",
        label=f"reader, {condition} clinical data",
        zorder=6,
        clip_on=False,
    )


def _draw_arrow(axes: Axes, study: dict[str, Any], index: int) -> None:
    """From the point without to the point with clinical data."""
    if len(study["conditions"]) < 2:
        return
    start, end = (
        _point(study["tables"][condition][index]) for condition in ("without", "with")
    )
    if start == end:
        return
    axes.annotate(
        "",
        end,
        xytext=start,
        arrowprops={
            "arrowstyle": "->",
            "color": "0.25",
            "shrinkA": 5,
            "shrinkB": 5,
            "linewidth": 1.1,
        },
        zorder=5,
    )


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(
        once.values(),
        once.keys(),
        loc="outside lower center",
        ncols=2,
        fontsize=7.5,
        frameon=False,
    )
