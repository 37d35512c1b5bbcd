"""A case as a picture: the image, the map over it, the map alone, and a legend.

Every panel shows the original at its original size, one pixel of the file for one of
the image (small images: a whole number of pixels).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.textpath import TextPath

from usgland.evaluation.shown.names import WORDS
from usgland.evaluation.shown.plot_frame import BAND_INCHES, DPI, new_plot
from usgland.explanation.choices import COLOURS, LESION

OUTLINE_LEVEL = 0.5  # of the strongest pixel: where the map's outline is drawn
OPACITY = 0.45
SMALLEST_PANEL = 480  # pixels; smaller images are enlarged by a whole number
# A gradient has single pixels far above the rest, which would leave the map dark.
BRIGHTEST = {"smoothgrad": 99.0}  # percentile of the map that is shown as the top
MARGIN, TITLE, LEGEND = 0.08, 0.42, 0.62  # inches
BAR_FONT = 4.5  # points, of the values of the form
MAP_LINE, MASK_LINE, FOUND_LINE = "white", "#00FFFF", "#FF4FD8"


class Case(NamedTuple):
    """What is drawn of one image.

    Attributes:
        image: Its name in the manifest.
        label: 0 benign, 1 malignant, -1 unknown.
        probability: P(malignant).
        grey: Uint8 `(height, width)`.
        map: Float32 `(height, width)` in [0, 1].
        mask: Bool `(height, width)`, or None.
        synthetic: Whether it is a phantom.
        lesion: x and y of the upper left corner, width and height of the lesion that
            the model found, pixels; None where it found none, or does not look for one.
        lesion_found: How sure it is of one, in [0, 1]; None where it does not look.
        contributions: Value of the form, e.g. `age: 57 years` -> what it adds to the
            logit; or None.
    """

    image: str
    label: int
    probability: float
    grey: np.ndarray
    map: np.ndarray
    mask: np.ndarray | None
    synthetic: bool
    contributions: Mapping[str, float] | None = None
    lesion: Sequence[float] | None = None
    lesion_found: float | None = None


def case_plot(case: Case, *, method: str, label: str, colours: str) -> Figure:
    """The picture of one case; its map is evidence for the label."""
    height, width = case.grey.shape
    enlarged = max(1, -(-SMALLEST_PANEL // width))
    panel = (width * enlarged / DPI, height * enlarged / DPI)
    width_inches = 3 * panel[0] + 4 * MARGIN
    names = 0.0  # inches left of the bars
    if case.contributions is not None:
        names = max(map(_inches, case.contributions)) + 2 * MARGIN
        width_inches += names + panel[0] + MARGIN
    size = (width_inches, panel[1] + TITLE + LEGEND)
    panels = 3 if case.contributions is None else 4
    figure, axes = new_plot(size, panels, case.synthetic)
    figure.set_layout_engine("none")
    total = size[1] + (BAND_INCHES if case.synthetic else 0.0)
    for number, panel_axes in enumerate(axes):
        left = MARGIN + number * (panel[0] + MARGIN) + (names if number == 3 else 0.0)
        panel_axes.set_position(
            (left / size[0], LEGEND / total, panel[0] / size[0], panel[1] / total)
        )
    shown = shown_map(case.map, method)
    image, overlay, map_alone = axes[:3]
    for panel_axes in (image, overlay, map_alone):
        panel_axes.set_axis_off()
    for grey_axes in (image, overlay):
        grey_axes.imshow(
            case.grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest"
        )
    for map_axes, alpha in ((overlay, OPACITY), (map_alone, 1.0)):
        map_axes.imshow(
            shown,
            cmap=COLOURS[colours],
            vmin=0,
            vmax=1,
            alpha=alpha,
            interpolation="nearest",
        )
    if method not in BRIGHTEST:  # a gradient is too grainy for an outline
        draw_outline(overlay, shown >= OUTLINE_LEVEL, MAP_LINE, "--", 0.7)
    if case.mask is not None:
        draw_outline(image, case.mask, MASK_LINE, "-", 0.7)
        draw_outline(overlay, case.mask, MASK_LINE, "-", 0.7)
    for panel_axes in (image, overlay):
        draw_lesion(panel_axes, case, 0.7)
    if case.contributions is not None:
        draw_contributions(axes[3], case.contributions)
    figure.text(
        MARGIN / size[0],
        (LEGEND + panel[1] + 0.08) / total,
        f"{describe(case)}\n{method}: {meaning(method, label)}",
        fontsize=5.5,
        va="bottom",
    )
    text = f"no {meaning(method, label)} in this image"
    if shown.any():
        text = scale_text(method, label, "the padded image")
    width = 3 * panel[0] / size[0]
    draw_legend(
        figure,
        (0.02 * width, 0.34 / total, 0.42 * width, 0.09 / total),
        (0.5 * width, 0.06 / total),
        legend_keys(
            "lesion mask" if case.mask is not None else "",
            "lesion the model found" if case.lesion is not None else "",
            width=0.9,
        ),
        text=text,
        colours=colours,
        tick=1.5,
        fontsizes=(4.5, 4.8),
    )
    return figure


def shown_map(values: np.ndarray, method: str) -> np.ndarray:
    """A map as it is drawn: a gradient is cut at a high percentile."""
    if method not in BRIGHTEST or not values.any():
        return values
    top = max(float(np.percentile(values, BRIGHTEST[method])), 1e-6)
    return np.clip(values / top, 0, 1)


def meaning(method: str, label: str) -> str:
    """What a high value of a map says; a gradient's size has no sign."""
    if method == LESION:
        return "where the model sees the lesion"
    if method == "smoothgrad":
        return "change of the logit, either way"
    return f"evidence for {label}"


