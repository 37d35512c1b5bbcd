"""Plots of a run: ROC curve, confusion matrix, and the curves of training.

Made with matplotlib's objects alone, without pyplot: no state outlives a figure.
Units differ in line style and marker as well as in colour, for readers who see no
colours and for print in grey.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.shown.names import UNITS, WORDS
from usgland.evaluation.shown.plot_frame import COLOURS, MARKERS, STYLES, new_plot
from usgland.evaluation.shown.text import format_measure, format_percent
from usgland.evaluation.statistics.roc_curves import roc_band, roc_points
from usgland.table_files import ROW, is_missing, raise_problems, read_table

BAND_RESAMPLES = 1000
HISTORY_COLUMNS = ("epoch", "loss", "accuracy")
VALIDATED = ("val_loss", "val_accuracy")  # of a run that holds a part back


def roc_plot(rows: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """ROC curves of `metrics_of` rows, each unit with its operating point."""
    figure, (axes,) = new_plot((5.2, 5.3), 1, metrics["synthetic"])
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
    patients = patient_predictions(rows)
    _draw_band(axes, patients, metrics)
    for unit, cases in zip(UNITS, (rows, patients), strict=True):
        _draw_roc(axes, unit, cases, metrics[unit])
    axes.set_aspect("equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel("1 − specificity")  # noqa: RUF001
    axes.set_ylabel("Sensitivity")
    axes.set_title(f"ROC curve, role {metrics['role']}", fontsize=11)
    level = format_percent(metrics["confidence_level"])
    axes.legend(
        loc="lower right",
        fontsize=8,
        title=f"AUC with {level} interval; marker: operating point; shaded:\n"
        f"{level} of the sensitivity per patient at each specificity",
        title_fontsize=7.5,
        framealpha=0.9,
    )
    return figure


def confusion_plot(metrics: dict[str, Any]) -> Figure:
    """Confusion matrices side by side: counts, and shares of each label in percent.

    Reference:
        Figure 4D of the paper.
    """
    figure, both = new_plot((7.2, 4.3), 2, metrics["synthetic"])
    for axes, unit in zip(both, UNITS, strict=True):
        _draw_confusion(axes, np.array(metrics[unit]["confusion"]))
        axes.set_title(f"per {unit}, n = {metrics[unit]['n']}", fontsize=11)
    figure.supxlabel(
        f"Role {metrics['role']}. Counts, and percent of the label (row).", fontsize=8
    )
    return figure


def history_plot(
    history: pd.DataFrame, *, synthetic: bool, kept_epoch: int | None = None
) -> Figure:
    """Loss and accuracy of training and, if there is any, validation, by epoch.

    Epochs count from 0 in `history`, and in `kept_epoch`, whose weights were kept.

    Reference:
        Figure 5 of the paper.
    """
    figure, both = new_plot((7.6, 3.6), 2, synthetic)
    epochs = history["epoch"] + 1
    # A dot where one epoch makes no line.
    marker = "o" if len(history) == 1 else None
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        for column, label, unit in (
            (name, "training", "image"),
            (f"val_{name}", "validation", "patient"),
        ):
            if column not in history:
                continue
            look: dict[str, Any] = {"color": COLOURS[unit], "linestyle": STYLES[unit]}
            axes.plot(epochs, history[column], label=label, marker=marker, **look)
        if kept_epoch is not None:
            label = f"kept: epoch {kept_epoch + 1}"
            axes.axvline(kept_epoch + 1, color="0.4", lw=0.9, ls=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
        axes.set(xlabel="Epoch", ylabel=f"{name.capitalize()} per image")
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend(fontsize=8)
    both[0].set_ylim(bottom=0)
    return figure


def read_history(path: Path) -> pd.DataFrame:
    """Reads history.csv: one row an epoch; errors if rows, columns or numbers lack."""
    rows = read_table(path)
    validated = VALIDATED if set(VALIDATED) & set(rows) else ()
    names = (*HISTORY_COLUMNS, *validated)
    missing = [name for name in names if name not in rows]
    if missing or rows.empty:
        received = f"a file without {', '.join(missing)}" if missing else "no epochs"
        raise UserError(
            f"{path}: expected one row an epoch with {', '.join(names)}. "
            f"Received: {received}"
        )
    history = rows.drop(columns=ROW).apply(pd.to_numeric, errors="coerce")
    raise_problems(
        str(path),
        [
            (row, f"`{name}`: expected a number. Received: {cell!r}")
            for name in names
            for row, cell, number in zip(
                rows[ROW], rows[name], history[name], strict=True
            )
            if np.isnan(number) and not is_missing(cell)
        ],
    )
    return history


def _draw_band(axes: Axes, patients: pd.DataFrame, metrics: dict[str, Any]) -> None:
    part = metrics["patient"]
    if not part["n_benign"] or not part["n_malignant"]:
        return
    cases = (patients[name] for name in ("label", "probability", "patient_id"))
    level = metrics["confidence_level"]
    rates, low, high = roc_band(*cases, resamples=BAND_RESAMPLES, level=level, seed=0)
    # The edge, as a shade alone is lost on a bad printer.
    axes.fill_between(rates, low, high, facecolor="0.88", edgecolor="0.6", lw=0.7)


def _draw_roc(axes: Axes, unit: str, cases: pd.DataFrame, part: dict[str, Any]) -> None:
    auc = format_measure(part["figures"]["roc_auc"])
    text = f"per {unit} (n = {part['n']}): {auc}"
    colour = COLOURS[unit]
    if not part["n_benign"] or not part["n_malignant"]:
        axes.plot([], [], color=colour, linestyle=STYLES[unit], label=text)
        return
    false, true, _ = roc_points(cases["label"], cases["probability"])
    axes.plot(false, true, color=colour, linestyle=STYLES[unit], label=text)
    point = part["figures"]
    axes.plot(
        1 - point["specificity"]["value"],
        point["sensitivity"]["value"],
        marker=MARKERS[unit],
        markersize=8,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=1.8,
        linestyle="none",
        clip_on=False,
        zorder=4,
    )


def _draw_confusion(axes: Axes, counts: np.ndarray) -> None:
    """One matrix: rows are labels, columns what they were called."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(
        counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0
    )
    axes.imshow(
        np.nan_to_num(shares), cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="equal"
    )
    for (row, column), share in np.ndenumerate(shares):
        percent = "no cases" if np.isnan(share) else format_percent(share, 1)
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{percent}",
            ha="center",
            va="center",
            fontsize=13,
            color="white" if share > 0.55 else "black",
            zorder=6,
        )
    axes.set_xticks([0, 1], [f"called\n{word}" for word in WORDS])
    axes.set_yticks([0, 1], WORDS, rotation=90, va="center")
    axes.set_ylabel("Label")
