"""What an operator of TensorFlow Serving needs, in a folder beside the versions.

TensorFlow Serving looks at folders whose name is a number, so that this one,
`NAME/operator`, is no version to it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from usgland.errors import UserError
from usgland.files import write_text, write_whole
from usgland.models.classifier import INPUT
from usgland.serving.export.operator_manifests import MODELS, compose, kubernetes
from usgland.serving.export.operator_readme import readme
from usgland.serving.export.signatures import DEFAULT, EXPLAIN
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.json_answers import answer
from usgland.serving.interface.versions import (
    WantedModel,
    find_versions,
    model_config_text,
    read_model_config,
)

FOLDER = "operator"
CONFIG = "models.config"
STABLE, CANARY = "stable", "canary"
WRITTEN = "# Written by `usgland export`; the next export writes it anew.\n"
MODELS_NOTE = f"""\
{WRITTEN}# But stable stays: canary names the newest version. Clients ask for
# .../labels/stable; to give them the newest, let stable name it, too. A version
# that a label names must be among those that are served.
"""
MONITORING = f"""\
{WRITTEN}prometheus_config {{
  enable: true
  path: "/monitoring/prometheus/metrics"
}}
"""
BATCHING = f"""\
{WRITTEN}# OFF unless the server is started with --enable_batching. With it, one corrupt
# image fails every request of its batch: only where all clients send whole images.
max_batch_size {{ value: 8 }}
batch_timeout_micros {{ value: 1000 }}
num_batch_threads {{ value: 2 }}
max_enqueued_batches {{ value: 64 }}
"""


def write_operator_files(
    folder: Path, number: int, example: Arrays, outputs: Mapping[str, Arrays]
) -> list[Path]:
    """Writes `folder/operator` for a version, over what an earlier export wrote.

    Args:
        folder: Home of the model's versions; its name is the model's.
        number: Of the version.
        example: The inputs of a made-up case, of one row, that `serving_default` takes.
        outputs: By signature, what it answers.

    Returns:
        The files written.

    Raises:
        UserError: If one cannot be written.
    """
    name, target = folder.name, folder / FOLDER
    row = answer(example, rows=True)["predictions"][0]
    if len(example) == 1:  # It stands without its name.
        row = {next(iter(example)): row}
    answers = {
        signature: answer(dict(sorted(one.items())), rows=True)["predictions"][0]
        for signature, one in outputs.items()
    }
    labels = {STABLE: _stable(folder, number), CANARY: number}
    # Not the newest ones: a label must not lose its version, nor memory grow.
    served = tuple(sorted(set(labels.values())))
    model = WantedModel(Path(MODELS) / name, specific=served, labels=labels)
    texts = {
        CONFIG: MODELS_NOTE + model_config_text({name: model}),
        "monitoring.config": MONITORING,
        "batching.config": BATCHING,
        "docker-compose.yaml": WRITTEN + _yaml(compose(name)),
        "kubernetes.yaml": WRITTEN + "---\n".join(map(_yaml, kubernetes(name))),
        "request.json": _request(row, DEFAULT),
        "explain.json": _request(row, EXPLAIN),
        "README.md": readme(name, labels, row, answers),
    }
    for file, text in texts.items():
        write_text(target / file, text)
    if INPUT in example:
        with write_whole(target / "example.png") as temporary:
            temporary.write_bytes(example[INPUT][0])
        return [target / file for file in (*texts, "example.png")]
    return [target / file for file in texts]


def _stable(folder: Path, number: int) -> int:
    """The version that clients of `stable` have; the new one if they have none."""
    path = folder / FOLDER / CONFIG
    try:
        models = read_model_config(path, folder.parent)
    except UserError:  # None is there, or none that TensorFlow Serving could read.
        return number
    labels = models[folder.name].labels if folder.name in models else {}
    stable = labels.get(STABLE, number)
    return stable if stable in find_versions(folder) else number


def _request(row: Mapping[str, Any], signature: str) -> str:
    return json.dumps({"signature_name": signature, "instances": [row]}) + "\n"


def _yaml(value: Any) -> str:
    # Without the references that repeated parts would become.
    return yaml.dump(value, Dumper=_Plain, sort_keys=False)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
