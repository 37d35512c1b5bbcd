"""`usgland serve --page` as a command: alone, and before a TensorFlow Serving."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = "from usgland.cli.main import cli; cli()"
# Takes TensorFlow Serving's flags; what serves is the built-in server.
STANDS_FOR_TF_SERVING = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
flags = dict(one.removeprefix("--").split("=") for one in sys.argv[1:])
sys.argv[1:] = [
    *("serve", "--builtin", "--rest-port", flags["rest_api_port"]),
    *("--grpc-port", flags["port"]),
    *("--model-config-file", flags["model_config_file"]),
]
{COMMAND}
"""

pytestmark = pytest.mark.slow


def start(models_dir, *arguments, path=None):
    """The command, its environment and the first line that names the page."""
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", COMMAND, "serve", "--page"),
            *("--models-dir", str(models_dir), *arguments),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Stop with"):
            break
    return process, lines


def ended(process):
    process.send_signal(signal.SIGTERM)
    status = process.wait(60)
    process.stdout.close()
    return status


def test_the_address_of_the_page_is_the_first_that_is_printed(page_models, serving):
    port = serving.free_port()
    process, lines = start(
        page_models, *("--builtin", "--grpc-port", "0", "--rest-port", str(port))
    )
    try:
        addresses = [line for line in lines if "://" in line]
        assert addresses == [
            f"Page  http://127.0.0.1:{port}/",
            f"REST  http://127.0.0.1:{port}/v1/models/NAME",
        ]
        status, content = serving.Client(port).get("/")
        assert status == 200
        assert b"Reading page" in content
    finally:
        assert ended(process) == 0


def test_the_page_stands_before_tensorflow_serving(page_models, serving, tmp_path):
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text(STANDS_FOR_TF_SERVING)
    binary.chmod(0o755)
    port, grpc_port = serving.free_port(), serving.free_port()
    ports = ("--rest-port", str(port), "--grpc-port", str(grpc_port))
    process, lines = start(page_models, "--host", "0.0.0.0", *ports, path=tmp_path)
    try:
        assert lines[0].startswith("Warning: --host 0.0.0.0 without --token-file")
        assert lines[1].startswith("TensorFlow Serving: ")
        assert f"Page  http://0.0.0.0:{port}/" in lines
        client = serving.Client(port)
        assert client.get("/")[0] == 200
        _, listed = client.get("/page/models.json")
        assert [model["name"] for model in listed["models"]] == ["older", "standin"]
        row = {
            **{"image_bytes": serving.b64(serving.png(150))},
            **{"age_years": 70.0, "bmi_kg_m2": float("nan")},
            **{"smoking": "", "margin": ""},
        }
        body = {"signature_name": "explain", "instances": [row]}
        status, answer = client.predict(body, model="standin")
        assert status == 200
        logit = answer["predictions"][0]["logit"]
        assert logit == pytest.approx((150 - 128) / 64 + 1, abs=1e-5)
        assert client.predict({"instances": 1}, model="nothing")[0] in (400, 404)
    finally:
        status = ended(process)
    assert status == 0
    with pytest.raises(OSError, match="refused"):
        serving.Client(port).get("/")
