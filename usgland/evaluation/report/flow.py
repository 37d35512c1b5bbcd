"""The flow of patients and images through a run, as a STARD diagram in SVG."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import pandas as pd

from usgland.evaluation.shown.names import WORDS

# In the order of the diagram, from left to right.
ROLES = {"train": "Training", "val": "Validation", "test": "Test", "unused": "Not used"}
BOX_WIDTH, BOX_HEIGHT, GAP = 222, 82, 24
LINE = 17  # pixels between lines of text


class Excluded(NamedTuple):
    """Rows of the manifest that a run left out."""

    reason: str  # e.g. "label normal (data.ignore_labels)"
    images: int
    patients: int


def describe_rows(rows: pd.DataFrame) -> list[str]:
    """The lines of one box: patients and images, and how many of each label."""
    patients = rows.groupby("patient_id")["label"].max()
    counts = (
        f"{word}: {(patients == label).sum()} patients, "
        f"{(rows['label'] == label).sum()} images"
        for label, word in enumerate(WORDS)
    )
    return [f"{len(patients)} patients, {len(rows)} images", *counts]


def flow_svg(splits: pd.DataFrame, excluded: Sequence[Excluded]) -> str:
    """Draws the diagram: an `<svg>` element with a text for screen readers.

    Splits have one row an image: patient_id, label (0 or 1) and role, or fold where the
    run is a cross-validation.

    Reference:
        [STARD 2015](https://doi.org/10.1136/bmj.h5527), the flow diagram of item 19.
    """
    parts = _parts(splits)
    width = max(len(parts) * (BOX_WIDTH + GAP) + GAP, 3 * BOX_WIDTH)
    centre = width / 2
    drawn = []
    top = GAP
    if excluded:
        before = sum(rows.images for rows in excluded) + len(splits)
        drawn.append(_box(centre, top, "Rows of the manifest", [f"{before} images"]))
        lines = [
            f"{rows.images} images, {rows.patients} patients: {rows.reason}"
            for rows in excluded
        ]
        drawn.append(_arrow(centre, top + BOX_HEIGHT, centre, top + 2 * BOX_HEIGHT))
        drawn.append(_texts(centre + 12, top + BOX_HEIGHT + 22, ["Left out:", *lines]))
        top += 2 * BOX_HEIGHT
    drawn.append(_box(centre, top, "Included", describe_rows(splits)))
    bottom = top + BOX_HEIGHT
    top = bottom + 2 * GAP
    first = centre - (len(parts) - 1) * (BOX_WIDTH + GAP) / 2
    for number, (name, rows) in enumerate(parts):
        x = first + number * (BOX_WIDTH + GAP)
        drawn.append(_arrow(centre, bottom, x, top))
        drawn.append(_box(x, top, name, describe_rows(rows)))
    height = top + BOX_HEIGHT + GAP
    text = "; ".join(f"{name}: {describe_rows(rows)[0]}" for name, rows in parts)
    return (
        f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width:{width:.0f}px" aria-label="{escape(text)}">'
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
        + "".join(drawn)
        + "</svg>"
    )


def _parts(splits: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    roles = splits["role"].astype(str) if "role" in splits else pd.Series(dtype=str)
    if roles.isin(list(ROLES)).any():
        parts = splits.groupby(roles)
        return [(ROLES[k], parts.get_group(k)) for k in ROLES if k in parts.groups]
    folds = splits.groupby(splits["fold"].astype(str))
    return [(f"Fold {fold}", rows) for fold, rows in folds]


def _box(centre: float, top: float, title: str, lines: Sequence[str]) -> str:
    return (
        f'<rect x="{centre - BOX_WIDTH / 2:.0f}" y="{top:.0f}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="4" fill="#f4f6f8" stroke="#333"/>'
        f'<text x="{centre:.0f}" y="{top + 20:.0f}" font-size="13" '
        f'font-weight="bold" text-anchor="middle">{escape(title)}</text>'
        + _texts(centre, top + 38, lines, ' text-anchor="middle"')
    )


def _texts(x: float, top: float, lines: Sequence[str], style: str = "") -> str:
    return "".join(
        f'<text x="{x:.0f}" y="{top + number * LINE:.0f}" font-size="11"{style}>'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2 - 1:.0f}" '
        'stroke="#333" marker-end="url(#tip)"/>'
    )