def describe(case: Case) -> str:
    """Name, label and probability in one line."""
    word = WORDS[case.label] if case.label in (0, 1) else "label unknown"
    text = f"{case.image}: {word}, P(malignant) = {case.probability:.3f}"
    if case.lesion_found is not None:
        article = "a" if case.lesion is not None else "no"
        text += f"; {article} lesion found, {case.lesion_found:.0%} sure of one"
    return text


def overlay_of(case: Case, method: str, colours: str) -> np.ndarray:
    """The image with its map over it, float `(height, width, 3)` in [0, 1]."""
    grey = np.repeat(case.grey[..., None] / 255.0, 3, axis=2)
    coloured = colormaps[COLOURS[colours]](shown_map(case.map, method))[..., :3]
    return (1 - OPACITY) * grey + OPACITY * coloured


def draw_contributions(axes: Axes, contributions: Mapping[str, float]) -> None:
    """Bars of what each value of the form adds to the logit of P(malignant)."""
    names = list(contributions)[::-1]
    values = [contributions[name] for name in names]
    colours = ["#D55E00" if value > 0 else "#0072B2" for value in values]
    axes.barh(range(len(names)), values, color=colours)
    axes.axvline(0, color="0.3", linewidth=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=BAR_FONT)
    reach = max([abs(value) for value in values] + [0.01]) * 1.1
    axes.set_xlim(-reach, reach)
    axes.set_title("← benign      form      malignant →", fontsize=5)
    axes.set_xlabel("added to the logit (Shapley value)", fontsize=5)


def _inches(text: str) -> float:
    """How wide a text beside the bars is."""
    return TextPath((0, 0), text, size=BAR_FONT).get_extents().width / 72


def draw_outline(
    axes: Axes, region: np.ndarray, colour: str, style: str, width: float
) -> None:
    """The outline of a region, bool `(height, width)`; `width` is in points."""
    if region.any() and not region.all():
        axes.contour(
            region.astype(float),
            [0.5],
            colors=colour,
            linewidths=width,
            linestyles=style,
        )


def draw_lesion(axes: Axes, case: Case, width: float, scale: float = 1.0) -> None:
    """The ellipse in the box of the lesion that was found; `width` is in points."""
    if case.lesion is None:
        return
    x, y, across, down = (scale * value for value in case.lesion)
    # Matplotlib has 0 in the middle of the first pixel.
    centre = (x + across / 2 - 0.5, y + down / 2 - 0.5)
    ellipse = Ellipse(centre, across, down, fill=False, ec=FOUND_LINE, lw=width)
    axes.add_patch(ellipse)


def scale_text(method: str, label: str, picture: str) -> str:
    """What stands under the scale of the colours."""
    return f"{meaning(method, label)}, 1 = the strongest pixel of {picture}"


def legend_keys(mask: str, lesion: str, width: float | None = None) -> list[Line2D]:
    """The line around a map and, where they have a name, those of mask and lesion."""
    outline = Line2D([], [], linewidth=width, linestyle="--", color=MAP_LINE)
    outline.set_label(f"map at {OUTLINE_LEVEL:g}")
    others = ((mask, MASK_LINE), (lesion, FOUND_LINE))
    return [outline] + [
        Line2D([], [], linewidth=width, color=colour, label=name)
        for name, colour in others
        if name
    ]


def draw_legend(
    figure: Figure,
    scale_place: tuple[float, float, float, float],
    keys_place: tuple[float, float],
    keys: Sequence[Line2D],
    *,
    text: str,
    colours: str,
    tick: float,
    fontsizes: tuple[float, float],
) -> None:
    """The scale of the colours with its text, and what each line is.

    Args:
        figure: On which they are drawn.
        scale_place: Left, bottom, width and height of the scale, shares of the figure.
        keys_place: Left and bottom of the lines' names, likewise.
        keys: The lines.
        text: Under the scale.
        colours: Key of `COLOURS`.
        tick: Length of the scale's ticks, points.
        fontsizes: Of the scale and of the lines' names, points.
    """
    scale = figure.add_axes(scale_place, label="scale")
    scale.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS[colours], aspect="auto")
    scale.set_yticks([])
    scale.set_xticks([0, 128, 255], ["0", "0.5", "1"])
    scale.tick_params(labelsize=fontsizes[0], length=tick, pad=1)
    scale.set_xlabel(text, fontsize=fontsizes[0], labelpad=1)
    figure.legend(
        handles=keys,
        loc="lower left",
        bbox_to_anchor=keys_place,
        fontsize=fontsizes[1],
        ncols=len(keys),
        facecolor="0.35",
        labelcolor="white",
        framealpha=1,
    )
