"""The page's server: what a reader gets, and what nobody does."""

import json
import re
import resource
import sqlite3
import threading

import pytest

from usgland.serving.interface.status import RequestError
from usgland.study.study_app import KEY_SECONDS, PAGES, WRONG_KEYS, WrongKeys

SAID = {"call": "malignant", "confidence": 70, "seconds": 0.0}


def test_a_reader_goes_through_a_session_by_http(running):
    server = running()
    assert server.enter("R1")["state"] == "ready"
    assert server.ask("begin", session=1)[1]["state"] == "reading"
    for position in (1, 2, 3):
        status, shown = server.ask("case")
        assert (status, shown["position"]) == (200, position)
        status, headers, image = server.call(
            "POST", "/study/image", {"view": shown["view"]}
        )
        assert (status, headers["content-type"]) == (200, "image/png")
        name = server.study.study.design.sessions["R1"][0].cases[position - 1]
        assert image == bytes([int(name[1:])]) * 9
        assert server.ask("time", view=shown["view"], seconds=0.0) == (200, {})
        status, place = server.ask("answer", view=shown["view"], **SAID)
        assert status == 200
    assert place["state"] == "waiting"
    assert server.ask("leave") == (200, {})
    assert server.ask("place")[0] == 401


def test_the_page_and_all_that_it_asks_for_stay_in_this_browser_window(seated):
    files = [f"/study/{path.name}" for path in PAGES.iterdir()]
    shared = ["/study/page.css", "/study/dom.js", "/study/icon.svg"]
    asked = [("GET", path) for path in ("/", *files, *shared)]
    asked += [("POST", "/study/place"), ("POST", "/study/case"), ("POST", "/study/end")]
    for method, path in asked:
        status, headers, _ = seated.call(method, path)
        assert status == 200, path
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers and "server" not in headers


def test_no_file_of_the_page_names_an_address_or_keeps_anything():
    kept = re.compile(
        r"://|[\"'(]//|localStorage|indexedDB|sessionStorage|"
        r"document\.cookie|caches\.|innerHTML|\beval\b|@import|url\("
    )
    for path in PAGES.iterdir():
        assert not kept.search(path.read_text()), path.name
    assert "<noscript>" in (PAGES / "index.html").read_text()


@pytest.mark.parametrize(
    "path",
    [
        *("/design.json", "/study/design.json", "/answers.sqlite", "/images/0.png"),
        *("/study/images/0.png", "/study/../design.json", "/study/%2e%2e/design.json"),
        *(
            "/study/image",
            "/study/answers",
            "/study/",
            "/study/main.py",
            "/study-private",
        ),
    ],
)
def test_nothing_of_the_folder_has_an_address(seated, path):
    status, _, content = seated.call("GET", path)
    assert status in (404, 405)
    assert content["error"] == "Expected the page at /"


def test_without_a_seat_there_is_nothing(running):
    server = running()
    for seat in ("", "made-up", "x" * 9000):
        server.seat = seat
        for path, body in (
            ("place", {}),
            ("begin", {"session": 1}),
            ("case", {}),
            ("image", {"view": "a"}),
            ("answer", {"view": "a", **SAID}),
            ("end", {}),
        ):
            status, content = server.ask(path, **body)
            assert status == 401, path
            assert content["error"] == "Expected your key. Enter it again"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("enter", {}),
        ("enter", {"key": 7}),
        ("enter", {"key": "x" * 201}),
        ("case", {"position": "1"}),
        ("case", {"label": True}),
        ("begin", {"session": 1.5}),
        ("time", {"view": "a", "seconds": 1e300}),
        ("answer", {"view": "a", **SAID, "call": "Malignant"}),
        ("answer", {"view": "a", **SAID, "confidence": 101}),
        ("answer", {"view": "a", **SAID, "confidence": 70.5}),
        ("answer", {"view": "a", **SAID, "confidence": True}),
        ("answer", {"view": "a", **SAID, "label": 1}),
        ("answer", {"view": "a", **SAID, "descriptors": {"a": 1}}),
        ("answer", {"view": "a"}),
    ],
)
def test_what_the_page_would_not_send_is_refused(seated, path, body):
    status, content = seated.ask(path, **body)
    assert status == 400
    assert content["error"].startswith("Expected what this page sends. Received: ")


def test_what_is_no_json_and_what_is_too_large_is_refused(seated):
    for body in ("{", "[]", "\0", '{"key": NaN}', "[" * 20_000):
        assert seated.call("POST", "/study/enter", body)[0] == 400
    status, _, content = seated.call("POST", "/study/enter", "x" * 70_000)
    assert status == 413
    assert "at most 65536 bytes" in content["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Content_Type": "text/plain"}, 415),
    ],
)
def test_another_web_page_gets_nothing(seated, headers, status):
    received, _, content = seated.call("POST", "/study/place", {}, **headers)
    assert received == status
    assert "Expected" in content["error"]


def test_a_name_that_was_allowed_is_ours(running):
    server = running({"allow_hosts": ("reading.example",)})
    assert server.call("GET", "/", Host="reading.example")[0] == 200


