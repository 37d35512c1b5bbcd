"""What each side adds: the models beside a multimodal run, and its columns' worth.

A run with image and form has a folder `alone`: the image alone and the form alone,
run directories of the same split, and logistic regressions on the form and its parts.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config
from usgland.evaluation.cases.calibration import read_calibration
from usgland.evaluation.cases.predictions import read_predictions
from usgland.evaluation.comparison.additions import (
    BOTH,
    additions,
    additions_document,
    additions_sentence,
)
from usgland.evaluation.performance.importance import (
    importance_document,
    importance_table,
)
from usgland.evaluation.shown.terminal import show
from usgland.files import write_text
from usgland.schema import ClinicalSettings, Role
from usgland.steps.models import load_model
from usgland.training.automatic import LARGE_BATCH, SMALL_BATCH
from usgland.training.logistic import logistic_predictions
from usgland.training.parts import read_part
from usgland.training.permuted_inputs import permuted_logits

# Folder in `alone` -> what it is called beside `BOTH`.
NETWORKS = {"image": "image alone", "clinical": "form alone"}
LOGISTIC = {
    "logistic": "form, logistic",
    "logistic_demographic": "demographic, logistic",
    "logistic_image_read": "image-read, logistic",
}


def has_companions(config: Config) -> bool:
    """Whether a run has other models beside it."""
    return config.model.inputs == "both" and config.clinical.companions


def train_companions(
    run: Path,
    config: Config,
    console: Console,
    train: Callable[[Path, Config | None, Console], None],
    done: str,
) -> None:
    """Trains the image alone and the form alone on the split of a run.

    `config` is the run's own, as stored; `train` is `fit` or `cross_validate`, `done`
    the file that a finished one has.
    """
    for folder, name in NETWORKS.items():
        console.rule(f"Beside it: {name}")
        beside = run / runs.ALONE / folder
        if (beside / done).exists():
            console.print("Done before")
        elif (beside / runs.CONFIG).exists():
            train(beside, None, console)
        else:
            train(beside, _alone(config, folder, run), console)
        keras.backend.clear_session()
    console.rule("Image and form")


def write_logistic(run: Path, parts: list[pd.DataFrame], config: Config) -> None:
    """Writes what logistic regressions say of the test rows, pooled over the parts.

    Parts are checked rows with `role`, and `fold` in cross-validation; one a fold.
    """
    for folder, settings in _logistic_settings(config.clinical):
        path = run / runs.ALONE / folder / runs.PREDICTIONS
        if not path.exists():
            tables = [logistic_predictions(rows, settings) for rows in parts]
            pooled = pd.concat(table[table["role"] == "test"] for table in tables)
            write_text(path, pooled.to_csv(index=False))


def compare_sides(
    run: Path,
    predictions: pd.DataFrame,
    config: Config,
    console: Console,
    *,
    full: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Prints and writes what each side adds, on the test rows of all models.

    The companions have their predictions; `predictions` are the run's own, one row an
    image. `full` shows the table, not the answer in a sentence.
    """
    tables = {BOTH: predictions}
    for folder, name in (NETWORKS | LOGISTIC).items():
        path = run / runs.ALONE / folder / runs.PREDICTIONS
        if path.exists():
            tables[name] = read_predictions(path)
    tables = {name: rows[rows["role"] == "test"] for name, rows in tables.items()}
    added = additions(tables, level=config.evaluation.confidence_level)
    document, sentence = additions_document(added), additions_sentence(added)
    if full:
        show(document, console)
    elif sentence:
        console.print(sentence, highlight=False, markup=False)
    return document.write(run / runs.TABLES / "additions", docx=docx)


def measure_importance(
    run: Path,
    models: Iterator[tuple[Path, pd.DataFrame]],
    config: Config,
    console: Console,
    *,
    full: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Writes what each column of the form is worth to the trained models.

    Models are run directories with a model, each with its test rows. The table is shown
    if `full`.
    """
    cases, logits = [], []
    for number, (part, rows) in enumerate(models):
        model = load_model(part)
        ids = rows["patient_id"].to_numpy()
        seed = config.evaluation.seed + number
        permuted = permuted_logits(model, read_part(model, rows), ids, seed=seed)
        # As predictions are: the folds' logits are ranked together.
        fit = read_calibration(part / runs.CALIBRATION)
        logits.append(
            {k: fit["slope"] * x + fit["intercept"] for k, x in permuted.items()}
        )
        cases.append(rows[["patient_id", "label"]].assign(fold=number))
        keras.backend.clear_session()
    joined = {
        name: np.concatenate([of_fold[name] for of_fold in logits], axis=1)
        for name in logits[0]
    }
    table = importance_table(
        pd.concat(cases),
        joined,
        resamples=config.evaluation.bootstrap_resamples,
        level=config.evaluation.confidence_level,
        seed=config.evaluation.seed,
    )
    document = importance_document(table, synthetic=runs.is_of_phantoms(run))
    if full:
        show(document, console)
    return document.write(run / runs.TABLES / "importance", docx=docx)


def _alone(config: Config, inputs: str, run: Path) -> Config:
    """The settings of a companion: the same but for what it takes and its split.

    `config` is settled by the hardware and the images; a form depends on neither.
    """
    # Alone, the image branch has nobody to lean on: it learns.
    train: dict[str, Any] = {"freeze_image": False}
    if inputs == "clinical":
        train["precision"] = "float32"
        if config.train.batch_size == LARGE_BATCH:
            train["batch_size"] = SMALL_BATCH
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"inputs": inputs}),
            "train": config.train.model_copy(update=train),
            "split": config.split.model_copy(update={"file": run / runs.SPLITS}),
        }
    )


def _logistic_settings(
    settings: ClinicalSettings,
) -> Iterator[tuple[str, ClinicalSettings]]:
    yield "logistic", settings
    for role in get_args(Role):
        of_role = settings.model_copy(update={"roles": (role,)})
        if role in settings.roles and 0 < len(of_role.used()) < len(settings.used()):
            yield f"logistic_{role}", of_role
