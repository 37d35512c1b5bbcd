"""The checked rows that a step works on: of a manifest, a run, or other images."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import Config
from usgland.data.leaks import check_unseen, stored_roles
from usgland.data.manifest import UNLABELLED, load_manifest
from usgland.data.phantom import cached_phantoms, is_synthetic
from usgland.data.splits import make_splits
from usgland.errors import UserError
from usgland.runs import SPLITS
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
) -> pd.DataFrame:
    """Rows of other images than the run's; what it knows has the role it had there.

    Of a side that the model does `without`, `"image"` or `"form"`, nothing is read.
    A `table` in memory stands for the manifest, see `load_manifest`.
    """
    rows = load_manifest(
        manifest,
        config.data,
        labelled=False,
        form=form_of(config) if without != "form" else {},
        images=takes_images(config) and without != "image",
        table=table,
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
    config: Config, console: Console, parts: Sequence[str] = ()
) -> pd.DataFrame:
    """The checked rows of the manifest, or of the phantoms, marked as such.

    Args:
        config: Names the manifest.
        console: Told that the phantoms are synthetic.
        parts: See `load_manifest`; a split that is followed instead goes before.
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
    )
    return _mark_synthetic(rows, manifest)


def run_rows(run: Path, config: Config, console: Console) -> pd.DataFrame:
    """The rows of a run with the roles that its splits.csv gave them."""
    stored = config.split.model_copy(update={"file": run / SPLITS})
    return make_splits(manifest_rows(config, console), stored)
