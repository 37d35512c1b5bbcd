"""The page's files, and the sheets it is told of."""

import http.client
import json
import re
from types import SimpleNamespace

import pytest

from usgland.serving.interface import signing
from usgland.serving.server import loader
from usgland.serving.server.catalog import Catalog
from usgland.serving.server.page_routes import FILES, page_sheet
from usgland.serving.server.server_options import ServerOptions


def headers_of(client, path):
    connection = http.client.HTTPConnection(client.host, client.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def test_the_page_and_its_files_forbid_every_other_origin(page_server):
    paths = ["/", *(f"/page/{path.name}" for path in FILES.iterdir())]
    assert len(paths) > 5
    for path in (*paths, "/page/models.json"):
        status, headers = headers_of(page_server.client, path)
        assert status == 200, path
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers


def test_no_file_of_the_page_names_an_address_or_keeps_anything():
    kept = re.compile(
        r"://|[\"'(]//|localStorage|indexedDB|sessionStorage|"
        r"document\.cookie|caches\.|innerHTML|\beval\b|@import|url\("
    )
    for path in FILES.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not kept.search(text), path.name


def test_without_the_option_there_is_no_page(client):
    for path in ("/", "/page/main.js", "/page/models.json"):
        assert client.get(path)[0] == 404


def test_nothing_but_the_files_of_the_page_is_given_away(page_server):
    for path in (
        *("/page/", "/page/../reading_page.py", "/page/%2e%2e/reading_page.py"),
        *("/page/%2Fetc%2Fpasswd", "/page/nothing.js", "/page"),
    ):
        assert page_server.client.get(path)[0] == 404, path


def test_the_models_are_listed_with_their_sheets(page_server, stand_in):
    status, answer = page_server.client.get("/page/models.json")
    assert status == 200
    assert answer["max_body_bytes"] == 64 * 1024 * 1024
    older, standin = answer["models"]
    assert (older["name"], older["version"], older["sheet"]) == ("older", 1, None)
    assert "has no model sheet" in older["problem"]
    assert (standin["name"], standin["problem"]) == ("standin", "")
    for part in ("inputs", "operating_point", "form", "trained_on", "test"):
        assert standin["sheet"][part] == stand_in.SHEET[part]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "not as expected: all:"),
        ({"inputs": "video"}, "not as expected: inputs:"),
        ({"form": [{"column": "age"}]}, "not as expected: form.0.kind:"),
        ({"operating_point": {"probability": "high", "rule": ""}}, "operating_point.p"),
        ({"trained_on": None}, "not as expected: trained_on:"),
    ],
)
def test_a_sheet_that_is_not_as_expected_is_named(tmp_path, stand_in, changes, problem):
    text = changes if isinstance(changes, str) else {**stand_in.SHEET, **changes}
    stand_in.write_sheet(tmp_path, text)
    sheet, reason = page_sheet(tmp_path)
    assert sheet is None
    assert problem in reason
    assert "\n" not in reason


def test_a_sheet_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "assets.extra" / "usgland.json").mkdir(parents=True)
    assert page_sheet(tmp_path) == (
        None,
        "Its model sheet cannot be read (IsADirectoryError).",
    )


def test_an_undefined_figure_is_null_to_the_browser(tmp_path, stand_in):
    auc = {"value": float("nan"), "low": float("nan"), "high": 1.0, "level": 0.95}
    content = {**stand_in.SHEET, "test": {"roc_auc": auc, "patients": 3}}
    stand_in.write_sheet(tmp_path, content)
    sheet, _ = page_sheet(tmp_path)
    test = json.loads(json.dumps(sheet, allow_nan=False))["test"]
    assert test["roc_auc"] == {
        **{"value": None, "low": None, "high": 1.0, "level": 0.95}
    }


def test_the_token_guards_the_sheets_and_not_the_files(page_models, serving):
    token = "a-token-of-some-length"
    options = ServerOptions(page_models, page=True, token=token)
    with serving.RunningServer(options) as running:
        stranger = serving.Client(running.rest_port)
        assert stranger.get("/")[0] == 200
        assert stranger.get("/page/models.json")[0] == 401
        assert stranger.get("/v1/models/standin")[0] == 401
        assert len(running.client.get("/page/models.json")[1]["models"]) == 2


def test_the_sheet_shown_is_that_of_the_copy_that_was_checked(
    tmp_path, stand_in, monkeypatch
):
    """Whoever may write to the folder changes it in the moment after the check."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    version = tmp_path / "standin" / "1"
    version.mkdir(parents=True)
    stand_in.write_sheet(version, stand_in.SHEET)
    signing.write_sums(version, key)

    def load(folder, name, number):
        assert folder != version
        stand_in.write_sheet(version, {**stand_in.SHEET, "inputs": "clinical"})
        return SimpleNamespace(warm_up=lambda seconds: 0)

    monkeypatch.setattr(loader, "Servable", load)
    loading = loader.Loader(ServerOptions(tmp_path), Catalog())
    loading.key = key.public_key()
    servable, _ = loading._read(version, "standin", 1)
    sheet, problem = servable.sheet
    assert (sheet["inputs"], problem) == ("both", "")
    assert page_sheet(version)[0]["inputs"] == "clinical"
