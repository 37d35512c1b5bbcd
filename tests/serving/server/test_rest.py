"""REST: the answers and the errors of TensorFlow Serving, from a server that runs."""

import base64
import gzip
import json
import socket

import numpy as np
import pytest

TINY = "/v1/models/tiny"
BAD = [
    # body, what the message says: the codes are TensorFlow Serving's
    ("", "The document is empty"),
    ("instances = [1, 2]", "JSON Parse error"),
    ('{"instances": [1, 2', "JSON Parse error"),
    (b"\xff\xfe\x00", "JSON Parse error"),
    ("[" * 100_000, "JSON Parse error"),
    ("[1, 2]", "Is not object"),
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"instances": [1], "inputs": [1]}, "only one of 'inputs' or 'instances'"),
    ({"instances": {"a": 1}}, "'instances' to be a list/array"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"signature_name": 100}, "'signature_name' key must be a string value"),
    ({"signature_name": "nope", "instances": [1]}, '"nope" not found in signature'),
    ({"instances": ["x"]}, "expecting list of objects as multiple input tensors"),
    ({"inputs": ["x"]}, "expecting an object as multiple input tensors"),
    ({"instances": [{"image_bytes": "x"}]}, "Missing: age_years, shape"),
    ({"inputs": {"image_bytes": ["x"], "shape": [""]}}, "Missing named input: age_"),
    # Half of a character outside the basic plane: no UTF-8 text can hold it.
    ({"signature_name": "\ud83d", "instances": [1]}, '"?" not found in signature'),
    ({"inputs": {"\ud83d": 1}}, "Not a named input: ?"),
]


def image_only(*instances):
    return {"signature_name": "image_only", "instances": list(instances)}


def row(serving, grey, **form):
    return {"image_bytes": serving.b64(serving.png(grey)), **serving.FORM, **form}


def test_rows_give_named_predictions_in_their_order(client, serving):
    greys = (20, 128, 200)
    status, body = client.predict({"instances": [row(serving, g) for g in greys]})
    assert status == 200
    assert list(body) == ["predictions"]
    logits = [serving.expected_logit(grey) for grey in greys]
    for answer, logit in zip(body["predictions"], logits, strict=True):
        assert sorted(answer) == ["label", "logit", "model_version", "probability"]
        assert answer["logit"] == pytest.approx(logit, abs=1e-5)
        assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-logit)))
        assert answer["label"] == ("malignant" if logit >= 0 else "benign")
        assert answer["model_version"] == "v1"


def test_columns_give_named_outputs(client, serving):
    inputs = {
        "image_bytes": [serving.b64(serving.png(g)) for g in (90, 140)],
        "age_years": [float("nan"), 70],
        "shape": ["", "irregular"],
    }
    status, body = client.predict({"inputs": inputs})
    assert status == 200
    expected = [
        serving.expected_logit(90, age=np.nan, shape=""),
        serving.expected_logit(140, age=70),
    ]
    assert body["outputs"]["logit"] == pytest.approx(expected, abs=1e-5)
    assert body["outputs"]["label"] == ["benign", "malignant"]


def test_a_single_output_stands_without_its_name(client, serving):
    image = serving.b64(serving.png(200))
    probability = 1 / (1 + np.exp(-(200 - 128) / 64))
    for instance in (image, {"image_bytes": image}):
        status, body = client.predict(image_only(instance))
        assert (status, body) == (200, {"predictions": [pytest.approx(probability)]})
    for inputs in ([image], {"image_bytes": [image]}):
        status, body = client.predict(
            {"signature_name": "image_only", "inputs": inputs}
        )
        assert (status, body) == (200, {"outputs": [pytest.approx(probability)]})


def test_outputs_named_bytes_come_in_base64(client, serving):
    image = serving.png(7)
    request = {"signature_name": "explain", "instances": [serving.b64(image)]}
    status, body = client.predict(request)
    assert status == 200
    received = base64.b64decode(body["predictions"][0]["heatmap_bytes"]["b64"])
    assert received == "\x89PNG".encode() + image


def test_pixels_come_as_nested_lists_and_go_back_with_the_fewest_digits(client):
    pixels = (np.arange(16) / 10).reshape(4, 4).tolist()
    request = {"signature_name": "from_pixels", "instances": [{"pixels": pixels}]}
    status, body = client.predict(request)
    assert status == 200
    assert body["predictions"][0]["copy"] == pixels  # 0.1, not 0.10000000149
    pixels[2][1] = float("nan")
    status, body = client.predict({**request, "instances": [pixels]})
    assert status == 200
    assert np.isnan(body["predictions"][0]["copy"][2][1])
    assert np.isnan(body["predictions"][0]["mean"])


def test_a_version_can_be_asked_for(client, serving, says):
    image = image_only(serving.b64(serving.png(1)))
    assert client.predict(image, where="/versions/1")[0] == 200
    status, body = client.predict(image, where="/versions/99")
    assert status == 404
    says(body["error"], "Specific(tiny, 99)")
    status, body = client.predict(image, where="/labels/stable")
    assert status == 400
    says(body["error"], "Unrecognized servable version label: stable")
    status, body = client.predict(image, where=f"/versions/{2**64}")
    assert status == 400
    says(body["error"], "Failed to convert version")


def test_an_unknown_model_is_not_found(client, says):
    status, body = client.predict(image_only("x"), model="foreign")
    assert status == 404
    says(body["error"], "Servable not found for request: Latest(foreign)")


