"""Small requests that would stop a server; a good client beside them notices none."""

import contextlib
import io
import json
import signal
import socket
import struct
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import tensor_pb2

from tests.explanation.networks import ENCODING, WORDS, classifier
from tests.serving.hostile_server import MODEL, GoodClient, Server
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]


def encode(kind, size=(70, 90), **options):
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encode("png")
TINY_PNG = encode("png", (1, 1))


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_network):
    folder = tmp_path_factory.mktemp("hostile")
    model = classifier("both", encoding=[*ENCODING, WORDS])
    batch = {"image_bytes": [PNG], "age_years": [50.0], "margin": ["clear"]}
    export_model(model, folder / MODEL, batch, Decision(1.0, 0.0, 0.5), {})
    running = Server(folder, folder / "log", "--timeout", "20")
    yield running
    running.close()


@pytest.fixture
def good(server, serving):
    """A good client, who asks while the test does its worst."""
    row = {"image_bytes": serving.b64(PNG), "age_years": 50.0, "margin": "clear"}
    before = server.memory()
    with GoodClient(server, json.dumps({"instances": [row]})) as client:
        time.sleep(0.3)
        yield client
        time.sleep(0.5)
    assert server.process.poll() is None
    assert server.memory() < before + 700  # megabytes


def proto(dtype, shape, **values):
    """A tensor as a client may write it, whatever it says of itself."""
    tensor = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for name, value in values.items():
        getattr(tensor, name).extend(value)
    return tensor


def at_once(*calls):
    """What each call gives, in threads."""
    results = [None] * len(calls)

    def run(number):
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_value_that_stands_for_a_tensor_is_not_expanded(server, good):
    bomb = proto(tf.float32, [2**24], float_val=[1.0])
    names = [f"unknown{number}" for number in range(16)]
    codes = [
        server.grpc_code("serving_default", **dict.fromkeys(names, bomb)),
        server.grpc_code("serving_default", age_years=bomb),
        server.grpc_code("from_pixels", pixels=proto(tf.uint8, [1, 4096, 4096, 1])),
        server.grpc_code(
            "from_pixels", pixels=proto(tf.uint8, [1, 9, 9, 1], int_val=[300] * 81)
        ),
    ]
    assert codes == ["INVALID_ARGUMENT"] * 4


def test_rows_without_pixels_are_bounded(server, good):
    for rows in (2**24, 2**45, 2**62):
        pixels = proto(tf.uint8, [rows, 0, 0, 1])
        assert server.grpc_code("from_pixels", pixels=pixels) == "INVALID_ARGUMENT"


def test_messages_that_grow_when_they_are_read_are_refused(server, good):
    for message in (
        b"\x12\x00" * 2_000_000,  # empty inputs
        b"\x1a\x00" * 2_000_000,  # empty names of outputs
        b"\x12\x80",  # the end of it is not there
    ):
        assert _raw(server, message) == "INVALID_ARGUMENT"


def _raw(server, message):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        try:
            ask(message, timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def test_a_jpeg_of_thousands_of_scans_is_refused(server, good, serving):
    jpeg = encode("jpeg", (3000, 3000), progressive=True, quality=5)
    last = jpeg.rindex(b"\xff\xda")
    empty = jpeg[last : last + 2 + struct.unpack(">H", jpeg[last + 2 : last + 4])[0]]
    bomb = jpeg[:-2] + empty * 12_000 + jpeg[-2:]
    body = {"signature_name": "image_only", "instances": [serving.b64(bomb)]}
    status, answer = server.post(json.dumps(body))
    assert status == 400
    assert "at most 100 scans" in answer["error"]


def test_numbers_in_json_hold_nobody_up(server, good):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 600, 800, 1))
    row = {"pixels": pixels[0].tolist(), "age_years": 50.0, "margin": "clear"}
    lawful = json.dumps({"signature_name": "from_pixels", "instances": [row]})
    assert server.post(lawful)[0] == 200
    digits = b",".join([b"7"] * 5_000_000)
    wrong = b'{"signature_name": "from_pixels", "inputs": {"pixels": [%s],' % digits
    wrong += b'"age_years": [50.0], "margin": ["clear"]}}'
    assert server.post(wrong)[0] == 400
    for text in (b"[" * 1_000_000, b"[[],", b'{"a":' * 1_000_000, b'"\\"' * 3_000_000):
        assert server.post(text)[0] == 400


