"""The model card: what a model is for, what it was trained on, how good it is."""

from collections.abc import Mapping
from typing import Any

from usgland.config import Config
from usgland.evaluation.report.checklists import AUTHOR
from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.table import Table, rows
from usgland.evaluation.shown.text import SYNTHETIC, format_measure


def model_card(
    name: str, config: Config, metrics: dict[str, Any], facts: Mapping[str, str]
) -> str:
    """The card as Markdown, of metrics.json and of what `run_facts` gives.

    Reference:
        [Mitchell et al., 2019](https://doi.org/10.1145/3287560.3287596), whose
        sections it has.
    """
    groups = "see Subgroups in report.html" if "subgroups" in facts else AUTHOR
    sections = {
        "Model details": [
            facts["model"],
            facts["weights"],
            f"Training: {facts['training']}; kept: {facts['choice']}.",
            facts["version"],
        ],
        "Intended use": [
            "Research on telling benign from malignant lesions on B-mode ultrasound.",
            "Not a medical device; it does not diagnose.",
            f"Population and setting: {AUTHOR}.",
        ],
        "Factors": [f"Devices, age, sex, lesion size: {groups}."],
        "Training data": [
            f"{facts['source']} {facts['split']}",
            facts["flow"],
            facts["predictors"],
            f"Preprocessing, in the saved graph: {facts['preprocessing']}.",
            facts["missing"],
        ],
        "Evaluation": [
            f"Role {metrics['role']}. {facts['threshold']}",
            facts["statistics"],
        ],
        "Ethical considerations and limits": [
            facts["left_out"],
            "The measures hold for images like those above; on other machines and in "
            "other hospitals they can be much worse.",
            f"Approval, consent, known inequalities: {AUTHOR}.",
        ],
    }
    lines = [f"# Model card: {name}", ""]
    lines += [f"**{SYNTHETIC}**", ""] if metrics["synthetic"] else []
    for heading, items in sections.items():
        lines += [f"## {heading}", "", *(f"- {item}" for item in items), ""]
        if heading == "Evaluation":
            lines += [*_measures(metrics).markdown(), ""]
    return "\n".join(lines)


def _measures(metrics: dict[str, Any]) -> Table:
    parts = [metrics[unit]["figures"] for unit in UNITS]
    lines = (
        (NAMES[name], *(format_measure(part[name]) for part in parts))
        for name in parts[0]
        if name in NAMES
    )
    return Table(("", *(f"per {unit}" for unit in UNITS)), (rows(lines),))
