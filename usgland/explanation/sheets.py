"""Contact sheets: many overlays at a glance, sorted by what the reader looks for."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usgland.evaluation.shown.names import WORDS
from usgland.evaluation.shown.plot_frame import BAND_INCHES, mark_synthetic, new_plot
from usgland.explanation import pictures
from usgland.explanation.pictures import Case

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

    The order `"error"` is by the distance of P(malignant) from the label, those without
    one left out; `"confidence"` by its distance from one half; `"class"` has half of
    the sheet for each label.
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
        left, width = (column + 0.03) / COLUMNS, 0.94 / COLUMNS
        place = (left, bottom / total, width, CELL[1] / total)
        axes = figure.add_axes(place, label=f"case{number}")
        _draw_cell(axes, case, method, colours)
    meaning = pictures.meaning(method, label)
    title = f"{method}, {meaning}: {len(cases)} images, {ORDERS[order]}"
    figure.text(0.005, (size[1] - 0.2) / total, title, fontsize=10)
    pictures.draw_legend(
        figure,
        (0.02, 0.4 / total, 0.35, 0.12 / total),
        (0.42, 0.2 / total),
        pictures.legend_keys(
            "lesion mask, where there is one",
            "lesion the model found"
            if any(case.lesion is not None for case in cases)
            else "",
        ),
        text=pictures.scale_text(method, label, "each padded image"),
        colours=colours,
        tick=2,
        fontsizes=(7, 7.5),
    )
    return figure


def _draw_cell(axes: Axes, case: Case, method: str, colours: str) -> None:
    scale = SIDE / max(case.grey.shape)
    overlay = _resize(pictures.overlay_of(case, method, colours), scale)
    axes.imshow(overlay, interpolation="nearest")
    if method not in pictures.BRIGHTEST:
        shown = _resize(pictures.shown_map(case.map, method), scale)
        strong = shown >= pictures.OUTLINE_LEVEL
        pictures.draw_outline(axes, strong, pictures.MAP_LINE, "--", 0.8)
    if case.mask is not None:
        mask = _resize(case.mask.astype("float32"), scale) >= 0.5
        pictures.draw_outline(axes, mask, pictures.MASK_LINE, "-", 0.8)
    pictures.draw_lesion(axes, case, 0.8, scale)
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
