"""The folder beside the versions: read as its programs do, and its README followed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from PIL import Image
from tensorflow_serving.config import model_server_config_pb2

from tests.explanation.networks import ENCODING, WORDS, classifier
from usgland.errors import UserError
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.operator_files import (
    TEMPLATES,
    fill_text,
    fill_yaml,
    kubernetes_name,
)
from usgland.serving.export.saved_model import export_model
from usgland.serving.export.warmup import example_case
from usgland.serving.interface.versions import (
    find_models,
    find_versions,
    read_model_config,
)
from usgland.serving.server.server_options import ServerOptions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

FIELD = descriptor_pb2.FieldDescriptorProto
SHARED = [
    "README.md",
    "batching.config",
    "docker-compose.yaml",
    "explain.json",
    "kubernetes.yaml",
    "models.config",
    "monitoring.config",
    "request.json",
]


def export_to(folder, inputs):
    model = classifier(inputs, encoding=[*ENCODING, WORDS])
    case = example_case(model)
    names = [tensor.name for tensor in model.inputs]
    inputs = {name: values for name, values in case.items() if name in names}
    return export_model(model, folder, inputs, Decision(0.5, 0.25, 0.5), {})


@pytest.fixture(scope="module", params=["image", "both", "clinical"])
def operator(request, tiny_network, tmp_path_factory):
    """The folder of an export, by what its model takes."""
    home = tmp_path_factory.mktemp(request.param) / "my model"
    assert export_to(home, request.param) == home / "1"
    return home / "operator"


def blocks(operator, kind):
    text = (operator / "README.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def proto(name, fields):
    """A message that `tensorflow-serving-api` lacks, of fields by name and type."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package="test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for message, members in fields.items():
        added = file.message_type.add(name=message)
        for number, (field, kind) in enumerate(members.items(), start=1):
            member = added.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                member.type, member.type_name = FIELD.TYPE_MESSAGE, kind
            else:
                member.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))()


def test_the_folder_is_no_version_and_no_model(operator):
    assert list(find_versions(operator.parent)) == [1]
    assert list(find_models(operator.parent.parent, 1)) == ["my model"]
    files = sorted(path.name for path in operator.iterdir())
    assert sorted({*files, "example.png"} - {"example.png"}) == SHARED
    assert ("example.png" in files) == (operator.parent.parent.name[:-1] != "clinical")


def test_the_labels_name_this_version(operator):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((operator / "models.config").read_text(), config)
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == ("my model", "/models/my model")
    assert entry.model_platform == "tensorflow"
    assert dict(entry.version_labels) == {"stable": 1, "canary": 1}
    assert list(entry.model_version_policy.specific.versions) == [1]
    models = read_model_config(operator / "models.config", operator.parent.parent)
    assert models["my model"].path == operator.parent


def test_the_parameters_of_batching_are_those_of_tensorflow_serving(operator):
    # BatchingParameters of session_bundle_config.proto, as far as we set it.
    wrapper = ".google.protobuf.Int64Value"
    names = ("max_batch_size", "batch_timeout_micros")
    names += ("max_enqueued_batches", "num_batch_threads")
    message = proto(
        "BatchingParameters", {"BatchingParameters": dict.fromkeys(names, wrapper)}
    )
    text_format.Parse((operator / "batching.config").read_text(), message)
    assert message.max_batch_size.value == 8
    for file in ("docker-compose.yaml", "kubernetes.yaml"):
        assert "batching" not in (operator / file).read_text()


def test_the_figures_are_those_of_prometheus(operator):
    # MonitoringConfig of monitoring_config.proto.
    fields = {"enable": FIELD.TYPE_BOOL, "path": FIELD.TYPE_STRING}
    message = proto(
        "MonitoringConfig",
        {
            "PrometheusConfig": fields,
            "MonitoringConfig": {"prometheus_config": ".test.PrometheusConfig"},
        },
    )
    text_format.Parse((operator / "monitoring.config").read_text(), message)
    assert message.prometheus_config.enable
    assert message.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_finds_the_models_and_opens_this_machine_alone(operator):
    document = yaml.safe_load((operator / "docker-compose.yaml").read_text())
    (service,) = document["services"].values()
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", service["image"])
    (volume,) = service["volumes"]
    outside, inside, mode = volume.split(":")
    assert (inside, mode) == ("/models", "ro")
    models = (operator / outside).resolve()
    assert (models / "my model" / "1" / "saved_model.pb").exists()
    parts = [argument.partition("_file=") for argument in service["command"]]
    files = [file for _, flag, file in parts if flag]
    assert len(files) == 2
    for file in files:
        assert (models / Path(file).relative_to(inside)).is_file()
    assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"] * 2


def test_the_objects_of_kubernetes_fit_one_another(operator):
    text = (operator / "kubernetes.yaml").read_text()
    deployment, service, scaler = yaml.safe_load_all(text)
    kinds = [
        (document["apiVersion"], document["kind"])
        for document in (deployment, service, scaler)
    ]
    assert kinds == [
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ]
    for document in (deployment, service, scaler):
        assert re.fullmatch(
            "[a-z]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"]
        )
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    target = scaler["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]
    assert scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    assert container["livenessProbe"]["tcpSocket"]["port"] in ports
    assert set(container["resources"]) == {"requests", "limits"}
    # The autoscaler needs the request of what it looks at.
    assert container["resources"]["requests"]["cpu"] == "500m"
    (mount,), (volume,) = container["volumeMounts"], template["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mine_2", "usgland-mine-2"),
        ("Ä!", "usgland-model"),
        ("a" * 80, "usgland-" + "a" * 50),
    ],
)
def test_a_name_becomes_one_that_kubernetes_takes(name, expected):
    assert kubernetes_name(name) == expected


