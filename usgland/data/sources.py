"""The checked rows that a step works on: of a manifest, a run, or other images."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import Config, load_config
from usgland.data.given_splits import is_given
from usgland.data.leaks import check_unseen, stored_roles
from usgland.data.manifest import UNLABELLED, load_manifest
from usgland.data.phantom import cached_phantoms, is_synthetic
from usgland.data.splits import make_folds, make_splits
from usgland.errors import UserError
from usgland.runs import CONFIG, SPLITS, find_run
from usgland.schema import ClinicalColumn


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
    roles = stored_roles(rows, run / SPLITS).replace("", "test")
    rows = rows.drop(columns=["fold"], errors="ignore").assign(role=roles)
    return _mark_synthetic(rows, manifest)


def check_pretraining(config: Config, rows: pd.DataFrame) -> None:
    """Weights of an earlier run must not know whom this one is scored on."""
    splits = Path(config.model.weights or "") / SPLITS
    if config.model.weights and splits.is_file():
        check_unseen(rows, splits, "model.weights: validation and test images")


def _mark_synthetic(rows: pd.DataFrame, manifest: Path) -> pd.DataFrame:
    return rows.assign(synthetic="1" if is_synthetic(manifest, rows) else "0")


def manifest_rows(
    config: Config,
    console: Console,
    parts: Sequence[str] = (),
    *,
    pixels: bool = True,
) -> pd.DataFrame:
    """The checked rows of the manifest, or of the phantoms, marked as such.

    Args:
        config: Names the manifest.
        console: Told that the phantoms are synthetic.
        parts: See `load_manifest`; a split that is followed instead goes before.
        pixels: See `load_manifest`.
    """
    if config.split.file is not None:
        parts = ()
    manifest = config.data.manifest
    if manifest is None:
        console.print("No --manifest: the embedded SYNTHETIC phantoms, no patients")
        manifest = cached_phantoms()
    rows = load_manifest(
        manifest,
        config.data,
        parts=parts,
        form=form_of(config),
        images=takes_images(config),
        pixels=pixels,
    )
    return _mark_synthetic(rows, manifest)


def run_rows(
    run: Path,
    config: Config,
    console: Console,
    checked: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The rows of a run with the roles that its splits.csv gave them.

    Args:
        run: The run directory.
        config: Its settings.
        console: As for `manifest_rows`.
        checked: What `manifest_rows` gave this command earlier; None: it is asked.
    """
    rows = manifest_rows(config, console) if checked is None else checked
    stored = config.split.model_copy(update={"file": run / SPLITS})
    return make_splits(rows, stored)


def check_table(config: Config, *, folds: bool) -> None:
    """Checks what can be known before TensorFlow is loaded and an image is read.

    Args:
        config: Of a new run; nothing is to be checked without a manifest.
        folds: Whether it is cross-validated.

    Raises:
        UserError: If the table or the forms cannot be used, or the split in them or in
            `split.file` cannot be followed.
    """
    if config.data.manifest is None:
        return
    parts = ("fold",) if folds else ("split", "fold")
    rows = manifest_rows(config, Console(quiet=True), parts, pixels=False)
    if config.split.file is not None or any(is_given(rows, name) for name in parts):
        (make_folds if folds else make_splits)(rows, config.split)


def check_other_table(
    run: Path, manifest: Path, *, labelled: bool, without: str | None = None
) -> None:
    """The same for other images than the run's; see `other_rows`.

    Raises:
        UserError: If there is no such run or the table cannot be used.
    """
    config = load_config(find_run(run) / CONFIG)
    other_rows(run, manifest, config, labelled=labelled, without=without, pixels=False)
