"""What several sites show of a run, and what local patients would buy there."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_role
from usgland.evaluation.cases.thresholds import read_thresholds
from usgland.evaluation.performance.local_calibration import (
    calibrate_locally,
    local_calibration_document,
)
from usgland.evaluation.performance.site_tables import measure_sites, sites_document
from usgland.evaluation.shown.terminal import show

SITE = "site"  # column of predictions that `usgland cv --by` adds


def compare_sites(
    run: Path,
    predictions: pd.DataFrame,
    config: Config,
    console: Console,
    *,
    docx: bool = False,
) -> list[Path]:
    """Shows and writes AUC and calibration of each site, by a model of the others.

    Does nothing where the folds of the run are no sites. Predictions are of the role
    test, one row an image, with the column `site`.
    """
    if config.split.by is None or SITE not in predictions:
        return []
    level = config.evaluation.confidence_level
    document = sites_document(
        measure_sites(predictions, level),
        config.split.by,
        level,
        synthetic=runs.is_of_phantoms(run),
    )
    show(document, console)
    return document.write(run / runs.TABLES / "sites", docx=docx)


def show_local_calibration(
    run: Path,
    predictions: Path,
    sizes: Sequence[int],
    config: Config,
    console: Console,
    *,
    docx: bool = False,
) -> list[Path]:
    """Shows and writes what so many local patients with labels would buy.

    Of other images, or of the run's test part; of a run by sites, at each site.
    """
    thresholds = read_thresholds(run / runs.THRESHOLD).value
    rows = read_role(predictions, "test")
    if not isinstance(thresholds, dict):
        sources = [("", rows, thresholds)]
    elif SITE in rows:
        sources = [
            (str(site), part, thresholds[part["fold"].iloc[0]])
            for site, part in rows.groupby(SITE)
        ]
    else:
        raise UserError(
            "--local-calibration: expected one model for all patients of a place: a "
            f"run of `usgland fit`, or of `usgland cv --by site`. Received: {run}, "
            "which has a model a fold"
        )
    parts = [
        calibrate_locally(part, threshold, size, config.evaluation, site=site)
        for site, part, threshold in sources
        for size in dict.fromkeys(sizes)
    ]
    synthetic = runs.is_of_phantoms(run) or bool((rows["synthetic"] == "1").any())
    level = config.evaluation.confidence_level
    document = local_calibration_document(parts, level, synthetic=synthetic)
    show(document, console)
    suffix = predictions.stem.removeprefix(Path(runs.PREDICTIONS).stem)
    stem = run / runs.TABLES / f"local_calibration{suffix}"
    return document.write(stem, docx=docx)
