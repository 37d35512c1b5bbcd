"""The run directory: the names of its files; to begin, find and resume a run."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from usgland.config import Config, load_config
from usgland.errors import UserError
from usgland.files import read_json

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
SPLITS = "splits.csv"
MODEL = "model.keras"
HISTORY = "history.csv"
CALIBRATION = "calibration.json"
THRESHOLD = "threshold.json"
PREDICTIONS = "predictions.csv"
METRICS = "metrics.json"
PLOTS = "figures"
TABLES = "tables"
CHECKPOINT = "checkpoint"
HEATMAPS = "heatmaps"
READERS = "readers"  # of a reader study
FOLDS = "folds"  # of cross-validation: a run directory each
ROUNDS = "rounds"  # of a run that holds nobody back: a run directory each
TOGETHER = "together"  # of cross-validation: a run directory of all its folds
ALONE = "alone"  # of a run with image and form: models of either, same split
TENSORBOARD = "tensorboard"


def new_run(runs_dir: Path, name: str, *, numbered: bool) -> Path:
    """Where a new run goes: `runs_dir/name`, with the first free number if asked."""
    run = runs_dir / check_name("--name", name)
    if not numbered:
        if _exists(run):
            raise UserError(
                f"A run directory is never overwritten. Received one that exists: {run}"
                ". Choose another --name, or add --resume to finish it"
            )
        return run
    places = (runs_dir / f"{name}-{number}" for number in itertools.count(1))
    return next(place for place in places if not _exists(place))


def check_name(option: str, name: str) -> str:
    """Checks that the value of an option names a folder and no path."""
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"{option}: expected the name of a folder. Received: {name!r}")
    return name


def find_resumable(
    runs_dir: Path, name: str | None, done: str, *, cross_validated: bool
) -> Path:
    """The run of that name, or the only one in `runs_dir` that lacks the file `done`.

    It was begun by `usgland cv` if `cross_validated`, else by `usgland fit`.
    """
    if name is None:
        return _find_unfinished(runs_dir, done, cross_validated=cross_validated)
    run = find_run(runs_dir / check_name("--name", name))
    if _exists(run / FOLDS) is not cross_validated:
        command = "fit" if cross_validated else "cv"
        raise UserError(
            f"--resume: expected the command that began the run. Received: {run}, "
            f"begun by `usgland {command}`"
        )
    if _exists(run / done):
        raise UserError(
            f"--resume: expected an unfinished run. Received: {run}, which is "
            "finished; `usgland evaluate` comes next"
        )
    return run


def _find_unfinished(runs_dir: Path, done: str, *, cross_validated: bool) -> Path:
    unfinished = sorted(
        path.parent
        for path in runs_dir.glob(f"[!.]*/{CONFIG}")
        if not _exists(path.parent / done)
        and _exists(path.parent / FOLDS) is cross_validated
    )
    if not unfinished:
        raise UserError(
            f"--resume: expected an unfinished run in {runs_dir}. Received: none. "
            "Leave --resume out to start one"
        )
    if len(unfinished) > 1:
        raise UserError(
            f"--resume: expected one unfinished run in {runs_dir}. Received: "
            f"{', '.join(path.name for path in unfinished)}. Choose one with --name"
        )
    return unfinished[0]


def check_same_settings(run: Path, wanted: Config) -> None:
    """Refuses to resume a run with other settings than it began with.

    Precision and batch size were settled when the run began. Whether XLA compiles the
    steps and how many GPUs share them is asked of each machine anew while it is `auto`.
    """
    stored = load_config(run / CONFIG).model_dump(mode="json")
    differing = [
        f"{group}.{key}={value} instead of {stored[group][key]}"
        for group, settings in wanted.model_dump(mode="json").items()
        for key, value in settings.items()
        if value not in (stored[group][key], "auto")
    ]
    if differing:
        raise UserError(
            f"--resume keeps the settings in {run / CONFIG}. Received: "
            f"{'; '.join(differing)}. Leave them out, or start a new run"
        )


def find_run(path: Path, *needed: str) -> Path:
    """Checks that `path` is a run directory that holds the files named."""
    for name in (CONFIG, *needed):
        if not _exists(path / name):
            raise UserError(
                f"Expected a run directory with {name}. Received: {path}. "
                "`usgland fit` and `usgland cv` make one; with --resume they finish one"
            )
    return path


def is_of_phantoms(run: Path) -> bool:
    """Whether the images that a run learned from are synthetic."""
    environment = read_json(run / ENVIRONMENT)
    synthetic = environment.get("synthetic") if isinstance(environment, dict) else None
    if not isinstance(synthetic, bool):
        raise UserError(
            f"{run / ENVIRONMENT}: expected `synthetic`: true or false, so that no "
            f"phantom passes for a patient. Received: {synthetic!r}"
        )
    return synthetic


def predictions_path(
    run: Path, manifest: Path | None, without: str | None = None
) -> Path:
    """`predictions.csv`, or `predictions-NAME.csv` for another manifest's images.

    NAME is the name of the manifest, or of its folder where it is just "manifest".
    A side that the model did without follows: `predictions-NAME-without_form.csv`.
    """
    parts = [Path(PREDICTIONS).stem]
    if manifest is not None:
        path = manifest.absolute()
        parts.append(path.parent.name if path.stem == "manifest" else path.stem)
    if without is not None:
        parts.append(f"without_{without}")
    return run / f"{'-'.join(parts)}.csv"


def patients_path(path: Path) -> Path:
    """The table of patients beside a table of predictions."""
    return path.with_name(f"{path.stem}_patients.csv")


@contextlib.contextmanager
def removed_if_empty(run: Path, is_new: bool) -> Iterator[None]:
    """Takes a new run back if the block fails before anything was learned."""
    try:
        yield
    except UserError:
        if is_new and not any((*run.rglob(f"{CHECKPOINT}/*"), *run.rglob(MODEL))):
            shutil.rmtree(run)
        raise


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a folder that may not be read, a name too long
        raise UserError(
            f"Expected a path that can be used. Received: {path} ({error.strerror})"
        ) from error
