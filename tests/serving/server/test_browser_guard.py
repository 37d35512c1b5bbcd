"""No web page but the server's own can drive it."""

import http.client
import json

import pytest

from usgland.serving.server import limits
from usgland.serving.server.places import Sender

PREDICT = "/v1/models/tiny:predict"


def status_of(server, method="GET", path="/v1/models/tiny", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, sent)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    assert response.getheader("x-content-type-options") == "nosniff"
    assert len(response.getheader("x-request-id")) == 32
    return response.status, content


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8501", 200),
        ("127.0.0.1", 200),
        ("[::1]:8501", 200),
        ("192.168.1.7", 200),
        ("rebound.example", 403),
        ("rebound.example:8501", 403),
        ("localhost.rebound.example", 403),
        ("127.0.0.1.rebound.example", 403),
    ],
)
def test_a_name_of_another_server_is_refused(server, host, expected):
    status, content = status_of(server, Host=host)
    assert status == expected
    if status == 403:
        assert "--allow-host" in json.loads(content)["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://other.example"},
        {"Origin": "null"},
        {"Origin": "http://[", "Host": "localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
def test_another_page_is_refused(server, headers):
    status, content = status_of(server, **headers)
    assert status == 403
    assert "another web page" in json.loads(content)["error"]


def test_its_own_page_and_a_link_to_it_are_answered(server):
    own = f"http://127.0.0.1:{server.rest_port}"
    assert status_of(server, Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert status_of(server, **link)[0] == 200


@pytest.mark.parametrize(
    ("kind", "browser", "expected"),
    [
        ("application/json", True, 400),
        ("application/json; charset=utf-8", False, 400),
        ("application/x-www-form-urlencoded", False, 400),  # as `curl -d` says
        ("application/x-www-form-urlencoded", True, 415),
        ("text/plain;charset=UTF-8", False, 400),  # as `fetch` of Node says
        ("text/plain", True, 415),
        ("multipart/form-data; boundary=x", True, 415),
        ("", True, 415),
        ("application/octet-stream", False, 400),
    ],
)
def test_a_form_of_a_page_is_no_json(server, kind, browser, expected):
    headers = {"Content_Type": kind}
    if browser:
        headers["Origin"] = f"http://127.0.0.1:{server.rest_port}"
    status, content = status_of(server, "POST", PREDICT, b"{}", **headers)
    assert status == expected
    if expected == 415:
        assert "Content-Type: application/json" in json.loads(content)["error"]


def test_a_proxy_on_this_machine_names_the_client(server, monkeypatch):
    seen = []

    def note(host, port):
        seen.append(host)
        return Sender(host, "")

    monkeypatch.setattr(limits, "sender_of", note)
    status_of(server, "POST", PREDICT, b"{}")
    status_of(server, "POST", PREDICT, b"{}", X_Forwarded_For="10.1.2.3")
    assert (seen[0], seen[-1]) == ("127.0.0.1", "10.1.2.3")


def test_options_is_answered_and_allows_no_other_page(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    connection.request("OPTIONS", PREDICT)
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("access-control-allow-origin") is None
    connection.close()


def test_probes_need_no_token(models_dir, serving):
    from usgland.serving.server.server_options import ServerOptions

    options = ServerOptions(models_dir, token="0123456789abcdef-token")
    with serving.RunningServer(options) as running:
        for path in ("/livez", "/readyz"):
            status, _ = serving.Client(running.rest_port).get(path)
            assert status == 200
        assert serving.Client(running.rest_port).get("/v1/models/tiny")[0] == 401
