"""Limits, token, TLS, logs and the end of a server."""

import datetime
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from usgland.errors import UserError
from usgland.serving.server.logs import JsonFormatter
from usgland.serving.server.places import Messages
from usgland.serving.server.server_options import ServerOptions
from usgland.serving.server.tokens import read_tokens

TOKEN = "0123456789abcdef-token"
SLOW = {"signature_name": "count", "inputs": 2**31 - 1}


def predict_call(port, request, metadata=(), timeout=30):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            return stub.Predict(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            return error.code().name


def image_request(*contents):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.model_spec.signature_name = "image_only"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(contents)))
    return request


def image_only(serving, grey=5):
    image = serving.b64(serving.png(grey))
    return {"signature_name": "image_only", "instances": [image]}


def test_a_body_over_the_limit_is_refused_while_memory_stays_flat(models_dir, serving):
    options = ServerOptions(models_dir, max_body_megabytes=1)
    with serving.RunningServer(options) as server:
        path = "/v1/models/tiny:predict"
        status, body = server.client.call("POST", path, b"[" + b"1" * 2**21)
        assert status == 413
        assert body["error"] == "Expected a body of at most 1048576 bytes"
        pieces = (b"1" * 2**16 for _ in range(64))  # of a length nobody declared
        status, body = server.client.call("POST", path, pieces)
        assert status == 413
        assert server.client.predict(image_only(serving))[0] == 200
        big = image_request(b"1" * 2**21)
        assert predict_call(server.grpc_port, big) == "RESOURCE_EXHAUSTED"
        small = image_request(serving.png(1))
        assert predict_call(server.grpc_port, small).model_spec.name == "tiny"


def test_what_takes_too_long_ends_and_what_is_too_much_is_turned_away(
    models_dir, serving
):
    options = ServerOptions(models_dir, timeout_seconds=1.0, max_requests=3)
    with serving.RunningServer(options) as server:
        answers = []

        def ask():
            answers.append(server.client.predict(SLOW))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = sorted(status for status, _ in answers)
        assert set(codes) == {429, 504}
        assert codes.count(504) >= 3
        texts = " ".join(body["error"] for _, body in answers)
        assert "at most 3 requests at one time" in texts
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "tiny"
        request.model_spec.signature_name = "count"
        request.inputs["to"].CopyFrom(tf.make_tensor_proto(2**31 - 1))
        assert predict_call(server.grpc_port, request) == "DEADLINE_EXCEEDED"
        late = predict_call(server.grpc_port, request, timeout=0.2)
        assert late == "DEADLINE_EXCEEDED"
        assert server.client.predict(image_only(serving))[0] == 200


def test_a_body_that_does_not_come_is_not_waited_for(models_dir, serving):
    options = ServerOptions(models_dir, timeout_seconds=0.3)
    with (
        serving.RunningServer(options) as server,
        socket.create_connection(("127.0.0.1", server.rest_port)) as connection,
    ):
        connection.sendall(
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        connection.settimeout(30)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"", b"GET /v1/models/tiny HTTP/1.1\r\nX-Slow: "])
def test_a_request_that_does_not_come_is_not_waited_for(
    models_dir, serving, monkeypatch, sent
):
    monkeypatch.setattr("usgland.serving.server.listening.KEEP_ALIVE_SECONDS", 0.3)
    options = ServerOptions(models_dir)
    with (
        serving.RunningServer(options) as server,
        socket.create_connection(("127.0.0.1", server.rest_port)) as connection,
    ):
        connection.sendall(sent)
        connection.settimeout(30)
        assert connection.recv(100) == b""
        assert server.client.predict(image_only(serving))[0] == 200


