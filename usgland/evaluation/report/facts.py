"""What a run knows about itself, in sentences that a reporting guideline can use."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from usgland.config import Config
from usgland.evaluation.report.flow import Excluded, describe_rows
from usgland.evaluation.shown.text import format_percent

TAKES = {"image": "image", "clinical": "clinical form", "both": "image and form"}
# What environment.json may tell of the model, and how a reader sees it.
RECORDED: dict[str, tuple[str, Callable[[float], str]]] = {
    "Parameters": ("parameters", "{:,}".format),
    "Size of model.keras": ("model_bytes", lambda size: f"{size / 1e6:.2f} MB"),
    "Training time": ("training_seconds", "{:,.0f} s".format),
    "Time an image": ("seconds_per_image", lambda time: f"{1000 * time:.1f} ms"),
}
# Facts that a section of the report shows, and what to look for; of two for one fact,
# the later goes before.
POINTERS = (
    ("diagram", "Flow of patients", ""),
    ("confusion", "Results", ": counts per image and per patient"),
    ("measures", "Results", ": per image and per patient, with intervals"),
    ("errors", "Worst errors", ""),
    ("calibration", "Calibration and benefit", ""),
    ("subgroups", "Subgroups", ""),
    ("baseline", "Table 1", ""),
    ("saliency", "Heat maps", ""),
    ("saliency", "Where the model looked", ""),
)


class RunContents(NamedTuple):
    """What a report shows of one run."""

    name: str
    config: Config
    settings: str  # the same, as the text of config.yaml
    environment: dict[str, Any]  # of environment.json
    metrics: dict[str, Any]  # of metrics.json
    splits: pd.DataFrame  # of splits.csv, with `label` as numbers
    texts: Mapping[str, str]  # file in the run, e.g. `tables/metrics.md` -> Markdown
    pictures: Mapping[str, Path]  # the same, e.g. `figures/roc.png` -> where it lies
    # Images for the gallery of errors: `image`, `image_path`, `label`, `prediction`,
    # `probability`, `logit`; None: no gallery.
    scored: pd.DataFrame | None = None
    excluded: Sequence[Excluded] = ()
    elsewhere: Sequence[str] = ()  # names of the files with measures on other images


def run_facts(run: RunContents, sections: Collection[str]) -> dict[str, str]:
    """Name, as `usgland.evaluation.report.checklists` has it -> one sentence.

    Only what is known. Sections are the headings that the report shows; no fact points
    to another.
    """
    config, environment = run.config, run.environment
    facts = {
        "left_out": _left_out(run.excluded),
        "model": _model(config, environment),
        "threshold": _threshold(run.metrics),
        "blinding": "The model is given no label at prediction.",
        "statistics": _statistics(run.metrics),
        "indeterminate": "There are none: every image gets a probability.",
        "missing": _missing(config),
        "flow": "; ".join(describe_rows(run.splits)) + ".",
        "preprocessing": _preprocessing(config),
        "split": _split(config),
        "version": _version(environment),
        "source": f"Manifest: {config.data.manifest or 'synthetic phantoms'}.",
        "weights": f"Starting weights: {config.model.weights or 'random'}.",
        "training": _training(config),
        "choice": _choice(config),
        "ensemble": _ensemble(config, run.splits),
        "imbalance": f"Class weights: {config.train.class_weights or 'none'} "
        "(train.class_weights).",
        "predictors": _predictors(config),
    }
    if run.elsewhere:
        facts["external"] = f"See the measures in {', '.join(run.elsewhere)}."
    return facts | {
        fact: f"See {section}{what}."
        for fact, section, what in POINTERS
        if section in sections
    }


def describe_model(
    config: Config, environment: dict[str, Any]
) -> list[tuple[str, str]]:
    """Rows of the table that describes the model: what, and its value."""
    recorded = [
        (heading, text(environment[name]))
        for heading, (name, text) in RECORDED.items()
        if name in environment
    ]
    return [
        ("Takes", TAKES[config.model.inputs]),
        ("Network", _network(config)),
        ("Image", _preprocessing(config)),
        ("Training", _training(config)),
        ("Kept", _choice(config)),
        *recorded,
    ]


def _left_out(excluded: Sequence[Excluded]) -> str:
    if not excluded:
        return "No row of the manifest was left out; how it was made: author."
    return "; ".join(f"{rows.images} images: {rows.reason}" for rows in excluded) + "."


def _network(config: Config) -> str:
    if config.model.inputs == "clinical":
        return f"one layer of {config.model.clinical_units} units on the form"
    text = f"{config.model.backbone}, mean of its feature map, one logit, sigmoid"
    if config.model.inputs == "both":
        text += f"; joined with the form by {config.model.fusion}"
    return text


def _model(config: Config, environment: dict[str, Any]) -> str:
    parameters = environment.get("parameters")
    count = f", {parameters:,} parameters" if parameters else ""
    return f"{_network(config)}{count}; weights in model.keras."


def _threshold(metrics: dict[str, Any]) -> str:
    threshold, where = metrics["threshold"], metrics.get("chosen_on", "validation")
    if isinstance(threshold, dict):
        whose = "validation patients of its fold"
        if where != "validation":
            whose = f"{where} of the other folds"
        return f"One threshold a fold, each chosen on {whose}."
    return f"P(malignant) >= {threshold:.4f}, chosen on {where}, then frozen."


def _ensemble(config: Config, splits: pd.DataFrame) -> str:
    if "teacher_logit" in splits and config.split.file is not None:
        teachers = config.split.file.parent.name
        return f"One model, taught by the folds of {teachers} (`usgland distill`)."
    return "No ensemble: one model (a fold)."


def _statistics(metrics: dict[str, Any]) -> str:
    measures = metrics["patient"]["figures"].values()
    methods = sorted({x["method"] for x in measures if x["low"] is not None})
    level = format_percent(metrics["confidence_level"])
    return f"{level} intervals per image and per patient: {'; '.join(methods)}."


def _missing(config: Config) -> str:
    if config.model.inputs == "image":
        return "Every case has its image; no clinical value is used."
    state = "a state of its own" if config.clinical.missing_indicator else "the average"
    return f"A missing value of the form counts as {state} (clinical)."


def _preprocessing(config: Config) -> str:
    settings = config.preprocessing
    grey = "grey levels kept"
    if settings.grey_percentiles is not None:
        low, high = settings.grey_percentiles
        grey = f"percentiles {low:g} and {high:g} become black and white"
    view, side = settings.image_size, settings.picture_side
    seen = "" if view == side else f", seen in views of {view} x {view}"
    return (
        f"Pictures of {side} x {side} pixels{seen}, aspect ratio kept, "
        f"{grey}, speckle filter {settings.speckle_filter}"
    )


def _split(config: Config) -> str:
    source = "drawn" if config.split.file is None else "as given"
    return (
        f"By patient, group and identical file, {source}, seed {config.split.seed}; "
        "no patient stands in two parts (checked)."
    )


def _version(environment: dict[str, Any]) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in environment["packages"].items())
    return (
        f"usgland {environment['usgland']}, commit {environment['git_commit']}, Python "
        f"{environment['python']}, {packages}."
    )


def _training(config: Config) -> str:
    settings = config.train
    return (
        f"{settings.optimizer}, rate {settings.learning_rate:g}, {settings.epochs} "
        f"epochs of batches of {settings.batch_size}, {settings.loss}, seed "
        f"{settings.seed}; augmentation as in config.yaml"
    )


def _choice(config: Config) -> str:
    if config.keeps_last:
        return "the last epoch"
    return f"the best epoch by {config.train.monitor} on validation patients"


def _predictors(config: Config) -> str:
    if config.model.inputs == "image":
        return "The image alone."
    text = "Form: " + ", ".join(config.clinical.used()) + "."
    return text if config.model.inputs == "clinical" else "The image. " + text
