"""Versions: taken up, warmed up, dropped, kept by policy; broken ones are reported."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from usgland.errors import UserError
from usgland.serving.server import loader
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions

TINY = "/v1/models/tiny"


def until(condition, seconds=30):
    """Waits for something to become true, which a slow machine may take longer for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def states(client):
    body = client.get(TINY)[1]
    return {
        int(version["version"]): (version["state"], version["status"]["error_code"])
        for version in body["model_version_status"]
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def publish(folder, tiny_versions):
    """Makes a version appear at once, as `usgland export` does."""

    def appear(number, source=None, name="tiny"):
        hidden = folder / name / f".{number}"
        shutil.copytree(tiny_versions[source or number], hidden)
        hidden.rename(folder / name / str(number))
        return folder / name / str(number)

    return appear


@pytest.fixture
def ask(serving):
    """Which version answers."""

    def version_of(client, where=""):
        instance = {"image_bytes": serving.b64(serving.png(99)), **serving.FORM}
        status, body = client.predict({"instances": [instance]}, where=where)
        return body["predictions"][0]["model_version"] if status == 200 else status

    return version_of


def options_of(folder, **changes):
    return ServerOptions(folder, poll_seconds=0.05, **changes)


def warm_up_file(version, *requests):
    folder = version / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            if request is not None:
                log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def image_request(*contents):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.model_spec.signature_name = "image_only"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(contents)))
    return request


def test_a_new_version_takes_over_without_a_lost_request(folder, publish, serving, ask):
    publish(1)
    answers, end = [], threading.Event()
    with serving.RunningServer(options_of(folder)) as server:

        def keep_asking():
            while not end.is_set():
                answers.append(ask(server.client))

        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        publish(2)
        until(lambda: answers and answers[-1] == "v2")
        publish(3)
        until(lambda: answers and answers[-1] == "v3")
        until(lambda: states(server.client)[1] == ("END", "OK"))
        end.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {"v1", "v2", "v3"}
        assert ask(server.client, "/versions/1") == 404
        assert states(server.client)[3] == ("AVAILABLE", "OK")


def test_the_newest_two_or_all_or_labelled_ones_are_kept(
    folder, publish, serving, ask, tmp_path
):
    for number in (1, 2, 3):
        publish(number)
    with serving.RunningServer(options_of(folder, keep_versions=2)) as server:
        assert server.served == ["tiny/2", "tiny/3"]
        assert ask(server.client) == "v3"
        assert ask(server.client, "/versions/2") == "v2"
        assert ask(server.client, "/versions/1") == 404
    with serving.RunningServer(options_of(folder, keep_versions=None)) as server:
        assert server.served == ["tiny/1", "tiny/2", "tiny/3"]
    config = tmp_path / "models.config"
    config.write_text(
        """
        model_config_list {
          config {
            name: "tiny" base_path: "/models/tiny" model_platform: "tensorflow"
            model_version_policy { specific { versions: 1 versions: 3 } }
            version_labels { key: "stable" value: 1 }
            version_labels { key: "canary" value: 3 }
          }
        }
        """
    )
    with serving.RunningServer(options_of(folder, model_config_file=config)) as server:
        assert server.served == ["tiny/1", "tiny/3"]
        assert ask(server.client, "/labels/stable") == "v1"
        assert ask(server.client, "/labels/canary") == "v3"
        assert ask(server.client, "/labels/latest") == 400
        status, body = server.client.get(f"{TINY}/labels/canary")
        assert status == 200
        assert body["model_version_status"][0]["version"] == "3"
        # A mistake in the file changes nothing; a right one is taken up.
        config.write_text("model_config_list { config { name:")
        time.sleep(0.2)
        assert ask(server.client, "/labels/stable") == "v1"
        config.write_text(
            'model_config_list { config { name: "tiny" base_path: "/models/tiny" '
            'version_labels { key: "stable" value: 3 } } }'
        )
        until(lambda: ask(server.client, "/labels/stable") == "v3")
        until(lambda: ask(server.client, "/versions/1") == 404)


def test_broken_versions_are_reported_and_older_ones_serve(
    folder, publish, serving, ask
):
    publish(1)
    (folder / "tiny" / "4").mkdir()
    (folder / "tiny" / "5").mkdir()
    (folder / "tiny" / "5" / "saved_model.pb").write_bytes(b"\x00 half of it")
    whole = publish(6, source=2)
    data = whole / "variables" / "variables.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    with serving.RunningServer(options_of(folder)) as server:
        assert ask(server.client) == "v1"
        received = states(server.client)
        assert received[4] == ("END", "NOT_FOUND")
        assert received[5] == ("END", "DATA_LOSS")
        assert received[6][0] == "END"
        assert received[6][1] != "OK"
        # The copy is finished: it is tried again.
        data.write_bytes(content)
        until(lambda: ask(server.client) == "v2")
        until(lambda: states(server.client)[6] == ("AVAILABLE", "OK"))