def test_only_who_has_the_token_is_answered(models_dir, serving):
    options = ServerOptions(models_dir, token=TOKEN)
    with serving.RunningServer(options) as server:
        assert server.client.predict(image_only(serving))[0] == 200
        request = image_request(serving.png(1))
        for token in (None, "wrong", TOKEN + "x", "ü"):
            stranger = serving.Client(server.rest_port)
            sent = {} if token is None else {"Authorization": f"Bearer {token}"}
            for path in ("/v1/models/tiny", "/monitoring/prometheus/metrics", "/"):
                status, body = stranger.call("GET", path, headers=sent)
                assert status == 401
                assert "Authorization: Bearer TOKEN" in body["error"]
            metadata = [] if token is None else [("authorization", f"Bearer {token}")]
            if token != "ü":
                code = predict_call(server.grpc_port, request, metadata)
                assert code == "UNAUTHENTICATED"
        metadata = [("authorization", f"bearer {TOKEN}")]
        answer = predict_call(server.grpc_port, request, metadata)
        assert answer.model_spec.name == "tiny"
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            health = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_a_token_is_read_from_a_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    assert read_tokens(path) == (TOKEN,)
    path.write_text("short")
    with pytest.raises(UserError, match="at least 16 characters. Received: 5 char"):
        read_tokens(path)
    path.write_text("two words of some length")
    with pytest.raises(UserError, match="--token-file: expected one word"):
        read_tokens(path)
    with pytest.raises(UserError, match="--token-file: expected a text file"):
        read_tokens(tmp_path / "nope")


def test_tokens_are_changed_while_it_serves(models_dir, serving, tmp_path, monkeypatch):
    monkeypatch.setattr("usgland.serving.server.tokens.LOOK_SECONDS", 0.0)
    path = tmp_path / "tokens"
    old, new = "old-0123456789abcdef", "new-0123456789abcdef"
    path.write_text(f"{old}\n{new}\n")
    with serving.RunningServer(ServerOptions(models_dir, token_file=path)) as server:
        clients = [serving.Client(server.rest_port, token) for token in (old, new)]

        def statuses():
            return [client.get("/v1/models/tiny")[0] for client in clients]

        assert statuses() == [200, 200]
        path.write_text(f"{new}\n")
        assert statuses() == [401, 200]
        path.write_text("short\n")  # A mistake changes nothing.
        assert statuses() == [401, 200]


def test_without_the_token_no_message_of_grpc_is_read(models_dir, serving, monkeypatch):
    read = []
    options = ServerOptions(models_dir, token=TOKEN)
    monkeypatch.setattr(Messages, "note", lambda self, client, size: read.append(size))
    with serving.RunningServer(options) as server:
        request = image_request(bytes(2**20))
        assert predict_call(server.grpc_port, request) == "UNAUTHENTICATED"
        assert not read
        metadata = [("authorization", f"Bearer {TOKEN}")]
        predict_call(server.grpc_port, request, metadata)
        assert len(read) == 1


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine and its key, as PEM files."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-out", str(paths[0]), "-keyout", str(paths[1])),
        ],
        check=True,
        capture_output=True,
    )
    return paths


def test_rest_and_grpc_speak_tls(models_dir, serving, certificate):
    options = ServerOptions(
        models_dir, tls_certificate=certificate[0], tls_key=certificate[1]
    )
    with serving.RunningServer(options) as server:
        trusted = ssl.create_default_context(cafile=str(certificate[0]))
        url = f"https://127.0.0.1:{server.rest_port}/v1/models/tiny"
        with urllib.request.urlopen(url, context=trusted, timeout=30) as response:
            assert json.load(response)["model_version_status"][0]["version"] == "1"
        credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        address = f"localhost:{server.grpc_port}"
        with grpc.secure_channel(address, credentials) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(image_request(serving.png(1)), timeout=30)
            assert answer.model_spec.version.value == 1


def test_a_certificate_that_is_none_is_named(models_dir, serving, tmp_path):
    path = tmp_path / "not.pem"
    path.write_text("hello")
    options = ServerOptions(models_dir, tls_certificate=path, tls_key=path)
    with (
        pytest.raises(UserError, match="--tls-cert, --tls-key: expected a certificate"),
        serving.RunningServer(options),
    ):
        pass


