"""The second half of `explain`: measures the maps, and probes for shortcuts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.shown.plot_frame import save_plot
from usgland.evaluation.shown.terminal import show
from usgland.explanation import saliency_tables, shortcut_tables
from usgland.explanation.choices import ExplanationChoices
from usgland.explanation.explained import Explained, make_explained
from usgland.explanation.faithfulness import baseline_maps, measure_maps, summarize
from usgland.explanation.maps import make_maps
from usgland.explanation.randomization import rank_correlations, shuffled_network
from usgland.explanation.shortcuts import probe_shortcuts
from usgland.explanation.subject import Subject
from usgland.files import write_text
from usgland.models.classifier import PREPROCESSING
from usgland.runs import MODEL, PLOTS, TABLES, find_run
from usgland.steps.models import load_model

# What `--faithfulness` and `--shortcuts` write.
SALIENCY = (
    f"{TABLES}/saliency.md",
    f"{TABLES}/saliency.csv",
    f"{TABLES}/saliency_cases.csv",
    f"{PLOTS}/saliency.png",
)
SHORTCUTS = (f"{TABLES}/shortcuts.md", f"{TABLES}/shortcuts.csv")


def measure_saliency(
    target: Path,
    subject: Subject,
    maps: Mapping[str, np.ndarray],
    choices: ExplanationChoices,
    settings: EvaluationSettings,
    console: Console,
) -> list[Path]:
    """Measures the maps of every method, and of two that know nothing of the model.

    Args:
        target: Where the files of `SALIENCY` go.
        subject: The cases.
        maps: Method -> `(cases, size, size)`.
        choices: Gives the label and role of the maps, and perhaps another run.
        settings: Of the intervals.
        console: Where the table is shown.

    Returns:
        The files written.

    Raises:
        UserError: If the other run cannot be used.
    """
    strangers = {"shuffled": shuffled_network(subject.model)}
    if choices.other is not None:
        strangers["other_run"] = _other_network(choices.other, subject)
    label, inputs = choices.label, subject.part.inputs()
    measured = []
    for method, values in {**maps, **baseline_maps(subject)}.items():
        console.print(f"{method}: measuring {len(values)} maps", highlight=False)
        correlations = {}
        for name, network in strangers.items() if method in maps else ():
            theirs = make_maps(network, inputs, method=method, label=label)
            correlations[name] = rank_correlations(values, theirs, subject.boxes)
        measured.append(
            measure_maps(
                subject, values, method=method, label=label, correlations=correlations
            )
        )
    cases = pd.concat(measured, ignore_index=True)
    table = summarize(cases, settings)
    notes = saliency_tables.saliency_notes(
        table, label=label, size=subject.boxes[0].size, role=choices.role
    )
    synthetic = subject.synthetic
    document = saliency_tables.saliency_document(table, notes, synthetic=synthetic)
    show(document, console)
    markdown, _, cases_csv, png = (target / name for name in SALIENCY)
    written = document.write(markdown.with_suffix(""))
    written.append(write_table(cases, cases_csv))
    plot = saliency_tables.energy_plot(table, synthetic=synthetic)
    if plot is not None:
        save_plot(plot, png)
        written.append(png)
    return written


def _other_network(other: Path, subject: Subject) -> Explained:
    """The network of another run, which must take the same inputs."""
    find_run(other, MODEL)
    network = make_explained(load_model(other))
    ours, theirs = (
        [tensor.shape[1:] for tensor in explained.whole.inputs]
        for explained in (subject.explained, network)
    )
    if ours != theirs:
        raise UserError(
            f"--other: expected a run whose model takes the same inputs, {ours}. "
            f"Received: {other}, which takes {theirs}"
        )
    return network


def probe_run(
    target: Path, subject: Subject, settings: EvaluationSettings, console: Console
) -> list[Path]:
    """Asks the model about images without their lesion; writes `SHORTCUTS`."""
    preprocessing = subject.model.get_layer(PREPROCESSING)
    table = probe_shortcuts(subject, preprocessing, settings)
    remarks = shortcut_tables.notes(
        table, subject.boxes[0].size, with_form=subject.part.form is not None
    )
    document = shortcut_tables.shortcuts_document(
        table, remarks, synthetic=subject.synthetic
    )
    show(document, console)
    return document.write((target / SHORTCUTS[0]).with_suffix(""))


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Writes a CSV, whole or not at all; gives its path."""
    write_text(path, table.to_csv(index=False))
    return path