def test_a_version_whose_folder_is_gone_is_not_served(folder, publish, serving, ask):
    publish(1)
    publish(2)
    with serving.RunningServer(options_of(folder)) as server:
        assert ask(server.client) == "v2"
        shutil.rmtree(folder / "tiny" / "2")
        until(lambda: ask(server.client) == "v1")
        shutil.rmtree(folder / "tiny")
        until(lambda: ask(server.client) == 404)
        publish(3, name="tiny")
        until(lambda: ask(server.client) == "v3")


def test_warm_up_requests_are_replayed_before_a_version_serves(
    folder, publish, serving, ask, tmp_path
):
    good = publish(1)
    warm_up_file(good, *[image_request(serving.png(grey)) for grey in range(5)])
    bad = publish(2)
    warm_up_file(bad, image_request(b"no image"))
    foreign = publish(3)
    warm_up_file(foreign, None)
    with serving.RunningServer(options_of(folder)) as server:
        assert ask(server.client) == "v1"
        assert states(server.client)[2] == ("END", "INVALID_ARGUMENT")
        assert states(server.client)[3] == ("END", "INVALID_ARGUMENT")
        page = server.client.get("/monitoring/prometheus/metrics")[1].decode()
        # Warm-up runs the model, but is no request.
        assert 'request_count{model_name="tiny",status="OK"} 1.0' in page


def test_a_folder_without_a_model_is_named(tmp_path, serving):
    with (
        pytest.raises(
            UserError, match="Expected a model under .*as NAME/VERSION/. Received"
        ),
        serving.RunningServer(options_of(tmp_path)),
    ):
        pass
    with (
        pytest.raises(UserError, match="Expected a folder of models. Received: .*nope"),
        serving.RunningServer(options_of(tmp_path / "nope")),
    ):
        pass


def test_a_server_of_broken_versions_alone_starts_and_says_so(
    folder, serving, publish, ask
):
    (folder / "tiny" / "1").mkdir()
    with serving.RunningServer(options_of(folder)) as server:
        assert server.served == []
        assert states(server.client) == {1: ("END", "NOT_FOUND")}
        status, body = server.client.predict({"instances": [1]})
        assert status == 404
        assert "nothing is served now" in body["error"]
        publish(2)
        until(lambda: ask(server.client) == "v2")


def test_a_version_with_a_pipe_is_refused_and_the_older_one_serves(
    folder, publish, serving, ask
):
    publish(1)
    (folder / "tiny" / "2").mkdir()
    os.mkfifo(folder / "tiny" / "2" / "saved_model.pb")
    with serving.RunningServer(options_of(folder)) as server:
        assert ask(server.client) == "v1"
        assert states(server.client)[2] == ("END", "INVALID_ARGUMENT")


def test_loading_that_hangs_holds_up_neither_the_others_nor_the_end(
    folder, publish, serving, ask, monkeypatch
):
    publish(1)
    hangs = threading.Event()
    read = loader.Loader._read

    def hang(self, path, name, number):
        if number == 2:
            hangs.wait(60)
        return read(self, path, name, number)

    monkeypatch.setattr(loader, "LONGEST_LOAD", 0.2)
    monkeypatch.setattr(loader.Loader, "_read", hang)
    try:
        with serving.RunningServer(options_of(folder)) as server:
            until(lambda: ask(server.client) == "v1")
            publish(2)
            until(lambda: 2 in states(server.client))
            assert ask(server.client) == "v1"
            publish(3)
            until(lambda: ask(server.client) == "v3")
    finally:
        hangs.set()


def test_a_copied_folder_answers_by_its_own_number(publish):
    """Where the sheet says that the graph's `model_version` is of another."""
    copy = publish(4, source=1)
    (copy / "assets.extra").mkdir()
    sheet = copy / "assets.extra" / "usgland.json"
    sheet.write_text('{"name": "v1", "version": 1}')
    servable = Servable(copy, "tiny", 4)
    assert servable._copied_from == b"v1/1"
    servable._copied_from = b"v1"  # as this graph calls itself
    inputs = {
        "image_bytes": np.array([b"BM"], object),
        "age_years": np.zeros(1, np.float32),
        "shape": np.array([b""], object),
    }
    inputs["image_bytes"][0] = tf.io.encode_png(np.zeros((2, 2, 1), np.uint8)).numpy()
    answer = servable.run("serving_default", ["model_version"], inputs, 30.0)
    assert answer["model_version"].tolist() == [b"tiny/4"]
    servable.close()


def test_errors_of_loading_show_no_path_of_this_machine(folder, publish, serving):
    publish(1)
    (folder / "tiny" / "5").mkdir()
    (folder / "tiny" / "5" / "saved_model.pb").write_bytes(b"\x00 half of it")
    with serving.RunningServer(options_of(folder)) as server:
        body = server.client.get(TINY)[1]
        assert str(folder) not in json.dumps(body)
        assert "tiny/5" in json.dumps(body)
        status, body = server.client.get("/v1/models/other")
        assert status == 404
        assert "tiny" not in body["error"]
