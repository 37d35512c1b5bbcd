"""What an operator of TensorFlow Serving needs, in a folder beside the versions.

TensorFlow Serving looks at folders whose name is a number, so that this one,
`NAME/operator`, is no version to it. Its files stand in `templates/`, with `$name`
where a value of the model belongs; requests with a made-up case are added here.
"""

import importlib.resources
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import yaml

from usgland.errors import UserError
from usgland.files import write_text, write_whole
from usgland.models.classifier import INPUT
from usgland.serving.export.answer_network import HEATMAP
from usgland.serving.export.signatures import DEFAULT, EXPLAIN, IMAGE_ONLY
from usgland.serving.interface import versions
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.rest_json import answer

TEMPLATES = importlib.resources.files("usgland.serving.export") / "templates"
FOLDER = "operator"
CONFIG = "models.config"
STABLE, CANARY = "stable", "canary"
MODELS = Path("/models")  # where a container finds all models
# The last version known to us. The graph's operations are older; it was not run in it.
IMAGE = "tensorflow/serving:2.19.1"
# YAML is written anew from what the template says, without the template's comments.
WRITTEN = "# Written by `usgland export`; the next export writes it anew.\n"
# Lines of a template that are only for models that take an image, or a form.
OPTIONAL = re.compile(r"<!-- if (image|form) -->\n(.*?)<!-- end -->\n", re.DOTALL)


def write_operator_files(
    folder: Path, number: int, example: Arrays, outputs: Mapping[str, Arrays]
) -> None:
    """Writes `folder/operator` for a version, over what an earlier export wrote.

    The example is a made-up case, of one row, that `serving_default` takes, and the
    outputs by signature are what it answers.

    Raises:
        UserError: If a file cannot be written.
    """
    target = folder / FOLDER
    case = _json_row(example)
    if len(example) == 1:  # JSON gives one input without its name.
        case = {next(iter(example)): case}
    answers = {
        signature: _json_row(dict(sorted(arrays.items())))
        for signature, arrays in outputs.items()
    }
    values = _values(folder, number, case, answers)
    takes = {"image": INPUT in case, "form": bool(case.keys() - {INPUT})}
    for template in sorted(TEMPLATES.iterdir(), key=lambda file: file.name):
        text = template.read_text(encoding="utf-8")
        is_yaml = template.name.endswith(".yaml")
        text = fill_yaml(text, values) if is_yaml else fill_text(text, values, takes)
        write_text(target / template.name, text)
    write_text(target / "request.json", _request(case, DEFAULT))
    write_text(target / "explain.json", _request(case, EXPLAIN))
    if takes["image"]:
        with write_whole(target / "example.png") as temporary:
            temporary.write_bytes(example[INPUT][0])


def fill_text(text: str, values: Mapping[str, Any], takes: Mapping[str, bool]) -> str:
    """Puts values into a template, where their names stand behind a `$`.

    What stands between `<!-- if form -->` and `<!-- end -->` is for models that take a
    form, `image` likewise.
    """
    text = OPTIONAL.sub(lambda match: match[2] if takes[match[1]] else "", text)
    return Template(text).substitute(values)


def fill_yaml(text: str, values: Mapping[str, Any]) -> str:
    """Puts values into the texts of YAML documents, whatever quotes they need there."""

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        return Template(part).substitute(values) if isinstance(part, str) else part

    documents = [filled(document) for document in yaml.safe_load_all(text)]
    return WRITTEN + yaml.safe_dump_all(documents, sort_keys=False)


def kubernetes_name(name: str) -> str:
    """A name of lower-case letters, digits and hyphens, as Kubernetes wants it."""
    bare = re.sub("[^a-z0-9]+", "-", name.lower())[:50].strip("-")
    return f"usgland-{bare or 'model'}"


def _values(
    folder: Path, number: int, case: Mapping[str, Any], answers: Mapping[str, Any]
) -> dict[str, Any]:
    """What the templates ask for, by name."""
    name = folder.name
    labels = {STABLE: _stable(folder, number), CANARY: number}
    # If the newest were served, a label could lose its version, or memory grow.
    served = tuple(sorted(set(labels.values())))
    model = versions.WantedModel(MODELS / name, specific=served, labels=labels)
    form = {column: value for column, value in case.items() if column != INPUT}
    reasons = ["a heat map, the brighter the more it speaks for malignant"]
    reasons = reasons * (INPUT in case)
    reasons += ["what each value of the form adds to `logit`"] * bool(form)
    explanation = {
        key: text for key, text in answers[EXPLAIN].items() if key != HEATMAP
    }
    return {
        "name": name,
        "json_name": json.dumps(name),
        "kubernetes_name": kubernetes_name(name),
        "url_name": quote(name),
        "url": f"http://127.0.0.1:8501/v1/models/{quote(name)}",
        "image": IMAGE,
        "number": number,
        "stable": labels[STABLE],
        "models": versions.model_config_text({name: model}).rstrip(),
        "picture": ", `example.png`" if INPUT in case else "",
        "answer": json.dumps({"predictions": [answers[DEFAULT]]}),
        "image_answer": json.dumps({"predictions": [answers.get(IMAGE_ONLY)]}),
        "reasons": "; ".join(reasons),
        "explanation": json.dumps(explanation),
        "form": json.dumps(form),
        "probability": answers[DEFAULT]["probability"],
    }


def _stable(folder: Path, number: int) -> int:
    """The version that clients of `stable` have; the new one if they have none."""
    path = folder / FOLDER / CONFIG
    try:
        models = versions.read_model_config(path, folder.parent)
    except UserError:  # There is no list, or none that it could read.
        return number
    labels = models[folder.name].labels if folder.name in models else {}
    stable = labels.get(STABLE, number)
    return stable if stable in versions.find_versions(folder) else number


def _json_row(arrays: Arrays) -> Any:
    """The one row of some inputs or outputs, as JSON holds it."""
    return answer(arrays, rows=True)["predictions"][0]


def _request(case: Mapping[str, Any], signature: str) -> str:
    return json.dumps({"signature_name": signature, "instances": [case]}) + "\n"
