"""What `fit` and `cv` say of their images before they train: warnings, in seconds."""

import shlex
from collections.abc import Iterator

import pandas as pd
from rich.console import Console

from usgland.config import Config
from usgland.data.columns import MADE, SIZE
from usgland.data.given_splits import UNUSED
from usgland.quality.confounding import (
    ALL_MISSING,
    FEWEST_PATIENTS,
    IMAGES,
    Confounder,
    find_confounders,
    properties_of,
    warning_of,
)
from usgland.quality.first_look import hashes_of, near_pairs
from usgland.quality.patient_records import clinical_columns

SLOW = (IMAGES, ALL_MISSING)  # left to `usgland check`
TRUSTED = 2  # names of files in a line


def warn_of_images(rows: pd.DataFrame, config: Config, console: Console) -> None:
    """Tells of copies in two parts or with two labels, and of what gives labels away.

    Args:
        rows: Checked rows with `role`, or `fold` of a cross-validation.
        config: Names the manifest.
        console: Where one line a warning is shown.
    """
    if config.data.manifest is None:  # phantoms, whose devices are drawn
        return
    lines = [*_copies(rows, config), *map(warning_of, _confounders(rows, config))]
    if lines:
        manifest = shlex.quote(str(config.data.manifest))
        lines.append(f"To look at it: usgland check {manifest} --out DIR")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _copies(rows: pd.DataFrame, config: Config) -> Iterator[str]:
    """Copies that stand in two parts, or have two labels."""
    part = rows["role" if "role" in rows else "fold"].astype(str)
    used = rows[(part != UNUSED) & (rows["image_path"] != "")]
    parts = part[used.index].to_list()
    paths, labels = used["image_path"].to_list(), used["label"].to_list()
    pairs = near_pairs(hashes_of(paths, config.data.manifest))
    parted = [pair for pair in pairs if parts[pair[0]] != parts[pair[1]]]
    differing = [pair for pair in pairs if labels[pair[0]] != labels[pair[1]]]
    names = used["image"].to_list()
    for of_kind, what in ((parted, "in two parts"), (differing, "with two labels")):
        if of_kind:
            some = "; ".join(f"{names[a]} and {names[b]}" for a, b in of_kind[:TRUSTED])
            yield (
                f"Warning: {len(of_kind)} pairs of images that look alike stand "
                f"{what}: {some}"
            )


def _confounders(rows: pd.DataFrame, config: Config) -> list[Confounder]:
    """What alone predicts the label, of what takes no second."""
    rows = rows[rows["label"].isin((0, 1))]
    if not set(SIZE) <= set(rows.columns):
        return []
    groups = rows["group_id"].where(rows["group_id"] != "", rows["patient_id"])
    labels = rows["label"].to_numpy()
    if min(groups[labels == label].nunique() for label in (0, 1)) < FEWEST_PATIENTS:
        return []
    known = rows.drop(columns=[name for name in (*MADE, "role") if name in rows])
    known["frame_width"], known["frame_height"] = (rows[name] for name in SIZE)
    properties = properties_of(known, clinical_columns(known, config))
    quick = {name: each for name, each in properties.items() if name not in SLOW}
    answers = find_confounders(quick, labels, groups.to_numpy(str))
    return [answer for answer in answers if answer.is_suspicious]
