"""The model card: what a model is for, what it was trained on, how good it is."""

from collections.abc import Mapping
from typing import Any

from usgland.config import Config
from usgland.evaluation.report.checklists import AUTHOR
from usgland.evaluation.shown.names import NAMES
from usgland.evaluation.shown.text import SYNTHETIC, format_measure


def model_card(
    name: str, config: Config, metrics: dict[str, Any], facts: Mapping[str, str]
) -> str:
    """The card as Markdown.

    Args:
        name: Of the run.
        config: Its settings.
        metrics: Of metrics.json.
        facts: As `run_facts` gives them.

    Reference:
        [Mitchell et al., 2019](https://doi.org/10.1145/3287560.3287596), whose
        sections it has.
    """
    groups = "see Subgroups in report.html" if "subgroups" in facts else AUTHOR
    lines = [f"# Model card: {name}", ""]
    if metrics["synthetic"]:
        lines += [f"**{SYNTHETIC}**", ""]
    lines += [
        "## Model details",
        "",
        f"- {facts['model']}",
        f"- {facts['weights']}",
        f"- Training: {facts['training']}; kept: {facts['choice']}.",
        f"- {facts['version']}",
        "",
        "## Intended use",
        "",
        "- Research on telling benign from malignant lesions on B-mode ultrasound.",
        "- Not a medical device; it does not diagnose.",
        f"- Population and setting: {AUTHOR}.",
        "",
        "## Factors",
        "",
        f"- Devices, age, sex, lesion size: {groups}.",
        "",
        "## Training data",
        "",
        f"- {facts['source']} {facts['split']}",
        f"- {facts['flow']}",
        f"- {facts['predictors']}",
        f"- Preprocessing, in the saved graph: {facts['preprocessing']}.",
        f"- {facts['missing']}",
        "",
        "## Evaluation",
        "",
        f"- Role {metrics['role']}. {facts['threshold']}",
        f"- {facts['statistics']}",
        "",
        "| | per image | per patient |",
        "|---|---:|---:|",
    ]
    for measure in metrics["patient"]["figures"]:
        if measure in NAMES:
            cells = [
                format_measure(metrics[unit]["figures"][measure])
                for unit in ("image", "patient")
            ]
            lines.append(f"| {NAMES[measure]} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Ethical considerations and limits",
        "",
        f"- {facts['left_out']}",
        "- The measures hold for images like those above; on other machines and in "
        "other hospitals they can be much worse.",
        f"- Approval, consent, known inequalities: {AUTHOR}.",
        "",
    ]
    return "\n".join(lines)