def test_status_and_metadata_read_as_those_of_tensorflow_serving(client, says):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert client.get(TINY) == (200, expected)
    assert client.get(f"{TINY}/versions/1") == (200, expected)
    status, body = client.get(f"{TINY}/metadata")
    assert status == 200
    assert body["model_spec"] == {"name": "tiny", "signature_name": "", "version": "1"}
    signatures = body["metadata"]["signature_def"]["signature_def"]
    age = signatures["serving_default"]["inputs"]["age_years"]
    assert age["dtype"] == "DT_FLOAT"
    assert age["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    status, body = client.get("/v1/models/foreign")
    assert status == 404
    says(body["error"], "Could not find any versions of model foreign")
    status, body = client.get(f"{TINY}/versions/7")
    assert status == 404
    says(body["error"], "Could not find version 7 of model tiny")


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/foo", 400, "Malformed request"),
        ("POST", "/v1/foo", 400, "Malformed request"),
        ("GET", "/v1/models", 400, "Missing model name"),
        ("GET", f"{TINY}:predict", 400, "Malformed request"),
        ("POST", f"{TINY}/version/1:predict", 400, "Malformed request"),
        ("POST", f"{TINY}/versions/HELLO:predict", 400, "Malformed request"),
        ("DELETE", TINY, 400, "Malformed request"),
    ],
)
def test_a_path_that_means_nothing_is_malformed(
    client, method, path, status, message, says
):
    received, body = client.call(method, path, "{}")
    assert received == status
    says(body["error"], message)


@pytest.mark.parametrize(("body", "message"), BAD)
def test_a_request_that_cannot_be_read_says_what_was_expected(
    client, body, message, says, address
):
    if not address.ours and len(body) == 100_000:
        pytest.skip("TensorFlow Serving reads nested lists without a limit")
    status, received = client.predict(body)
    assert status == 400
    assert list(received) == ["error"]
    says(received["error"], message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age_years": "54"}, "String is not of expected type: float32"),
        ({"age_years": True}, "True is not of expected type: float32"),
        ({"age_years": None}, "Null is not of expected type: float32"),
        ({"age_years": 2**24 + 1}, "without loss of precision"),
        ({"age_years": 1e39}, "without loss of precision"),
        ({"age_years": [54.0]}, "Expected age_years of shape [?]. Received: [1, 1]"),
        ({"shape": 3}, "Number is not of expected type: string"),
        ({"shape": {"b64": 3}}, "not formatted correctly for base64 data"),
        ({"shape": {"b64": "€"}}, "Unable to base64 decode"),
        ({"margin": "smooth"}, "Not an input: margin"),
        ({"image_bytes": "hello"}, "Unknown image file format"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(
    client, serving, change, message, says, address
):
    status, body = client.predict({"instances": [row(serving, 9, **change)]})
    assert status == 400
    says(body["error"], message)
    if address.ours:
        for secret in ("hello", "smooth", "16777217"):
            assert secret not in body["error"]


def test_lists_of_unequal_length_are_an_error(client, says):
    request = {"signature_name": "from_pixels", "inputs": [[[1, 2], [3]]]}
    status, body = client.predict(request)
    assert status == 400
    says(body["error"], "Encountered list at unexpected size: 1")


def test_a_truncated_image_spoils_no_other_request(client, serving, address):
    rng = np.random.default_rng(0)
    noise = serving.png(rng.integers(0, 255, (64, 64)).astype(np.uint8))
    status, body = client.predict(image_only(serving.b64(noise[: len(noise) // 2])))
    assert status == 400
    assert body["error"]
    assert "{{" not in body["error"] or not address.ours
    assert client.predict(image_only(serving.b64(noise)))[0] == 200


def test_a_thousand_instances_are_answered_in_order(client, serving):
    images = [serving.b64(serving.png(grey)) for grey in range(250)]
    status, body = client.predict(image_only(*images * 4))
    assert status == 200
    expected = 1 / (1 + np.exp(-(np.arange(250) - 128) / 64))
    np.testing.assert_allclose(body["predictions"], np.tile(expected, 4), atol=1e-6)


def test_the_body_of_a_request_may_come_in_chunks(client, serving):
    body = json.dumps(image_only(serving.b64(serving.png(3)))).encode()
    chunks = iter([body[:10], body[10:]])
    assert client.call("POST", f"{TINY}:predict", chunks)[0] == 200


def test_a_packed_body_is_refused(server, serving):
    body = gzip.compress(json.dumps(image_only("x")).encode())
    header = {"Content-Encoding": "gzip"}
    status, answer = server.client.call("POST", f"{TINY}:predict", body, header)
    assert status == 415
    assert "without Content-Encoding" in answer["error"]


def test_a_client_that_leaves_early_does_no_harm(client, address, serving):
    for sent in (b"POST /v1/mo", b"\x16\x03\x01 tls hello", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection((address.host, address.rest)) as connection:
            connection.sendall(sent)
    with socket.create_connection((address.host, address.rest)) as connection:
        connection.sendall(
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: a\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
    assert client.predict(image_only(serving.b64(serving.png(3))))[0] == 200


def test_prometheus_finds_the_names_it_knows(server, serving):
    client = server.client
    client.predict(image_only(serving.b64(serving.png(3))))
    client.predict(image_only("x"), model="Mustermann_Erika")
    status, page = client.get("/monitoring/prometheus/metrics")
    assert status == 200
    text = page.decode()
    count = ':tensorflow:serving:request_count{model_name="tiny",status="OK"}'
    assert count in text
    assert ':tensorflow:serving:request_latency_bucket{API="predict"' in text
    assert ":tensorflow:serving:runtime_latency_sum{" in text
    assert "Mustermann" not in text
