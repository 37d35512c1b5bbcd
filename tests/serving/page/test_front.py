"""The page before a TensorFlow Serving, here one that a test tells what to answer."""

import http.client
import threading
import time

import pytest

from usgland.errors import UserError
from usgland.serving.server.front import front_of
from usgland.serving.server.server_options import ServerOptions


def test_the_front_passes_questions_and_answers_on(upstream):
    upstream.script["predict"] = (418, {"error": "as it came"})
    path = "/v1/models/a%2Fb/labels/stable:predict"
    body = '{"instances": [{"x": NaN}]}'
    answer = upstream.client.call("POST", path, body)
    assert answer == (418, {"error": "as it came"})
    assert upstream.asked[-1] == ("POST", path, body.encode())
    upstream.client.get("/v1/models/standin?x=1")
    assert upstream.asked[-1] == ("GET", "/v1/models/standin?x=1", b"")


def test_the_front_says_how_a_body_is_packed(upstream):
    path = "/v1/models/standin:predict"
    upstream.script["predict"] = (200, {})
    connection = http.client.HTTPConnection("127.0.0.1", upstream.client.port)
    sent = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    connection.request("POST", path, b"{}", {**sent, "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    received = {name.lower(): value for name, value in upstream.headers.items()}
    assert answer.getheader("content-encoding") == "gzip"
    assert answer.getheader("x-request-id") == received["x-request-id"]
    assert received["content-encoding"] == received["accept-encoding"] == "gzip"
    assert received["content-type"] == "text/plain"


def test_the_front_lists_the_models_of_the_folder(upstream):
    _, answer = upstream.client.get("/page/models.json")
    assert [model["name"] for model in answer["models"]] == ["older", "standin"]
    assert upstream.asked == []


def test_the_front_keeps_to_its_address(page_models, page_server):
    taken = ServerOptions(page_models, rest_port=page_server.rest_port, page=True)
    wanted = pytest.raises(UserError, match="Expected to listen on .* Choose another")
    with wanted, front_of(taken, 1):
        pass


def test_the_front_has_the_limits_of_the_server(page_models, serving):
    options = ServerOptions(
        page_models,
        rest_port=serving.free_port(),
        page=True,
        max_requests=1,
        max_body_megabytes=0.5,
        timeout_seconds=1,
    )
    client = serving.Client(options.rest_port)
    path = "/v1/models/standin:predict"
    with front_of(options, serving.free_port()):
        status, answer = client.call("POST", path, b"x" * 1_000_000)
        assert (status, answer["error"]) == (
            413,
            "Expected a body of at most 524288 bytes",
        )
        status, answer = client.call("POST", path, "{}")
        assert (status, answer["error"][:18]) == (503, "TensorFlow Serving")


def test_the_front_waits_no_longer_than_it_was_told(page_models, serving, upstream):
    event = threading.Event()
    upstream.script["predict"] = (200, event)
    options = ServerOptions(
        page_models,
        rest_port=serving.free_port(),
        page=True,
        max_requests=1,
        timeout_seconds=1,
    )
    client, answers = serving.Client(options.rest_port), []
    path = "/v1/models/standin:predict"

    def ask():
        answers.append(client.call("POST", path, "{}")[0])

    with front_of(options, upstream.server_address[1]):
        first = threading.Thread(target=ask)
        first.start()
        while not upstream.asked:
            time.sleep(0.01)
        ask()  # The one place is taken.
        first.join()
    event.set()
    assert answers == [429, 504]


def test_what_the_front_cannot_pass_on_is_an_error_in_json(upstream):
    status, answer = upstream.client.call("TRACE", "/v1/models", "")
    assert status == 405
    assert "Malformed request: expected a path and method" in answer["error"]
    assert upstream.asked == []