def test_a_port_that_is_taken_is_named(models_dir):
    import asyncio

    from usgland.serving.server.builtin_server import run_server

    def serve(**ports):
        options = ServerOptions(models_dir, **{"rest_port": 0, "grpc_port": 0, **ports})
        asyncio.run(run_server(options, lambda *_: None, asyncio.Event()))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}.*Choose another port"):
            serve(rest_port=port)
        with pytest.raises(UserError, match=f":{port} for gRPC.*another --grpc-port"):
            serve(grpc_port=port)


def test_a_server_that_is_told_to_stop_finishes_what_it_has_begun(models_dir, serving):
    with serving.RunningServer(ServerOptions(models_dir)) as server:
        answers = []
        request = {"signature_name": "count", "inputs": 60_000}

        def ask():
            answers.append(server.client.predict(request))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while (
            b"usgland_requests 4.0"
            not in server.client.get("/monitoring/prometheus/metrics")[1]
        ):
            assert time.monotonic() < end
        server.loop.call_soon_threadsafe(server.stop.set)
        server.thread.join(60)
        for thread in threads:
            thread.join()
        assert answers == [(200, {"outputs": 60_000})] * 4
        with pytest.raises(ConnectionRefusedError):
            server.client.get("/v1/models/tiny")


def test_the_log_is_json_and_holds_nothing_of_a_patient(server, serving, caplog):
    secret = "Mustermann_Erika_1954.png"
    with caplog.at_level(logging.INFO, "usgland.serving"):
        image = serving.b64(serving.png(200))
        row = {"image_bytes": image, "age_years": 71.25, "shape": secret}
        assert server.client.predict({"instances": [row]})[0] == 200
        server.client.predict({"instances": [{secret: 1}]})
        server.client.predict({"instances": [1]}, model=secret)
        server.client.get(f"/v1/models/{secret}?file={secret}")
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert len(lines) == 3
    for line in lines:
        assert not {"Mustermann", "71.25", "Erika"} & set(line.split('"'))
        assert "Mustermann" not in line
        assert "71.25" not in line
    first = json.loads(lines[0])
    now = datetime.datetime.now(datetime.UTC)
    assert abs((now - datetime.datetime.fromisoformat(first["time"])).seconds) < 60
    assert first["event"] == "predict"
    assert (first["api"], first["model"], first["code"]) == ("REST", "tiny", "OK")
    assert first["bytes"] > 0
    assert first["milliseconds"] > 0
    assert [json.loads(line)["code"] for line in lines[1:]] == [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
    ]


def test_an_unexpected_error_is_logged_by_its_place_and_not_its_words():
    try:
        float("born 1954-03-01")
    except ValueError:
        logger = logging.getLogger("uvicorn.error")
        record = logger.makeRecord(
            logger.name, logging.ERROR, "", 0, "Exception 1954", (), _exception()
        )
    line = JsonFormatter().format(record)
    assert "1954" not in line
    assert json.loads(line)["error"] == "ValueError"
    assert Path(__file__).name in line


def _exception():
    import sys

    return sys.exc_info()


def test_many_bad_requests_leave_no_request_behind(server, serving):
    client = server.client
    for number in range(30):
        client.predict("x" * number)
        client.predict({"inputs": [number]})
        client.predict(image_only(serving, np.uint8(number)))
    page = client.get("/monitoring/prometheus/metrics")[1].decode()
    assert "usgland_requests 0.0" in page
    assert "usgland_waiting 0.0" in page


@pytest.mark.parametrize(
    ("method", "path", "status"), [("TRACE", "/v1/models", 405), ("GET", "/a%0Ab", 404)]
)
def test_what_no_route_takes_is_an_error_in_json(server, method, path, status):
    received, body = server.client.call(method, path, "")
    assert received == status
    assert "Malformed request: expected a path and method" in body["error"]
