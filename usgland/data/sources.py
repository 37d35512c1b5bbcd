"""The checked rows that a step works on: of a manifest, a run, or other images."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from usgland.config import Config, load_config
from usgland.data.given_splits import is_given
from usgland.data.manifest import NO_LESION, UNLABELLED, load_manifest
from usgland.data.phantom import cached_phantoms, is_synthetic
from usgland.data.splits import make_folds, make_splits
from usgland.errors import UserError
from usgland.runs import CONFIG, SPLITS, find_run
from usgland.schema import ClinicalColumn
from usgland.table_files import check_columns, read_table, show_some

if TYPE_CHECKING:  # What checks a table before a run answers sooner without.
    from rich.console import Console


def form_of(config: Config) -> dict[str, ClinicalColumn]:
    """The columns of the form that the model takes; none if it takes images alone."""
    return {} if config.model.inputs == "image" else config.clinical.used()


def takes_images(config: Config) -> bool:
    """Whether the model looks at images at all."""
    return config.model.inputs != "clinical"


def other_rows(
    run: Path,
    manifest: Path,
    config: Config,
    *,
    labelled: bool,
    without: str | None = None,
    table: pd.DataFrame | None = None,
    pixels: bool = True,
) -> pd.DataFrame:
    """Rows of other images than the run's; what it knows has the role it had there.

    Of a side that the model does `without`, `"image"` or `"form"`, nothing is read.
    `table` and `pixels` are those of `load_manifest`; without the pixels nothing is
    known, and there are no roles.
    """
    rows = load_manifest(
        manifest,
        config.data,
        labelled=False,
        form=form_of(config) if without != "form" else {},
        images=takes_images(config) and without != "image",
        table=table,
        pixels=pixels,
        no_lesion=not labelled,
    )
    for name, column in form_of(config).items():
        if name not in rows or without == "form":
            rows[name] = math.nan if column.kind == "number" else ""
    if labelled:
        unlabelled = int((rows["label"] == UNLABELLED).sum())
        if unlabelled:
            raise UserError(
                f"{manifest}: expected a label of every image, to score it. Received: "
                f"{unlabelled} of {len(rows)} without. `usgland predict` needs none"
            )
        if rows["patient_id"].equals(rows["image"]):
            raise UserError(
                f"{manifest}: expected the column `patient_id`, as figures have their "
                "intervals over patients. Received: none; add or rename it"
            )
    if "sha256" not in rows:
        return rows
    if labelled:
        check_unseen(rows, run / SPLITS, str(manifest))
        check_pretraining(config, rows, str(manifest))
    roles = stored_roles(rows, run / SPLITS).replace("", "test")
    rows = rows.drop(columns=["fold"], errors="ignore")
    return rows.assign(role=roles, synthetic=str(int(is_synthetic(manifest, rows))))


def stored_roles(rows: pd.DataFrame, splits: Path) -> pd.Series:
    """The role that each image, known by its bytes, has in the splits.csv of a run.

    It is train, val, test or unused; "" for images that are not in it.
    """
    table = read_table(splits)
    hint = "Fit the run again: images are known by their digests"
    check_columns(splits, ("role", "sha256"), list(table.columns), hint)
    roles = dict(zip(table["sha256"], table["role"], strict=True))
    return rows["sha256"].map(roles).fillna("")


def check_unseen(rows: pd.DataFrame, splits: Path, purpose: str) -> None:
    """Refuses to score a model on images that it has learned from.

    Args:
        rows: Manifest rows with `sha256` that are to be scored.
        splits: The splits.csv of the run that trained the model.
        purpose: What the rows are for, as the subject of the error.
    """
    seen = rows.loc[stored_roles(rows, splits).isin(["train", "val"]), "image"]
    if len(seen):
        raise UserError(
            f"{purpose}: expected images that {splits.parent} has not learned from. "
            f"Received {len(seen)} that are in its "
            f"train or val part: {show_some(seen.to_list())}"
        )


def check_pretraining(
    config: Config,
    rows: pd.DataFrame,
    purpose: str = "model.weights: validation and test images",
) -> None:
    """Refuses to score a run on images that the runs it began from have learned from.

    Args:
        config: Of the run.
        rows: Manifest rows with `sha256` that it is to be scored on.
        purpose: What the rows are for, as the subject of the error.
    """
    for settings in ancestry(config):
        splits = Path(settings.model.weights or "") / SPLITS
        if settings.model.weights and splits.is_file():
            check_unseen(rows, splits, purpose)


def ancestry(config: Config) -> Iterator[Config]:
    """The settings of a run, of the run whose weights it began with, and so on.

    What a network has learned stays in the weights that it hands on. Only runs that
    are still where they were are known.
    """
    known: set[str] = set()
    while True:
        yield config
        start = config.model.weights
        if start is None or start in known or not (Path(start) / CONFIG).is_file():
            return
        known.add(start)
        config = load_config(Path(start) / CONFIG)


def manifest_rows(
    config: Config,
    console: "Console | None",
    parts: Sequence[str] = (),
    *,
    pixels: bool = True,
) -> pd.DataFrame:
    """The checked rows of the manifest, or of the phantoms, marked as such.

    Of `parts` and `pixels`, see `load_manifest`; a split that is followed goes before
    the former.
    """
    if config.split.file is not None:
        parts = ()
    manifest = config.data.manifest
    if manifest is None:
        if console is not None:
            console.print("No --manifest: the embedded SYNTHETIC phantoms, no patients")
        manifest = cached_phantoms()
    rows = load_manifest(
        manifest,
        config.data,
        parts=parts,
        form=form_of(config),
        images=takes_images(config),
        pixels=pixels,
        no_lesion=True,
    )
    return rows.assign(synthetic=str(int(is_synthetic(manifest, rows))))


def run_rows(
    run: Path,
    config: Config,
    console: "Console",
    checked: pd.DataFrame | None = None,
    *,
    no_lesion: bool = False,
) -> pd.DataFrame:
    """The rows of a run with the roles that its splits.csv gave them.

    `checked` is what `manifest_rows` gave this command earlier, if it did. Rows without
    a lesion are left out unless asked for: only training knows them.
    """
    rows = manifest_rows(config, console) if checked is None else checked
    stored = config.split.model_copy(update={"file": run / SPLITS})
    rows = make_splits(rows, stored)
    return rows if no_lesion else with_lesion(rows)


def with_lesion(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a labelled manifest that show a lesion, which all figures count."""
    return rows[rows["label"] != NO_LESION]


def check_table(config: Config, *, folds: bool) -> None:
    """Checks what can be known before TensorFlow is loaded and an image is read.

    That is the manifest of a new run and its forms, and the split in them or in
    `split.file`, or `folds` where it is cross-validated.
    """
    if config.data.manifest is None:
        return
    parts = ("fold",) if folds else ("split", "fold")
    rows = manifest_rows(config, None, parts, pixels=False)
    if config.split.file is not None or any(is_given(rows, name) for name in parts):
        (make_folds if folds else make_splits)(rows, config.split)


def check_other_table(
    run: Path, manifest: Path, *, labelled: bool, without: str | None = None
) -> None:
    """The same for other images than the run's; see `other_rows`."""
    config = load_config(find_run(run) / CONFIG)
    other_rows(run, manifest, config, labelled=labelled, without=without, pixels=False)
