"""The step `evaluate` of a table alone: labels and probabilities, whoever made them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    NEAREST,
    have_phantoms,
    only_calls,
    read_role,
)
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.assessment_tables import (
    calibration_table,
    subgroup_tables,
)
from usgland.evaluation.performance.assessments import assess
from usgland.evaluation.performance.full_tables import (
    group_calibration_document,
    regions_document,
)
from usgland.evaluation.performance.measure_tables import metrics_document
from usgland.evaluation.performance.measures import metrics_of, units_of
from usgland.evaluation.performance.subgroups import (
    BANDS,
    group_names,
    parse_subgroups,
)
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.shown.plot_frame import save_plot
from usgland.evaluation.shown.table import Document
from usgland.evaluation.shown.terminal import show, show_table
from usgland.files import check_unwritten, write_json
from usgland.steps.evaluation_files import evaluation_documents, evaluation_plots
from usgland.table_files import check_columns, with_points

METRICS = "metrics.json"
HALF = 0.5


def evaluate_table(
    path: Path,
    console: Console,
    *,
    threshold: float | None = None,
    subgroups: Sequence[str] = (),
    prevalences: Sequence[float] = (),
    output: Path | None = None,
    overwrite: bool = False,
    full: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Scores a table with the settings that a run has by default.

    Args:
        path: As `read_scored` reads it; of its roles test is scored.
        console: Where the measures are shown.
        threshold: P(malignant) from which a case is called malignant; None for 0.5.
        subgroups: `COLUMN` or `COLUMN:cut,cut` of the table.
        prevalences: As for `evaluate_run`.
        output: Folder for metrics.json, tables and plots; None: nothing is written.
        overwrite: Whether earlier ones may be replaced.
        full: Whether calibration and parts of the ROC curve are shown, too.
        docx: Whether every table is written as a Word file, too.
    """
    if output is not None:
        check_unwritten("evaluation", [output / METRICS], overwrite=overwrite)
    cuts = parse_subgroups(subgroups)
    rows = read_role(path, "test", any_table=True)
    if rows["label"].nunique() < 2:
        raise UserError(
            f"{path}: expected benign and malignant cases. Received: {len(rows)} of "
            f"label {rows['label'].iloc[0]}"
        )
    check_columns(path, cuts, [str(name) for name in rows], "They make the subgroups")
    groups = {}
    for name, own in cuts.items():
        groups[name] = group_names(
            with_points(rows[name], 1 if own else BANDS + 1), own
        )
    settings = EvaluationSettings(prevalences=tuple(dict.fromkeys(prevalences)))
    thresholds = Thresholds.at(HALF if threshold is None else threshold)
    units = units_of(rows, settings)
    metrics = metrics_of(
        rows, thresholds, settings, synthetic=have_phantoms(rows), units=units
    )
    # Without a validation part there are no further points, not ones that lack.
    metrics |= {"points_missing": [], "cost": {}, "forced_leaks": []}
    calls = only_calls(rows)
    metrics |= assess(
        rows,
        thresholds,
        settings,
        prevalences=prevalences,
        groups=groups,
        units={} if calls else units,
    )
    # Where every patient is one row, the two columns would be one.
    alone = len(units["patient"].rows) == len(rows)
    columns = UNITS[1:] if alone else UNITS
    show(metrics_document(metrics, columns), console)
    tables = [calibration_table(metrics, columns)] if full and not calls else []
    for table in (*tables, *subgroup_tables(metrics, UNITS[1:])):
        console.print()
        show_table(table, console)
    further: dict[str, Document] = {}
    if full and not calls:
        parts = {name: units[name] for name in columns}
        marked = {"synthetic": metrics["synthetic"]}
        further["roc_regions"] = regions_document(parts, settings, **marked)
        if cuts:
            cells = rows.assign(
                **{
                    name: with_points(rows[name], 1 if own else BANDS + 1)
                    for name, own in cuts.items()
                }
            )
            further["subgroup_calibration"] = group_calibration_document(
                cells, cuts, settings, **marked
            )
    for document in further.values():
        console.print()
        show(document, console)
    for note in _notes(rows, calls, threshold):
        console.print(note, highlight=False, markup=False)
    if output is None:
        return []
    plots = evaluation_plots(rows, metrics, "")
    written = [output / f"{name}.png" for name in plots]
    for file, plot in zip(written, plots.values(), strict=True):
        save_plot(plot, file)
    for name, document in (evaluation_documents(metrics) | further).items():
        written += document.write(output / name, docx=docx)
    write_json(output / METRICS, metrics)
    return [*written, output / METRICS]


def _notes(rows: pd.DataFrame, calls: bool, threshold: float | None) -> Iterator[str]:
    """What was assumed of the table."""
    if calls:
        yield (
            "The table holds calls, no probabilities: one operating point, whose AUC "
            "is the balanced accuracy, and no calibration."
        )
        if rows["patient_id"].duplicated().any():
            yield (
                "A patient's probability is made of several calls: above 0.5 where "
                "most say malignant, 0.5 where as many say benign. Their AUC is of "
                "that order."
            )
    else:
        if threshold is None:
            yield "No --threshold was given: 0.5, not one chosen on other cases."
        ends = int(rows["probability"].isin([0, 1]).sum())
        if ends:
            yield (
                f"Probabilities of 0 or 1: {ends}. Where logits are needed, as for "
                f"calibration and means of images, they are {NEAREST:g} from there."
            )
    labels = rows.groupby("patient_id")["label"].nunique()
    if both := int((labels > 1).sum()):
        yield (
            f"Patients with rows of both labels: {both}. Per patient they count as "
            "malignant."
        )
    if rows["patient_id"].equals(rows["image"]):
        yield (
            "Every row counts as a patient. Where patients have several, name them in "
            "a column patient_id: intervals would be too narrow without it."
        )
