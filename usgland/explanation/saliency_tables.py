"""The measures of the maps: as tables and as a plot."""

import math

import pandas as pd
from matplotlib.figure import Figure

from usgland.evaluation.shown.plot_frame import new_plot
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_interval
from usgland.explanation.faithfulness import BASELINES, GROUPS, MEASURES
from usgland.explanation.randomization import USELESS
from usgland.explanation.regions import BAND, OVERLAP_LEVEL, REGIONS

REGION_COLOURS = {
    "inside": "#D55E00",
    "border": "#E69F00",
    "outside": "#56B4E9",
    "padding": "0.7",
}


def saliency_document(
    table: pd.DataFrame, notes: list[str], *, synthetic: bool
) -> Document:
    """The measures of the maps, a table a method, as they are shown and written.

    Args:
        table: As `summarize` gives it.
        notes: As `saliency_notes` gives them.
        synthetic: Whether the cases are phantoms.
    """
    tables = [
        Table(
            heads=("", *GROUPS),
            sections=(
                rows(
                    (MEASURES[measure], *_cells(part, measure))
                    for measure in part["measure"].unique()
                ),
            ),
            title=_title(str(method)),
        )
        for method, part in table.groupby("method", sort=False)
    ]
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
    notes = [*_useless(table)]
    measures = set(table["measure"])
    count = int(table["n"].max())
    notes.append(
        f"Maps of evidence for {label}, {count} images of role {role}; means over "
        "images. Deletion AUC: lower is better; insertion: higher. rho: rank "
        "correlation with the maps of shuffled weights, or of the other run."
    )
    if "pointing" in measures:
        pixels = max(1, round(size * BAND))
        notes.append(
            f"Border band: within {pixels} of {size} pixels of the mask's outline, on "
            "either side; a strongest pixel in it counts as at the lesion. Overlap: of "
            f"the lesion with the map at {OVERLAP_LEVEL:g} of its strongest pixel."
        )
    else:
        notes.append("No masks of the lesions: where the maps lie is not measured.")
    notes.append(
        "centre: a bump on the middle of the image; random: noise. A method that is "
        "not better than both shows nothing that can be used."
    )
    missing = _without_evidence(table)
    notes += [missing] if missing else []
    made = table.loc[table["low"].notna(), "interval"]
    notes.append(
        f"Intervals: {made.iloc[0]}." if len(made) else "No interval could be made."
    )
    return notes


def energy_plot(table: pd.DataFrame, *, synthetic: bool) -> Figure | None:
    """Shares of the maps' energy by region, a bar a method and label.

    Returns:
        None without masks.
    """
    known = table[table["measure"].isin(REGIONS) & table["group"].ne("all")]
    if known["value"].notna().sum() == 0:
        return None
    bars = [
        (method, group)
        for method in known["method"].unique()
        for group in ("benign", "malignant")
    ]
    figure, (axes,) = new_plot((6.4, 1.2 + 0.32 * len(bars)), 1, synthetic)
    legend = {}
    for row, (method, group) in enumerate(bars):
        left = 0.0
        for region, colour in REGION_COLOURS.items():
            part = known[
                (known["method"] == method)
                & (known["group"] == group)
                & (known["measure"] == region)
            ]
            share = float(part["value"].iloc[0]) if len(part) else math.nan
            if share == share:
                bar = axes.barh(row, share, left=left, color=colour, edgecolor="white")
                legend[_region_name(region)] = bar.patches[0]
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


def _region_name(region: str) -> str:
    return {
        "inside": "inside the lesion",
        "border": "border band",
        "outside": "elsewhere",
        "padding": "padding",
    }[region]


def _title(method: str) -> str:
    return f"{method} (knows nothing of the model)" if method in BASELINES else method


def _cells(part: pd.DataFrame, measure: str) -> list[str]:
    of_group = part[part["measure"] == measure].set_index("group")
    shown = (of_group.loc[group, ["value", "low", "high"]] for group in GROUPS)
    return [format_interval(*values, digits=2) for values in shown]


def _useless(table: pd.DataFrame) -> list[str]:
    rows = table[(table["measure"] == "shuffled") & (table["group"] == "all")]
    return [
        f"USELESS: {row.method} hardly changes when the network's weights are "
        f"shuffled (rank correlation {row.value:.2f}; the limit is {USELESS:g}): it "
        "shows the picture, not what was learned."
        for row in rows.itertuples()
        if abs(float(str(row.value))) >= USELESS and row.method not in BASELINES
    ]


def _without_evidence(table: pd.DataFrame) -> str:
    rows = table[(table["measure"] == "pointing") & (table["group"] == "all")]
    most = rows["n"].max() if len(rows) else 0
    fewer = [
        f"{row.method} {int(most) - int(str(row.n))}"
        for row in rows.itertuples()
        if int(str(row.n)) < most
    ]
    if not fewer:
        return ""
    return f"Maps of zeros, left out where they say nothing: {', '.join(fewer)}."
