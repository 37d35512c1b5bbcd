"""The real TensorFlow Serving: found, not found, and the command that runs it."""

import re
import stat
from itertools import pairwise

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.serving.server.server_options import ServerOptions
from usgland.serving.server.tf_serving import (
    Choice,
    choose_server,
    command_of,
    run_tf_serving,
    write_model_config,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the programs that a test puts there, and no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(name, *lines):
        path = folder / name
        path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return install


def test_without_tensorflow_serving_the_built_in_server_runs(models_dir, machine):
    choice = choose_server(ServerOptions(models_dir))
    assert choice.server == ""
    assert "no tensorflow_model_server on the path" in choice.reason
    machine("docker", "exit 1")  # Installed, but no daemon.
    assert choose_server(ServerOptions(models_dir)).server == ""
    machine("docker", "echo nginx:latest", "echo my/tensorflow/serving-x:2")
    assert choose_server(ServerOptions(models_dir)).server == ""


def test_the_binary_runs_only_where_every_address_may_be_listened_on(
    models_dir, machine
):
    machine("tensorflow_model_server", "exit 0")
    choice = choose_server(ServerOptions(models_dir))
    assert choice.server == ""
    assert "listens on every address; --host 0.0.0.0 allows" in choice.reason
    choice = choose_server(ServerOptions(models_dir, host="0.0.0.0"))
    assert choice.server == "binary"


def test_an_image_that_is_here_runs_in_its_engine(models_dir, machine, tmp_path):
    machine("podman", "echo docker.io/tensorflow/serving:2.19.1")
    options = ServerOptions(models_dir, rest_port=9501)
    choice = choose_server(options)
    assert choice[:2] == ("podman", "docker.io/tensorflow/serving:2.19.1")
    config = tmp_path / "models.config"
    write_model_config(options, config)
    folder = models_dir.resolve()
    assert command_of(choice, options, config) == [
        *("podman", "run", "--rm", "--init"),
        *("--publish", "127.0.0.1:8500:8500", "--publish", "127.0.0.1:9501:8501"),
        *("--volume", f"{folder}:{folder}:ro", "--volume", f"{config}:{config}:ro"),
        *("--volume", f"{folder}:/models:ro", "docker.io/tensorflow/serving:2.19.1"),
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
        "--rest_api_timeout_in_ms=30000",
    ]
    machine("docker", "echo tensorflow/serving:latest")
    assert choose_server(options).server == "docker"


def test_behind_the_page_its_rest_has_a_port_on_this_machine_alone(models_dir):
    options = ServerOptions(models_dir, host="0.0.0.0", page=True)
    config = models_dir / "models.config"
    command = command_of(Choice("docker", "image", ""), options, config, 12345)
    published = [value for flag, value in pairwise(command) if flag == "--publish"]
    assert published == ["0.0.0.0:8500:8500", "127.0.0.1:12345:8501"]
    command = command_of(Choice("binary", "", ""), options, config, 12345)
    assert command[1:3] == ["--port=8500", "--rest_api_port=12345"]


def test_what_only_ours_can_do_needs_ours(models_dir, machine, tmp_path):
    machine("docker", "echo tensorflow/serving:latest")
    for changes, message in (
        ({"token": "x" * 16}, "knows no --token-file"),
        ({"traces": True}, "knows no --traces"),
        ({"tls_certificate": tmp_path}, "has no TLS for REST"),
        ({"rest_port": 0}, "port 0, any free one, is asked for"),
    ):
        choice = choose_server(ServerOptions(models_dir, **changes))
        assert choice.server == ""
        assert message in choice.reason


def test_the_configuration_names_every_model_and_the_policy(models_dir, tmp_path):
    path = tmp_path / "models.config"
    for keep in (3, None):
        write_model_config(ServerOptions(models_dir, keep_versions=keep), path)
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse(path.read_text(), config)
        (entry,) = config.model_config_list.config
        assert entry.name == "tiny"
        assert entry.base_path == str(models_dir.resolve() / "tiny")
        policy = entry.model_version_policy
        assert policy.WhichOneof("policy_choice") == ("latest" if keep else "all")
        assert keep is None or policy.latest.num_versions == keep
    with pytest.raises(UserError, match="Expected a model under .*Received: none"):
        write_model_config(ServerOptions(tmp_path), path)


def test_its_command_is_shown_and_its_end_is_ours(models_dir, machine, tmp_path):
    seen = tmp_path / "seen"
    machine("tensorflow_model_server", f'echo "$@" > {seen}', "exit 3")
    options = ServerOptions(models_dir, host="0.0.0.0")
    shown = []
    assert run_tf_serving(choose_server(options), options, shown.append) == 3
    assert re.fullmatch(
        r"tensorflow_model_server --port=8500 --rest_api_port=8501 "
        r"--model_config_file=\S+/models.config --allow_version_labels_\S+=true "
        r"--rest_api_timeout_in_ms=30000",
        shown[0],
    )
    assert seen.read_text().split() == shown[0].split()[1:]


def test_the_command_line_reports_its_failure_in_one_line(models_dir, machine):
    machine("tensorflow_model_server", "exit 3")
    arguments = ["serve", "--models-dir", str(models_dir), "--host", "0.0.0.0"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "TensorFlow Serving: " in result.output
    assert "TensorFlow Serving ended with status 3" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models-dir", "nowhere"], "Expected a folder of models. Received: nowhere"),
        (["--rest-port", "70000"], "--rest-port: expected a number from 0 to 65535"),
        (["--keep-versions", "some"], "--keep-versions: expected a number from 1"),
        (["--tls-cert", "a.pem"], "--tls-cert and --tls-key: expected both"),
        (["--token-file", "nowhere"], "--token-file: expected a text file"),
        (["--model-config-file", "nowhere"], "model_config_list. Received: nowhere"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(arguments, message, monkeypatch):
    import usgland.steps.serve

    # The logging of the tests must outlive the command.
    monkeypatch.setattr(usgland.steps.serve, "start_logging", lambda: None)
    ports = [] if "--rest-port" in arguments else ["--rest-port", "0"]
    command = ["serve", "--builtin", "--grpc-port", "0", *ports, *arguments]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    error = done.output.splitlines()[-1]
    assert error.startswith("Error: ")
    assert message in error