def test_idle_connections_keep_nobody_out(server, good):
    lines = server.log.read_bytes().count(b"\n")
    with contextlib.ExitStack() as stack:
        for port in (server.rest_port, server.grpc_port):
            for _ in range(330):
                with contextlib.suppress(OSError):
                    connection = socket.create_connection(("127.0.0.1", port), 10)
                    stack.enter_context(connection)
        time.sleep(2)
    assert server.log.read_bytes().count(b"\n") < lines + 200


def test_chunks_of_one_byte_hold_nobody_up(server, good):
    head = b"POST /v1/models/mine:predict HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"

    def send():
        address = "127.0.0.1", server.rest_port
        with (
            contextlib.suppress(OSError),
            socket.create_connection(address, 20) as connection,
        ):
            connection.sendall(head + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n")
            return connection.recv(12)

    assert set(at_once(*[send] * 4)) <= {b"HTTP/1.1 400", None}


def test_many_rows_leave_a_thread_to_others(server, good):
    images = proto(tf.string, [2**20], string_val=[TINY_PNG] * 2**12)
    assert server.grpc_code("image_only", image_bytes=images) == "INVALID_ARGUMENT"
    many = proto(tf.string, [1024], string_val=[PNG] * 1024)

    def ask():
        return server.grpc_code("image_only", timeout=4, image_bytes=many)

    assert set(at_once(*[ask] * 6)) <= {"OK", "DEADLINE_EXCEEDED"}


def test_large_pictures_leave_a_thread_to_others(server, good, serving):
    pixels = np.zeros((4000, 4000), np.uint8)
    pixels[::7, ::5] = 99
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    picture = serving.b64(buffer.getvalue())
    body = json.dumps({"signature_name": "image_only", "instances": [picture] * 2})
    statuses = {status for status, _ in at_once(*[lambda: server.post(body)] * 5)}
    assert statuses <= {200, 504, 429}


def test_bodies_that_do_not_come_hold_no_place(server, good):
    head = b"POST /v1/models/mine:predict HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Length: 67108864\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        for _ in range(70):
            address = "127.0.0.1", server.rest_port
            connection = stack.enter_context(socket.create_connection(address, 10))
            connection.sendall(head)
        time.sleep(2)


def test_large_messages_share_one_budget(server, good):
    message = b"\x0a\x06\x0a\x04mine" + b"\x82\x01" + b"\x80\x87\xa7\x0e"
    message += bytes(0xE * 2**21 + 0x27 * 2**14 + 0x7 * 2**7)
    assert len(message) > 28_000_000
    codes = at_once(*[lambda: _raw(server, message)] * 16)
    assert set(codes) <= {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}


def test_each_choice_of_outputs_costs_nothing_more(server, good):
    image = tf.make_tensor_proto([PNG])
    names = ["probability", "logit", "label", "model_version", "heatmap_bytes"]
    for number in range(1, 32):
        outputs = [name for bit, name in enumerate(names) if number >> bit & 1]
        code = server.grpc_code("explain", outputs=outputs, image_bytes=image)
        assert code == "OK"


def test_what_the_graph_keeps_for_itself_cannot_be_asked_for(server, good):
    assert server.grpc_code("__saved_model_init_op") == "FAILED_PRECONDITION"
    body = json.dumps({"signature_name": "__saved_model_init_op", "instances": [1]})
    assert server.post(body)[0] == 400


def test_after_all_that_it_ends_at_once_and_its_log_is_json(server):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    for line in server.log.read_text().splitlines():
        assert json.loads(line)["event"]