@pytest.mark.parametrize("file", ["docker-compose.yaml", "kubernetes.yaml"])
def test_a_template_is_yaml_before_and_after_a_name_that_needs_quotes(file):
    template = (TEMPLATES / file).read_text(encoding="utf-8")
    name = 'a: "b" #1 $name\n- {c}'
    values = {"name": name, "image": "i", "url_name": "a", "kubernetes_name": "k"}
    before = list(yaml.safe_load_all(template))
    after = list(yaml.safe_load_all(fill_yaml(template, values)))
    flag = "--model_config_file=/models/{}/operator/models.config"
    for documents, expected in ((before, "$name"), (after, name)):
        first = documents[0]
        arguments = (
            first["services"]["serving"]["command"]
            if "services" in first
            else first["spec"]["template"]["spec"]["containers"][0]["args"]
        )
        assert arguments[0] == flag.format(expected)
    assert len(before) == len(after)


def test_what_a_model_does_not_take_is_left_out_of_a_text():
    text = (
        "a $x\n<!-- if image -->\nb\n<!-- end -->\n<!-- if form -->\nc\n<!-- end -->\n"
    )
    takes = {"image": False, "form": True}
    assert fill_text(text, {"x": 1}, takes) == "a 1\nc\n"


@pytest.fixture(scope="module")
def running(operator, serving):
    options = ServerOptions(
        operator.parent.parent, model_config_file=operator / "models.config"
    )
    with serving.RunningServer(options) as server:
        yield server


def rows_of(answer):
    answer = json.loads(answer)
    return answer.get("predictions", [answer])


def same(received, expected):
    assert received.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            value = pytest.approx(value, rel=1e-4, abs=1e-6)
        assert received[name] == value


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_call_of_the_readme_gets_the_answer_that_stands_below_it(
    operator, running, tmp_path
):
    calls, answers = blocks(operator, "bash"), blocks(operator, "json")
    clinical = not (operator / "example.png").exists()
    assert len(calls) == len(answers) == (2 if clinical else 3)
    here = tmp_path / "operator"
    shutil.copytree(operator, here)
    for call, answer in zip(calls, answers, strict=True):
        command = call.replace(":8501/", f":{running.rest_port}/")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        for received, expected in zip(
            rows_of(done.stdout), rows_of(answer), strict=True
        ):
            same(received, expected)
    if not clinical:
        with Image.open(here / "example.png") as picture:
            size = picture.size
        with Image.open(here / "heatmap.png") as heat:
            assert (heat.format, heat.mode, heat.size) == ("PNG", "L", size)
            assert np.ptp(np.asarray(heat)) > 0  # the strongest may be in the padding


def test_the_call_over_grpc_gets_the_same_probability(
    operator, running, monkeypatch, capsys
):
    (code,) = blocks(operator, "python")
    text = (operator / "README.md").read_text()
    expected = re.search(r"^print\(.*\n```\n```\n(.*)\n```$", text, re.MULTILINE)
    monkeypatch.chdir(operator)
    exec(code.replace(":8500", f":{running.grpc_port}"), {})
    received = float(capsys.readouterr().out)
    assert received == pytest.approx(float(expected[1]), rel=1e-5)


def test_the_probes_answer_once_the_model_is_there(operator, running):
    document = next(yaml.safe_load_all((operator / "kubernetes.yaml").read_text()))
    (container,) = document["spec"]["template"]["spec"]["containers"]
    path = container["readinessProbe"]["httpGet"]["path"]
    assert running.client.get(path)[0] == 200
    assert running.client.get("/v1/models/other/metadata")[0] == 404
    assert running.client.get("/v1/models/my%20model/labels/canary")[0] == 200


def test_the_next_export_writes_the_folder_anew(tiny_network, tmp_path):
    home = tmp_path / "my model"
    export_to(home, "clinical")
    (home / "operator" / "monitoring.config").write_text("mine")
    assert export_to(home, "clinical") == home / "2"
    assert "mine" not in (home / "operator" / "monitoring.config").read_text()
    assert "my model/2" in (home / "operator" / "README.md").read_text()
    assert tf.saved_model.contains_saved_model(str(home / "1"))


def test_a_new_version_is_canary_until_somebody_calls_it_stable(tiny_network, tmp_path):
    home = tmp_path / "mine"
    path = home / "operator" / "models.config"

    def state():
        model = read_model_config(path, tmp_path)["mine"]
        return model.labels, model.specific

    export_to(home, "clinical")
    export_to(home, "clinical")
    assert state() == ({"stable": 1, "canary": 2}, (1, 2))
    path.write_text(re.sub(r"(stable\W+value: )1", r"\g<1>2", path.read_text()))
    assert state()[0] == {"stable": 2, "canary": 2}
    export_to(home, "clinical")
    assert state() == ({"stable": 2, "canary": 3}, (2, 3))
    shutil.rmtree(home / "2")  # Nobody can have it now.
    export_to(home, "clinical")
    assert state() == ({"stable": 4, "canary": 4}, (4,))
    path.write_text("no such list")
    export_to(home, "clinical")
    assert state() == ({"stable": 5, "canary": 5}, (5,))


def test_a_file_in_the_way_of_the_folder_is_named(tiny_network, tmp_path):
    home = tmp_path / "mine"
    home.mkdir()
    (home / "operator").touch()
    with pytest.raises(UserError, match="Cannot write .*mine/operator/README.md"):
        export_to(home, "clinical")
    assert sorted(path.name for path in home.iterdir()) == ["1", "operator"]