def test_keys_are_tried_only_so_often(running):
    server = running()
    for _ in range(WRONG_KEYS):
        assert server.ask("enter", key="k7mp-2222-2222-2222-2222")[0] == 401
    status, content = server.ask("enter", key=server.study.keys["R1"])
    assert status == 429
    assert content["error"].startswith("Too many wrong keys came from this place")


def test_who_waits_may_try_again():
    wrong = WrongKeys()
    for _ in range(WRONG_KEYS):
        wrong.check("10.0.0.1", 100.0)
        wrong.note("10.0.0.1", 100.0)
    with pytest.raises(RequestError, match="Wait a minute, then enter yours"):
        wrong.check("10.0.0.1", 100.0)
    wrong.check("10.0.0.2", 100.0)
    wrong.check("10.0.0.1", 100.0 + KEY_SECONDS)
    for number in range(3000):
        wrong.note(f"10.1.{number // 256}.{number % 256}", 101.0)
    assert len(wrong.tried) == 1000


def test_neither_log_nor_error_has_a_key_a_seat_or_a_case(running, caplog):
    caplog.set_level("INFO")
    server = running()
    key = server.study.keys["R1"]
    server.ask("enter", key=f"{key[:-1]}!")
    server.enter("R1")
    server.ask("begin", session=1)
    _, shown = server.ask("case")
    (server.study.study.folder / "images").rename(
        server.study.study.folder / "elsewhere"
    )
    status, content = server.ask("image", view=shown["view"])
    assert status == 500
    assert content["error"].startswith("The image of this case is lost or damaged")
    told = " ".join(
        json.dumps(record.__dict__, default=str) for record in caplog.records
    )
    assert "wrong_key" in told and "image_lost" in told
    for secret in (key, key[5:-1], server.seat, shown["view"], "c0", "c1", "c2"):
        assert secret not in told + json.dumps(content)


def test_of_many_who_send_one_answer_each_counts_once(running):
    server = running()
    server.enter("R1")
    server.ask("begin", session=1)
    _, shown = server.ask("case")
    statuses = []

    def send(call):
        body = {"view": shown["view"], **SAID, "call": call}
        statuses.append(server.ask("answer", **body)[0])

    threads = [
        threading.Thread(target=send, args=(call,))
        for call in ("benign", "malignant") * 6
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who said something else hears that it was not stored.
    assert sorted(statuses) == [200] * 6 + [409] * 6
    assert len(server.study.store.answers()) == 1
    other = {**SAID, "view": shown["view"], "confidence": 1}
    status, refused = server.ask("answer", **other)
    assert status == 409
    assert "answered otherwise; that answer stands" in refused["error"]
    assert server.ask("place")[1]["position"] == 2


def test_two_servers_of_one_folder_store_an_answer_once(running, opened, studies):
    server = running()
    server.enter("R1")
    server.ask("begin", session=1)
    views = [server.ask("case")[1]["view"] for _ in range(2)]
    first = server.study
    again = type(first).__new__(type(first))
    again.study, again.keys, again.hand = first.study, first.keys, first.hand
    again.open()
    with studies.Running(again) as other:
        other.seat = server.seat
        assert other.ask("answer", view=views[0], **SAID)[0] == 200
        status, content = server.ask("answer", view=views[1], **SAID)
        assert status == 409
        assert "that answer stands" in content["error"]
    again.store.close()
    assert len(first.store.answers()) == 1


def test_on_a_full_disk_the_reader_is_told_and_nothing_is_half_stored(running, studies):
    asked = tuple(
        studies.Asked(column=f"size{n}", title="Size", words=("x" * 200,))
        for n in range(30)
    )
    server = running(asked=asked)
    server.enter("R1")
    server.ask("begin", session=1)
    _, shown = server.ask("case")
    store = server.study.store
    [pages] = store.rows("PRAGMA page_count")
    store.run(f"PRAGMA max_page_count = {pages['page_count']}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for number in range(3000):
            with store.writing():
                store.event(0.0, "x" * 500, f"fills {number}")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.writing():
        store.run("INSERT INTO facts VALUES ('last', ?)", "x" * 50_000)
    # What room is left in a page, a long answer does not have.
    body = {
        "view": shown["view"],
        **SAID,
        "descriptors": {part.column: "x" * 200 for part in asked},
    }
    for _ in range(3):
        status, content = server.ask("answer", **body)
        assert status == 507
        assert content["error"].startswith(
            "The server could not store this: its disk is full. Your answer stays"
        )
    assert store.answers() == []
    store.run("PRAGMA max_page_count = 100000")
    assert server.ask("answer", **body)[0] == 200
    assert [answer["confidence"] for answer in store.answers()] == [70]


def test_files_that_cannot_grow_lose_no_answer_that_was_told_stored(running):
    server = running()
    server.enter("R1")
    server.ask("begin", session=1)
    _, shown = server.ask("case")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = server.study.store.path.with_name("answers.sqlite-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        status, content = server.ask("answer", view=shown["view"], **SAID)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status in (503, 507)
    assert "Your answer stays on this page" in content["error"]
    assert server.study.store.answers() == []
    assert server.ask("answer", view=shown["view"], **SAID)[0] == 200
    assert len(server.study.store.answers()) == 1
