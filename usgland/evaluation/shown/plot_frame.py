"""The frame of every plot: size, colours, the mark of synthetic data, the file."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from usgland.files import write_whole

DPI = 300
# Blue and vermilion of the colour-blind safe palette of Okabe and Ito, 2008; their
# grey values differ, too.
COLOURS = {"image": "#0072B2", "patient": "#D55E00"}
STYLES = {"image": "-", "patient": "--"}
MARKERS = {"image": "o", "patient": "s"}
RED = "#B00000"
BAND_INCHES = 0.42  # that says SYNTHETIC DATA


def mark_synthetic(axes: Axes, *, fontsize: float, alpha: float) -> None:
    """Writes SYNTHETIC across a panel, in points and with an opacity in [0, 1]."""
    axes.text(
        0.5,
        0.5,
        "SYNTHETIC",
        transform=axes.transAxes,
        rotation=35,
        ha="center",
        va="center",
        fontsize=fontsize,
        fontweight="bold",
        color=RED,
        alpha=alpha,
        zorder=5,
    )


def save_plot(figure: Figure, path: Path) -> None:
    """Writes a PNG of 300 dots an inch, whole or not at all."""
    with write_whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def new_plot(
    size: tuple[float, float], panels: int, synthetic: bool
) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels side by side, marked where data are synthetic.

    `size` is its width and height in inches, without the band that marks it.
    """
    band = BAND_INCHES if synthetic else 0.0
    height = size[1] + band
    figure = Figure(figsize=(size[0], height))
    below = (0, 0, 1, 1 - band / height)
    figure.set_layout_engine("constrained", rect=below, w_pad=0.08, h_pad=0.08)
    if synthetic:
        # The band says it to who looks, the marks to who cuts a panel out.
        figure.add_artist(
            Rectangle((0, below[3]), 1, 1 - below[3], color=RED, linewidth=0)
        )
        figure.text(
            0.5,
            (1 + below[3]) / 2,
            "SYNTHETIC DATA",
            color="white",
            fontsize=18,
            fontweight="bold",
            ha="center",
            va="center_baseline",
        )
    axes_of_panels = [figure.add_subplot(1, panels, i + 1) for i in range(panels)]
    for axes in axes_of_panels:
        axes.tick_params(labelsize=9)
        if synthetic:
            mark_synthetic(axes, fontsize=30, alpha=0.16)
    return figure, axes_of_panels
