"""Threshold and calibration where nobody is held back to choose them by.

Networks that are trained without some of the patients speak of these. So there is no
image on which a network is calibrated that it, or one beside it, has learned from.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config, load_config
from usgland.data.manifest import NO_LESION
from usgland.data.sources import run_rows, with_lesion
from usgland.data.splits import TEACHER, UNUSED
from usgland.evaluation.cases.calibration import (
    apply_calibration,
    fit_calibration,
    write_calibration,
)
from usgland.evaluation.cases.out_of_fold import Said, gather_out_of_fold
from usgland.evaluation.cases.predictions import read_predictions
from usgland.evaluation.cases.thresholds import choose_points, write_thresholds
from usgland.steps.models import load_model
from usgland.steps.offset_fusion import fit_offset, joins_by_offset
from usgland.steps.prediction import write_predictions
from usgland.table_files import read_table, to_numbers
from usgland.training.fit import fit_run
from usgland.training.predict import predict_rows

ROUNDS = 3  # of a run that holds nobody back: each trains on two thirds


def describe_rounds(run: Path, console: Console) -> None:
    """One line on what it costs that nobody is held back."""
    splits = [read_table(part / runs.SPLITS) for part in (run, *_rounds_of(run))]
    images = [int((table["role"] == "train").sum()) for table in splits]
    console.print(
        f"Nobody is held back: {len(splits) - 1} networks, each trained without some "
        "of the patients, speak of these to place threshold and calibration of the "
        f"last, of all; together {sum(images) / images[0]:.1f} times as long as one",
        highlight=False,
        soft_wrap=True,
    )


def train_network(
    run: Path, rows: pd.DataFrame, config: Config, console: Console
) -> None:
    """Makes the model of a prepared run, or finishes it, however it is made."""
    if joins_by_offset(config):
        fit_offset(run, rows, config, console)
    else:
        fit_run(run, rows, console)


def train_rounds(run: Path, checked: pd.DataFrame, console: Console) -> None:
    """Trains the network of each round of a run, and asks it about whom it leaves out.

    Args:
        run: A prepared run with rounds. Those that are done are not repeated.
        checked: What `manifest_rows` gave.
        console: Where progress is shown.
    """
    parts = _rounds_of(run)
    for number, part in enumerate(parts, start=1):
        if (part / runs.PREDICTIONS).exists():
            continue
        console.rule(f"Round {number} of {len(parts)}")
        config = load_config(part / runs.CONFIG)
        rows = run_rows(part, config, console, checked, no_lesion=True)
        train_network(part, taught_rows(rows, part), config, console)
        asked = with_lesion(rows[rows["role"] == "test"])
        write_predictions(
            predict_rows(load_model(part), asked), part / runs.PREDICTIONS
        )
        keras.backend.clear_session()
    console.rule("All of them")


def rounds_out_of_fold(run: Path) -> pd.DataFrame:
    """What the rounds of a run say of whom they have not learned from."""
    said = {
        part.name: Said(
            read_predictions(part / runs.PREDICTIONS), read_table(part / runs.SPLITS)
        )
        for part in _rounds_of(run)
    }
    splits = read_table(run / runs.SPLITS)
    return gather_out_of_fold(said, splits[splits["role"] == "test"])


def choose_across_folds(rounds: Mapping[Path, pd.DataFrame], config: Config) -> None:
    """Calibrates each fold by what the others say of their own tests, and predicts.

    The others have learned from the patients of the fold, as each has from all but its
    own; of what they say, two numbers and a threshold reach the fold.

    Args:
        rounds: The run directory of each fold, with a model -> its rows with `role`.
        config: Gives `evaluation`.
    """
    if all((part / runs.PREDICTIONS).exists() for part in rounds):
        return
    said = {}
    for part, rows in rounds.items():
        known = with_lesion(rows[rows["role"] != UNUSED]).drop(columns="fold")
        said[part] = Said(
            predict_rows(load_model(part), known), read_table(part / runs.SPLITS)
        )
        keras.backend.clear_session()
    for part, own in said.items():
        others = {other.name: said[other] for other in said if other != part}
        tested = own.splits[own.splits["role"] == "test"]
        pooled = gather_out_of_fold(others, tested)
        calibration = fit_calibration(pooled, config.evaluation.calibration)
        write_calibration(part / runs.CALIBRATION, calibration)
        pooled = apply_calibration(pooled, calibration)
        thresholds = choose_points(pooled, config.evaluation)
        write_thresholds(part / runs.THRESHOLD, thresholds)
        predictions = apply_calibration(own.predictions, calibration)
        write_predictions(predictions, part / runs.PREDICTIONS)


def taught_rows(rows: pd.DataFrame, run: Path) -> pd.DataFrame:
    """The rows with what a teacher says of them, where the run's splits.csv has it."""
    splits = read_table(run / runs.SPLITS).set_index("image")
    if TEACHER not in splits:
        return rows
    said = to_numbers(splits[TEACHER]).reindex(rows["image"]).to_numpy("float64")
    silent = np.isnan(said) & (rows["role"] == "train") & (rows["label"] != NO_LESION)
    if silent.any():
        raise ValueError(
            f"Expected a teacher's word on every image that trains. Received: none on "
            f"{rows.loc[silent, 'image'].iloc[0]}, in {run / runs.SPLITS}"
        )
    return rows.assign(**{TEACHER: said})


def _rounds_of(run: Path) -> list[Path]:
    return sorted((run / runs.ROUNDS).iterdir(), key=lambda path: int(path.name))
