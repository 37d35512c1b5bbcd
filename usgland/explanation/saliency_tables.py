"""The measures of the maps: as tables and as a plot."""

import math
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from usgland.evaluation.shown.names import WORDS
from usgland.evaluation.shown.plot_frame import new_plot
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_interval
from usgland.explanation import faithfulness
from usgland.explanation.faithfulness import BASELINES, GROUPS
from usgland.explanation.randomization import USELESS
from usgland.explanation.regions import OVERLAP_LEVEL, band_pixels

# Region -> its name and colour in the plot.
REGIONS_SHOWN = {
    "inside": ("inside the lesion", "#D55E00"),
    "border": ("border band", "#E69F00"),
    "outside": ("elsewhere", "#56B4E9"),
    "padding": ("padding", "0.7"),
}


def saliency_document(
    table: pd.DataFrame, notes: list[str], *, synthetic: bool
) -> Document:
    """The measures of the maps as `summarize` gives them, a table a method."""
    tables = []
    for method, part in table.groupby("method", sort=False):
        title = str(method)
        if method in BASELINES:
            title += " (knows nothing of the model)"
        lines = [
            (faithfulness.MEASURES[str(measure)], *_cells(of_measure))
            for measure, of_measure in part.groupby("measure", sort=False)
        ]
        tables.append(Table(("", *GROUPS), (rows(lines),), title))
    return Document(
        tuple(tables),
        synthetic,
        notes=tuple(notes),
        columns=tuple(table.columns),
        records=tuple(table.to_dict("records")),
    )


def saliency_notes(
    table: pd.DataFrame, *, label: str, size: int, role: str
) -> list[str]:
    """What the numbers are, and which method is useless."""
    places = "No masks of the lesions: where the maps lie is not measured."
    if (table["measure"] == "pointing").any():
        places = (
            f"Border band: within {band_pixels(size)} of {size} pixels of the mask's "
            "outline, on either side; a strongest pixel in it counts as at the lesion. "
            f"Overlap: of the lesion with the map at {OVERLAP_LEVEL:g} of its "
            "strongest pixel."
        )
    return [
        *_useless(table),
        f"Maps of evidence for {label}, {table['n'].max()} images of role {role}; "
        "means over images. Deletion AUC: lower is better; insertion: higher. rho: "
        "rank correlation with the maps of shuffled weights, or of the other run.",
        places,
        "centre: a bump on the middle of the image; random: noise. A method that is "
        "not better than both shows nothing that can be used.",
        *_without_evidence(table),
        faithfulness.FIRST_LOOK,
        faithfulness.interval_note(table),
    ]


def energy_plot(table: pd.DataFrame, *, synthetic: bool) -> Figure | None:
    """Shares of the maps' energy by region, a bar a method and label.

    Returns:
        None without masks.
    """
    known = table[table["measure"].isin(REGIONS_SHOWN) & table["group"].ne("all")]
    if known["value"].isna().all():
        return None
    shares = known.set_index(["method", "group", "measure"])["value"]
    bars = list(product(known["method"].unique(), WORDS))
    figure, (axes,) = new_plot((6.4, 1.2 + 0.32 * len(bars)), 1, synthetic)
    legend = {}
    for row, (method, group) in enumerate(bars):
        left = 0.0
        for region, (name, colour) in REGIONS_SHOWN.items():
            share = shares.get((method, group, region), math.nan)
            if share == share:
                bar = axes.barh(row, share, left=left, color=colour, edgecolor="white")
                legend[name] = bar.patches[0]
                left += share
    axes.set_yticks(range(len(bars)), [f"{method}, {group}" for method, group in bars])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="Share of the map's energy, mean over images")
    figure.legend(
        list(legend.values()),
        list(legend),
        loc="outside upper center",
        ncols=4,
        fontsize=8,
    )
    return figure


def _cells(of_measure: pd.DataFrame) -> list[str]:
    bounds = of_measure.set_index("group").loc[[*GROUPS], ["value", "low", "high"]]
    return [format_interval(*values, digits=2) for values in bounds.to_numpy()]


def _of_all(table: pd.DataFrame, measure: str) -> list[dict[Any, Any]]:
    """What is said of all cases, a row a method."""
    rows = table[(table["measure"] == measure) & (table["group"] == "all")]
    return rows.to_dict("records")


def _useless(table: pd.DataFrame) -> list[str]:
    return [
        f"USELESS: {row['method']} hardly changes when the network's weights are "
        f"shuffled (rank correlation {row['value']:.2f}; the limit is {USELESS:g}): it "
        "shows the picture, not what was learned."
        for row in _of_all(table, "shuffled")
        if abs(row["value"]) >= USELESS and row["method"] not in BASELINES
    ]


def _without_evidence(table: pd.DataFrame) -> list[str]:
    counts = {row["method"]: row["n"] for row in _of_all(table, "pointing")}
    most = max(counts.values(), default=0)
    fewer = [f"{method} {most - n}" for method, n in counts.items() if n < most]
    if not fewer:
        return []
    return [f"Maps of zeros, left out where they say nothing: {', '.join(fewer)}."]
