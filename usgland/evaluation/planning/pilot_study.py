"""A reader study that was made, as the pilot of a larger one."""

import json
from pathlib import Path
from typing import NamedTuple

from usgland.errors import UserError
from usgland.evaluation.statistics.mrmc import Components

MEASURES = ("roc_auc", "balanced_accuracy")  # the first that the readers have
WANTED = (
    "readers.json of `usgland readers --output DIR`, with and without clinical data"
)


class Pilot(NamedTuple):
    """What a pilot tells of readers and cases."""

    measure: str  # one of `MEASURES`
    components: Components
    cases: int
    malignant: int
    readers: int


def read_pilot(path: Path) -> Pilot:
    """Reads readers.json, or the folder that has it.

    Raises:
        UserError: If it is no such file, or one of one reader, of one condition, or of
            readers who did not read the same cases.
    """
    file = path / "readers.json" if path.is_dir() else path
    try:
        study = json.loads(file.read_text(encoding="utf-8"))
        averages = study["averages"]
        measure = next(name for name in MEASURES if name in averages)
        known = averages[measure]["components"]
        parts = Components(**{name: float(value) for name, value in known.items()})
        sizes = study["n"], study["n_malignant"], len(study["readers"])
        complete = study.get("complete", True)
    except FileNotFoundError as error:
        raise UserError(f"--pilot: expected {WANTED}. Received: no {file}") from error
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise UserError(f"--pilot: expected {WANTED}. Received: {file}") from error
    if sizes[2] < 2 or not complete:
        what = "one reader" if complete else "readers of different cases"
        raise UserError(
            "--pilot: expected two readers or more, all of whom read every case. "
            f"Received: {what} in {file}"
        )
    return Pilot(measure, parts, *sizes)
