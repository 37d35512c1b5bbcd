"""Contact sheets: many overlays at a glance, sorted by what the reader looks for."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from usgland.evaluation.shown.names import WORDS
from usgland.evaluation.shown.plot_frame import BAND_INCHES, mark_synthetic, new_plot
from usgland.explanation.choices import COLOURS
from usgland.explanation.pictures import (
    BRIGHTEST,
    MAP_LINE,
    MASK_LINE,
    OUTLINE_LEVEL,
    Case,
    draw_outline,
    meaning,
    overlay_of,
    shown_map,
)

COLUMNS = 6
MOST = 24  # overlays of a sheet
CELL = (1.75, 1.75)  # inches
SIDE = 420  # pixels of an overlay on a sheet, its longer side
BOTTOM = 0.75  # inches for the legend
ORDERS = {
    "error": "greatest error first",
    "confidence": "most confident first",
    "class": "benign, then malignant; each by P(malignant)",
}


def sort_cases(cases: Sequence[Case], order: str) -> list[Case]:
    """The cases of a sheet.

    Args:
        cases: All of them.
        order: `"error"`: by the distance of P(malignant) from the label, those without
            one left out; `"confidence"`: by its distance from one half; `"class"`: half
            of the sheet for each label.
    """
    if order == "error":
        known = [case for case in cases if case.label in (0, 1)]
        known.sort(key=lambda case: -abs(case.probability - case.label))
        return known[:MOST]
    if order == "confidence":
        return sorted(cases, key=lambda case: -abs(case.probability - 0.5))[:MOST]
    chosen = []
    for label in (0, 1):
        same = [case for case in cases if case.label == label]
        same.sort(key=lambda case: case.probability)
        # They are spread over the whole range, not the first few.
        picked = np.linspace(0, len(same) - 1, min(len(same), MOST // 2))
        chosen += [same[int(number)] for number in picked.round()]
    return chosen


def sheet_plot(
    cases: Sequence[Case], *, order: str, method: str, label: str, colours: str
) -> Figure:
    """One contact sheet of cases as `sort_cases` gives them."""
    rows = -(-len(cases) // COLUMNS)
    synthetic = any(case.synthetic for case in cases)
    size = (COLUMNS * CELL[0], rows * (CELL[1] + 0.3) + BOTTOM + 0.3)
    figure, (whole,) = new_plot(size, 1, synthetic)
    figure.delaxes(whole)
    figure.set_layout_engine("none")
    total = size[1] + (BAND_INCHES if synthetic else 0.0)
    for number, case in enumerate(cases):
        row, column = divmod(number, COLUMNS)
        bottom = BOTTOM + (rows - 1 - row) * (CELL[1] + 0.3)
        axes = figure.add_axes(
            (
                (column + 0.03) / COLUMNS,
                bottom / total,
                0.94 / COLUMNS,
                CELL[1] / total,
            ),
            label=f"case{number}",
        )
        _draw_cell(axes, case, method, colours)
    figure.text(
        0.005,
        (size[1] - 0.2) / total,
        f"{method}, {meaning(method, label)}: {len(cases)} images, {ORDERS[order]}",
        fontsize=10,
    )
    _draw_legend(figure, total, meaning(method, label), colours)
    return figure


def _draw_cell(axes: Axes, case: Case, method: str, colours: str) -> None:
    scale = SIDE / max(case.grey.shape)
    overlay = _resize(overlay_of(case, method, colours), scale)
    axes.imshow(overlay, interpolation="nearest")
    strong = _resize(shown_map(case.map, method), scale) >= OUTLINE_LEVEL
    if method not in BRIGHTEST:
        draw_outline(axes, strong, MAP_LINE, "--", 0.8)
    if case.mask is not None:
        mask = _resize(case.mask.astype("float32"), scale) >= 0.5
        draw_outline(axes, mask, MASK_LINE, "-", 0.8)
    axes.set_axis_off()
    axes.set_anchor("N")
    word = WORDS[case.label] if case.label in (0, 1) else "unknown"
    name = case.image if len(case.image) < 24 else f"…{case.image[-22:]}"
    axes.set_title(f"{name}\n{word}, P = {case.probability:.3f}", fontsize=6.5, pad=2)
    if case.synthetic:
        mark_synthetic(axes, fontsize=13, alpha=0.3)


def _resize(values: np.ndarray, scale: float) -> np.ndarray:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(
        values.astype("float32"), None, fx=scale, fy=scale, interpolation=method
    )
    return np.clip(resized, 0, 1)


def _draw_legend(figure: Figure, total: float, what: str, colours: str) -> None:
    scale = figure.add_axes((0.02, 0.4 / total, 0.35, 0.12 / total), label="scale")
    scale.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS[colours], aspect="auto")
    scale.set_yticks([])
    scale.set_xticks([0, 128, 255], ["0", "0.5", "1"])
    scale.tick_params(labelsize=7, length=2, pad=1)
    scale.set_xlabel(
        f"{what}, 1 = the strongest pixel of each padded image",
        fontsize=7,
        labelpad=1,
    )
    keys = [
        Line2D([], [], color=MAP_LINE, linestyle="--", label=f"map at {OUTLINE_LEVEL}"),
        Line2D([], [], color=MASK_LINE, label="lesion mask, where there is one"),
    ]
    figure.legend(
        handles=keys,
        loc="lower left",
        bbox_to_anchor=(0.42, 0.2 / total),
        fontsize=7.5,
        ncols=2,
        facecolor="0.35",
        labelcolor="white",
        framealpha=1,
    )
