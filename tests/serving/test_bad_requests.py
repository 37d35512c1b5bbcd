"""What a real export answers to wrong requests, over REST and gRPC."""

import io
import math
import struct
import urllib.request
import zlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.explanation.networks import ENCODING, WORDS, classifier
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.serving.server.server_options import ServerOptions

pytestmark = pytest.mark.usefixtures("tiny_network")


def encode(kind, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def black_png(side):
    """A square of that side in a few hundred kilobytes."""
    rows = zlib.compress(bytes(1 + side // 8) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


GOOD = encode("png")
GIF = encode("gif", save_all=True, append_images=[Image.new("L", (90, 70))])
# What is wrong -> values that replace those of a good request, words of the answer.
WRONG_VALUES = {
    "a huge picture": ({"image_bytes": black_png(30_000)}, "1 to 16000000 pixels"),
    "an animation": ({"image_bytes": GIF}, "Expected a PNG, JPEG or BMP"),
    "a text": ({"image_bytes": b"hello"}, "Expected a PNG, JPEG or BMP"),
    "a gzip": ({"image_bytes": b"\x1f\x8b\x08\x00 packed"}, "PNG, JPEG or BMP"),
    "half a JPEG": ({"image_bytes": encode("jpeg")[:900]}, "JPEG"),
    "half a PNG": ({"image_bytes": GOOD[:900]}, "PNG"),
    "an unknown word": ({"margin": b"fuzzy"}, "margin"),
    "an age of a tree": ({"age_years": 400.0}, "age_years"),
}


@pytest.fixture(scope="module")
def running(serving, tmp_path_factory, tiny_network):
    folder = tmp_path_factory.mktemp("models")
    model = classifier("both", encoding=[*ENCODING, WORDS])
    batch = {"image_bytes": [GOOD], "age_years": [50.0], "margin": ["clear"]}
    export_model(model, folder / "mine", batch, Decision(1.0, 0.0, 0.5), {})
    with serving.RunningServer(ServerOptions(folder)) as server:
        yield server


@pytest.fixture
def ask(running, serving):
    """Sends instances over REST, a good one if none is given."""

    def send(*instances, **body):
        rows = [
            {
                name: serving.b64(value) if name == "image_bytes" else value
                for name, value in ({**good(), **instance}).items()
            }
            for instance in instances or [{}]
        ]
        document = {"instances": rows, **body}
        return running.client.predict(document, model="mine")

    return send


def good():
    return {"image_bytes": GOOD, "age_years": 50.0, "margin": "clear"}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_a_value_the_model_cannot_take_is_a_bad_request(ask, wrong):
    values, said = WRONG_VALUES[wrong]
    rest = {k: v if k == "image_bytes" else text(v) for k, v in values.items()}
    status, body = ask(rest)
    assert status == 400
    assert said in body["error"]
    assert len(body["error"]) < 600
    status, body = ask()
    assert status == 200


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_grpc_answers_it_with_an_invalid_argument(running, wrong):
    values, said = WRONG_VALUES[wrong]
    with pytest.raises(grpc.RpcError) as error:
        call(running, "mine", **{**good(), **values})
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.value.details()
    assert call(running, "mine", **good()).outputs["probability"].float_val


def call(running, model, **values):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, value in values.items():
        kind = tf.float32 if name == "age_years" else tf.string
        request.inputs[name].CopyFrom(tf.make_tensor_proto([value], kind))
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, timeout=30)


def test_many_images_without_a_form_run_in_parts(running):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mine"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([GOOD] * 21))
    metrics = f"http://127.0.0.1:{running.rest_port}/monitoring/prometheus/metrics"
    name = 'usgland_batch_rows_count{model_name="mine"}'

    def runs():
        page = urllib.request.urlopen(metrics, timeout=30).read().decode()
        return float(page.partition(name)[2].split()[0] or 0)

    call(running, "mine", **good())
    before = runs()
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=30)
    assert runs() - before == 3  # of 8, 8 and 5 images
    alone = call(running, "mine", image_bytes=GOOD).outputs["logit"].float_val
    assert answer.outputs["logit"].float_val == pytest.approx([*alone] * 21, rel=1e-5)


def test_over_grpc_what_is_left_out_counts_as_missing(running, ask):
    answer = call(running, "mine", image_bytes=GOOD)
    _, body = ask({"age_years": math.nan, "margin": ""})
    expected = body["predictions"][0]["logit"]
    assert answer.outputs["logit"].float_val == pytest.approx([expected], rel=1e-5)


def test_a_foreign_model_or_signature_is_named(running, ask):
    with pytest.raises(grpc.RpcError) as error:
        call(running, "theirs", **good())
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    status, body = ask(signature_name="classify")
    assert status == 400
    for name in ("explain", "from_pixels", "image_only", "serving_default"):
        assert name in body["error"]


def test_a_number_in_place_of_a_word_is_a_bad_request(ask):
    status, body = ask({"margin": 3.5})
    assert status == 400
    assert "margin" in body["error"]
    status, body = ask({"age_years": "old"})
    assert status == 400
    assert "age_years" in body["error"]


def test_one_wrong_picture_of_many_fails_its_own_request_alone(ask):
    instances = [{}, {"image_bytes": GIF}, {}]
    assert ask(*instances)[0] == 400
    assert ask(*[{}] * 3)[0] == 200


def test_a_thousand_cases_are_answered(ask):
    status, body = ask(
        *[{"age_years": float(20 + number % 60)} for number in range(1000)]
    )
    assert status == 200
    assert len(body["predictions"]) == 1000
    assert body["predictions"][0]["logit"] == body["predictions"][60]["logit"]


def test_the_explanation_comes_over_rest(ask):
    status, body = ask(signature_name="explain")
    assert status == 200
    (answer,) = body["predictions"]
    assert set(answer) == {
        "probability",
        "logit",
        "label",
        "model_version",
        "heatmap_bytes",
        "lesion_box",
        "lesion_found",
        "lesion_map_bytes",
        "contribution_age_years",
        "contribution_margin",
    }
    assert answer["model_version"] == "mine/1"
    assert answer["heatmap_bytes"]["b64"].startswith("iVBOR")
