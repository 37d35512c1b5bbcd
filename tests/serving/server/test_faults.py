"""What goes wrong around a server hurts its own request, and no other."""

import contextlib
import errno
import json
import logging
import shutil
import socket
import struct
import threading
import time

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from usgland.serving.interface import signing
from usgland.serving.server import batching, loader
from usgland.serving.server.catalog import Catalog
from usgland.serving.server.connections import HttpProtocol
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions

PATH = "/v1/models/tiny:predict"


def image_only(serving, grey=9, tail=b""):
    image = serving.b64(serving.png(grey) + tail)
    return {"signature_name": "image_only", "instances": [image]}


@pytest.fixture(scope="module")
def folder(tiny_versions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    shutil.copytree(tiny_versions[1], folder / "tiny" / "1")
    return folder


@pytest.fixture(scope="module")
def running(folder, serving):
    options = ServerOptions(folder, timeout_seconds=60, poll_seconds=0.05)
    with serving.RunningServer(options) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(models_dir, serving):
    with serving.RunningServer(ServerOptions(models_dir, timeout_seconds=1)) as server:
        yield server


@pytest.fixture
def until():
    def wait(condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait


def requests_of(server):
    page = server.client.get("/monitoring/prometheus/metrics")[1].decode()
    return float(page.partition("\nusgland_requests ")[2].split()[0])


@contextlib.contextmanager
def sent(server, body, receive=None):
    """A connection over which a request has been sent and no answer read."""
    with socket.socket() as connection:
        if receive:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", server.rest_port))
        text = json.dumps(body).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: a.localhost\r\n"
        head += f"Content-Length: {len(text)}\r\n\r\n"
        connection.sendall(head.encode() + text)
        yield connection


def test_a_run_that_hangs_is_late_and_others_are_answered(hasty, serving, monkeypatch):
    """Nothing can end such a run: it keeps one of two threads."""
    run, hangs = Servable.run, threading.Event()

    def hang(self, signature, *arguments):
        if signature == "explain":
            hangs.wait(60)
        return run(self, signature, *arguments)

    monkeypatch.setattr(Servable, "run", hang)
    try:
        body = {**image_only(serving), "signature_name": "explain"}
        start = time.monotonic()
        assert hasty.client.predict(body)[0] == 504
        assert time.monotonic() - start < 20
        assert hasty.client.predict(image_only(serving))[0] == 200
    finally:
        hangs.set()


def test_a_run_that_raises_is_an_error_without_its_words(running, serving, monkeypatch):
    run = Servable.run
    raised = [MemoryError("secret"), ZeroDivisionError("secret")]

    def fail(self, *arguments):
        if raised:
            raise raised.pop()
        return run(self, *arguments)

    monkeypatch.setattr(Servable, "run", fail)
    for _ in range(2):
        status, answer = running.client.predict(image_only(serving))
        assert status == 500
        assert "secret" not in answer["error"]
    assert running.client.predict(image_only(serving))[0] == 200


def test_a_client_that_takes_no_answer_loses_its_connection(
    models_dir, serving, until, monkeypatch
):
    ended, end = [], HttpProtocol.connection_lost

    def note(self, error):
        ended.append(self.client)
        end(self, error)

    monkeypatch.setattr(HttpProtocol, "connection_lost", note)
    body = {**image_only(serving, tail=bytes(6 * 2**20)), "signature_name": "explain"}
    options = ServerOptions(models_dir, timeout_seconds=4)
    with serving.RunningServer(options) as server:
        with sent(server, body, receive=4096) as connection:
            until(lambda: requests_of(server) == 1)  # It is held while it is sent ...
            until(lambda: requests_of(server) == 0)  # ... and no longer than it may.
            until(lambda: connection.getsockname() in ended)
        assert server.client.predict(image_only(serving))[0] == 200


def test_a_client_that_has_gone_holds_no_place(
    running, serving, until, monkeypatch, caplog
):
    run, runs = Servable.run, threading.Event()
    caplog.set_level(logging.INFO, "usgland.serving")

    def wait(self, *arguments):
        runs.wait(60)
        return run(self, *arguments)

    monkeypatch.setattr(Servable, "run", wait)
    try:
        with sent(running, image_only(serving)) as connection:
            until(lambda: requests_of(running) == 1)
            # It ends with a reset, as that of a program that has been killed.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        until(lambda: requests_of(running) == 0)
    finally:
        runs.set()
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    assert [line["code"] for line in fields if "code" in line] == ["CANCELLED"]


def test_a_version_whose_folder_goes_finishes_its_answers(
    running, serving, folder, until, monkeypatch
):
    run, runs, answers = Servable.run, threading.Event(), []

    def wait(self, *arguments):
        runs.wait(60)
        return run(self, *arguments)

    def ask():
        answers.append(running.client.predict(image_only(serving))[0])

    monkeypatch.setattr(Servable, "run", wait)
    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: requests_of(running) == 1)
    shutil.move(folder / "tiny" / "1", folder / "away")
    status = "/v1/models/tiny/versions/1"
    until(lambda: "UNLOADING" in json.dumps(running.client.get(status)))
    runs.set()
    thread.join()
    assert answers == [200]
    shutil.move(folder / "away", folder / "tiny" / "1")
    until(lambda: running.client.predict(image_only(serving))[0] == 200)


def test_watchers_of_health_keep_nobody_out(running, serving):
    import grpc

    most = 64 + 256
    with contextlib.ExitStack() as stack:
        watches = []
        for number in range(6):  # 80 calls a connection
            options = [("grpc.use_local_subchannel_pool", 1), ("number", number)]
            channel = grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}", options)
            stub = health_pb2_grpc.HealthStub(stack.enter_context(channel))
            for _ in range(70):
                call = stub.Watch(health_pb2.HealthCheckRequest())
                watches.append(call)
        assert len(watches) > most
        time.sleep(0.5)
        channel = grpc.insecure_channel(
            f"127.0.0.1:{running.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]
        )
        stub = health_pb2_grpc.HealthStub(stack.enter_context(channel))
        for _ in range(3):
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for call in watches:
            call.cancel()


def test_a_disk_that_is_full_is_the_reason_why_a_version_is_not_served(
    folder, monkeypatch
):
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ed25519

    def fill(source, target, **_):
        raise OSError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setattr(signing.shutil, "copytree", fill)
    loading = loader.Loader(ServerOptions(folder), Catalog())
    loading.key = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(loader.LOAD_ERRORS) as error:
        loading._read(folder / "tiny" / "1", "tiny", 1)
    _, message = loader._reason(error.value, folder / "tiny" / "1", "tiny/1")
    assert "No space left on device" in message
    assert str(folder) not in message


def test_a_run_that_hangs_does_not_hold_up_the_end(
    models_dir, serving, monkeypatch, caplog, until
):
    """Before it, probes are told that only another process helps."""
    hangs = threading.Event()
    monkeypatch.setattr(Servable, "run", lambda *_: hangs.wait(60))
    monkeypatch.setattr(batching, "HANG_SECONDS", 0.0)
    options = ServerOptions(models_dir, timeout_seconds=0.2)
    start = time.monotonic()
    with serving.RunningServer(options) as server:
        assert server.client.predict(image_only(serving))[0] == 504
        assert server.client.get("/livez")[0] == 200  # A thread is left.
        assert server.client.predict(image_only(serving))[0] == 504
        until(lambda: server.client.get("/livez")[0] == 503)
    assert time.monotonic() - start < 30
    assert "run_hangs" in [record.message for record in caplog.records]
    hangs.set()
