"""The step `readers`: from two tables to a reader study and its files."""

from pathlib import Path
from typing import Any

from usgland import runs
from usgland.config import EvaluationSettings, load_config
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_role
from usgland.evaluation.cases.thresholds import Thresholds, read_thresholds
from usgland.evaluation.readers.model_beside import ModelCases, model_cases
from usgland.evaluation.readers.readings import read_readers, reader_unit
from usgland.evaluation.readers.study import study_readers
from usgland.evaluation.readers.study_plots import overview_plot, readers_plot
from usgland.evaluation.readers.study_tables import study_document
from usgland.evaluation.shown.plot_frame import save_plot
from usgland.files import check_unwritten, write_json

STUDY = "readers.json"


def make_reader_study(
    path: Path,
    *,
    predictions: Path | None,
    settings: EvaluationSettings | None = None,
    unit: str | None = None,
    role: str = "test",
    threshold: float | None = None,
    malignant_from: float | None = None,
    skipped: str = "error",
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> tuple[dict[str, Any], list[Path]]:
    """Reads, compares and, where there is a folder for them, writes the files.

    Args:
        path: The readers' table, see `read_readers`.
        predictions: A run directory or a CSV of predictions; None for the readers
            alone, whose table then has the labels.
        settings: None for those of the run, or the defaults beside a CSV.
        unit: Of the model, `image` or `patient`; None for that of the readers.
        role: Rows of the predictions: train, val or test.
        threshold: For predictions without a threshold.json.
        malignant_from: As in `read_readers`.
        skipped: As in `read_readers`.
        output: Folder for readers.json, readers.md, readers.csv and two plots; by
            default `readers` in a run directory, and nothing is written otherwise.
        overwrite: Whether an earlier study may be replaced.
        docx: Whether readers.docx is written, too.

    Returns:
        The study, as `study_readers` gives it, and the files written; readers.json
        last.
    """
    if output is None and predictions is not None and predictions.is_dir():
        output = predictions / runs.READERS
    if output is not None:
        check_unwritten("reader study", [output / STUDY], overwrite=overwrite)
    model = None
    if predictions is not None:
        model = read_model_cases(predictions, role=role, threshold=threshold)
    elif unit is not None or threshold is not None:
        raise UserError(
            "--unit and --threshold: expected only beside --predictions, whose they "
            "are. Received: no --predictions"
        )
    readings = read_readers(
        path,
        None if model is None else model.by_unit[reader_unit(path)],
        malignant_from=malignant_from,
        skipped=skipped,
    )
    settings = settings or _settings_of(predictions)
    study = study_readers(readings, model, settings, model_unit=unit)
    return study, _write(study, model, output, docx=docx) if output else []


def _settings_of(predictions: Path | None) -> EvaluationSettings:
    """Those of the run where there is one, else the defaults."""
    config = None if predictions is None else predictions / runs.CONFIG
    return load_config(config if config and config.exists() else None).evaluation


def read_model_cases(
    path: Path, *, role: str = "test", threshold: float | None = None
) -> ModelCases:
    """Reads one role of a run's predictions, or of a CSV of predictions.

    `threshold` is for a CSV that has no threshold.json beside it.
    """
    source = path / runs.PREDICTIONS if path.is_dir() else path
    beside = source.parent
    return model_cases(
        read_role(source, role),
        _thresholds(source, threshold),
        source=source,
        role=role,
        synthetic=(beside / runs.ENVIRONMENT).exists() and runs.is_of_phantoms(beside),
    )


def _thresholds(source: Path, threshold: float | None) -> Thresholds:
    beside = source.parent / runs.THRESHOLD
    if threshold is not None:
        if beside.exists():
            raise UserError(
                f"--threshold: expected only where the predictions have none. "
                f"Received: {threshold}, and {beside}; leave it out"
            )
        if not 0 < threshold < 1:
            raise UserError(f"--threshold: expected in (0, 1). Received: {threshold}")
        return Thresholds.at(threshold)
    if not beside.exists():
        raise UserError(
            f"{source}: expected {runs.THRESHOLD} beside it, the model's operating "
            "point. Received: none. Give the threshold that validation chose with "
            "--threshold"
        )
    return read_thresholds(beside)


def _write(
    study: dict[str, Any], model: ModelCases | None, folder: Path, *, docx: bool
) -> list[Path]:
    about, cases = study["model"], None
    if model is not None:
        cases = model.by_unit[about["unit"]]
        if about["unit"] == study["unit"]:  # Dropped cases stay out here, too.
            cases = cases[~cases["case"].isin(study["dropped"])]
    plots = {
        "readers.png": readers_plot(study, cases),
        "readers_overview.png": overview_plot(study, cases),
    }
    for name, plot in plots.items():
        save_plot(plot, folder / name)
    written = study_document(study).write((folder / STUDY).with_suffix(""), docx=docx)
    write_json(folder / STUDY, study)
    return [*(folder / name for name in plots), *written, folder / STUDY]
