"""Where a reader stands, what is shown there, and what an answer becomes."""

import math
import random

import pytest

from usgland.serving.interface.status import RequestError
from usgland.study.sittings import DAY, MOST_VIEWS


def first_arm(study, reader="R1"):
    return study.study.design.sessions[reader][0].arm


def arm_reader(study, arm):
    """A reader whose first session is of an arm."""
    return next(r for r in study.study.design.sessions if first_arm(study, r) == arm)


def test_a_reader_goes_from_case_to_case_in_their_own_order(opened):
    study = opened()
    place = study.sittings.place("R1")
    assert (place["state"], place["session"], place["position"]) == ("ready", 1, 1)
    assert "view" not in study.sittings.show("R1")  # Not before it has begun.
    study.sittings.begin("R1", 1)
    for position in (1, 2, 3):
        place = study.sittings.place("R1")
        assert (place["state"], place["position"]) == ("reading", position)
        study.answer("R1")
    names = [answer["name"] for answer in study.store.answers()]
    assert tuple(names) == study.study.design.sessions["R1"][0].cases
    assert study.sittings.place("R1")["state"] == "waiting"
    assert study.sittings.place("R2")["state"] == "ready"


def test_an_arm_shows_its_part_and_nothing_else_of_a_case(opened):
    study = opened(arms=("unaided", "clinical", "model", "clinical+model"), readers=4)
    every = {
        *("study", "synthetic", "state", "session", "sessions", "position", "cases"),
        *("form", "model", "way_back", "opens", "washout_days", "view", "asked"),
        "earlier",
    }
    parts = {
        "unaided": set(),
        "clinical": {"values"},
        "model": {"answer"},
        "clinical+model": {"values", "answer"},
    }
    for arm, added in parts.items():
        reader = arm_reader(study, arm)
        study.sittings.begin(reader, 1)
        shown = study.sittings.show(reader)
        assert set(shown) == every | added
        assert (shown["form"], shown["model"]) == ("clinical" in arm, "model" in arm)
        name = study.study.design.sessions[reader][0].cases[0]
        number = int(name[1:])
        if "clinical" in arm:
            assert shown["values"] == (("Age, years", f"{40 + number}"),)
        if "model" in arm:
            call = "malignant" if number > 1 else "benign"
            assert shown["answer"] == {"probability": 0.25 * number, "call": call}
        shown["view"] = ""  # Hex, which may be like a name.
        assert name not in str(shown)


def test_a_session_does_not_begin_before_its_washout(opened):
    study = opened()
    study.read_session("R1")
    opens = study.sittings.place("R1")["opens"]
    assert opens.startswith("2030-04-14")  # 28 days after 2030-03-17
    study.hand.on(days=27.99)
    with pytest.raises(RequestError, match="begins 28 days after the one before it"):
        study.sittings.begin("R1", 2)
    kinds = [row["kind"] for row in study.store.rows("SELECT kind FROM events")]
    assert kinds == ["came before the washout was over"]
    study.hand.on(days=0.02)
    assert study.sittings.begin("R1", 2)["state"] == "reading"


def test_a_clock_that_was_set_back_begins_no_session_and_loses_no_answer(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    study.answer("R1")
    study.hand.on(days=-40)
    study.answer("R1")
    study.answer("R1")
    assert len(study.store.answers()) == 3
    place = study.sittings.where("R1")
    assert place.state == "clock"
    # The washout runs from the latest time that was seen.
    assert place.opens == pytest.approx(1_900_000_000 + 28 * DAY, abs=20)
    with pytest.raises(RequestError, match="clock of this server stands before"):
        study.sittings.begin("R1", 2)
    with pytest.raises(RequestError, match="clock of this server stands before"):
        study.sittings.begin("R2", 1)
    kinds = {row["kind"] for row in study.store.rows("SELECT kind FROM events")}
    assert kinds == {
        "answered while the clock stood back",
        "came while the clock stood back",
    }


def test_an_answer_that_is_sent_again_changes_nothing(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    view = study.sittings.show("R1")["view"]
    answer = {"confidence": 60, "descriptors": {}, "seconds": 0.0}
    first = study.sittings.answer("R1", view, call="benign", **answer)
    assert study.sittings.answer("R1", view, call="benign", **answer) == first
    with pytest.raises(RequestError, match="answered otherwise; that answer stands"):
        study.sittings.answer("R1", view, call="malignant", **answer)
    [stored] = study.store.answers()
    assert stored["call"] == 0
    assert study.sittings.where("R1").position == 2


def test_of_two_windows_on_a_case_the_first_answer_stands(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    views = [study.sittings.show("R1")["view"] for _ in range(2)]
    answer = {"confidence": 60, "descriptors": {}, "seconds": 0.0}
    study.sittings.answer("R1", views[1], call="malignant", **answer)
    with pytest.raises(RequestError, match="answered in another window; that answer"):
        study.sittings.answer("R1", views[0], call="benign", **answer)
    [stored] = study.store.answers()
    assert (stored["call"], stored["views"]) == (1, 2)


def test_nobody_answers_or_sees_a_case_of_another_reader(opened):
    study = opened()
    for reader in ("R1", "R2"):
        study.sittings.begin(reader, 1)
    view = study.sittings.show("R2")["view"]
    answer = {"call": "benign", "confidence": 60, "descriptors": {}, "seconds": 0.0}
    for attempt in (
        lambda: study.sittings.answer("R1", view, **answer),
        lambda: study.sittings.case_of_view("R1", view),
        lambda: study.sittings.spend("R1", view, 1.0),
        lambda: study.sittings.answer("R1", "made up", **answer),
    ):
        with pytest.raises(RequestError, match="Expected a case that was shown to you"):
            attempt()
    assert study.store.answers() == []


def test_there_is_no_way_forward_or_back_but_by_answers(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    view = study.answer("R1")["view"]
    for position in (1, 3, 0, -1):
        with pytest.raises(RequestError, match="no way back"):
            study.sittings.show("R1", position)
    with pytest.raises(RequestError, match="This case was answered"):
        study.sittings.case_of_view("R1", view)
    assert study.sittings.end("R1")["state"] == "reading"


def test_to_open_a_case_again_and_again_fills_no_disk(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    with study.store.writing():
        for number in range(MOST_VIEWS - 1):
            study.store.run(
                "INSERT INTO views (name, reader, session, position, began, last) "
                "VALUES (?, 'R1', 1, 1, 0, 0)",
                f"{number}",
            )
    views = {study.sittings.show("R1")["view"] for _ in range(5)}
    assert len(views) == 1
    study.answer("R1")
    assert len(study.store.answers()) == 1


def test_with_a_way_back_the_last_call_counts_and_all_are_kept(opened):
    study = opened(way_back=True)
    study.sittings.begin("R1", 1)
    for _ in range(3):
        study.answer("R1")
    assert study.sittings.place("R1")["state"] == "checking"
    assert study.sittings.show("R1")["state"] == "checking"
    shown = study.sittings.show("R1", 2)
    assert shown["earlier"] == {
        **{"call": "benign", "confidence": 60, "descriptors": {}}
    }
    study.hand.on(3)
    study.sittings.answer(
        "R1", shown["view"], call="malignant", confidence=5, descriptors={}, seconds=3
    )
    calls = [(a["position"], a["revision"], a["call"]) for a in study.store.answers()]
    assert calls == [(1, 0, 0), (2, 0, 0), (3, 0, 0), (2, 1, 1)]
    assert study.store.answers()[-1]["seconds"] == pytest.approx(8)
    late = study.sittings.show("R1", 1)["view"]
    assert study.sittings.end("R1")["state"] == "waiting"
    with pytest.raises(RequestError, match="This session has ended"):
        study.sittings.answer(
            "R1",
            late,
            call="benign",
            confidence=5,
            descriptors={},
            seconds=3,
        )


def test_time_adds_up_over_breaks_and_leaves_out_what_was_not_seen(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    view = study.sittings.show("R1")["view"]
    study.hand.on(30)
    study.sittings.spend("R1", view, 12.0)  # Hidden for the other 18.
    study.hand.on(3600)  # The window was closed.
    view = study.sittings.show("R1")["view"]
    study.hand.on(8)
    study.sittings.spend("R1", view, 7.0)
    study.sittings.spend("R1", view, 5.0)  # An older message that came late.
    study.sittings.answer(
        "R1", view, call="benign", confidence=1, descriptors={}, seconds=7.5
    )
    [stored] = study.store.answers()
    assert stored["seconds"] == pytest.approx(19.5)
    assert stored["server_seconds"] == pytest.approx(38)
    assert (stored["views"], stored["capped"]) == (2, 0)


@pytest.mark.parametrize("seconds", [-5.0, 99.0, math.inf, math.nan])
def test_a_time_that_cannot_be_is_cut_and_marked(opened, seconds):
    study = opened()
    study.sittings.begin("R1", 1)
    view = study.sittings.show("R1")["view"]
    study.hand.on(10)
    study.sittings.answer(
        "R1", view, call="benign", confidence=1, descriptors={}, seconds=seconds
    )
    [stored] = study.store.answers()
    assert stored["capped"] == 1
    assert 0 <= stored["seconds"] <= 10


def test_a_server_that_was_killed_loses_no_answer_and_no_time(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    study.answer("R1")
    view = study.sittings.show("R1")["view"]
    study.hand.on(20)
    study.store.close()
    study.open()  # Without its memory of when the view was opened.
    assert study.sittings.where("R1").position == 2
    study.sittings.answer(
        "R1", view, call="malignant", confidence=90, descriptors={}, seconds=18.0
    )
    assert [answer["call"] for answer in study.store.answers()] == [0, 1]
    assert study.store.answers()[-1]["seconds"] == pytest.approx(18)
    assert study.store.answers()[-1]["server_seconds"] == pytest.approx(20)


def test_descriptors_are_those_that_were_asked_for(opened, studies):
    asked = (
        studies.Asked(column="margin", title="Margin", words=("clear", "unclear")),
        studies.Asked(column="size_mm", title="Size, mm", low=1, high=90),
    )
    study = opened(asked=asked)
    study.sittings.begin("R1", 1)
    for wrong in (
        {},
        {"margin": "clear"},
        {"margin": "round", "size_mm": ""},
        {"margin": "clear", "size_mm": "nan"},
        {"margin": "clear", "size_mm": "91"},
        {"margin": "clear", "size_mm": "1" * 30},
        {"margin": "clear", "size_mm": "large"},
    ):
        with pytest.raises(RequestError, match="xpected a value"):
            study.answer("R1", descriptors=wrong)
    study.answer("R1", descriptors={"margin": "", "size_mm": "12.5"})
    [stored] = study.store.answers()
    assert stored["descriptors"] == '{"margin": "", "size_mm": "12.5"}'


def test_the_design_is_sealed_when_the_first_reader_begins(opened):
    study = opened()
    assert study.store.fact("design_sha256") is None
    study.sittings.begin("R2", 1)
    assert study.store.fact("design_sha256") == study.study.sha256
    study.sittings.begin("R1", 1)
    assert len(study.store.fact("protocol_sha256")) == 64


@pytest.mark.parametrize("way_back", [False, True])
def test_whatever_readers_and_servers_do_each_told_answer_is_there_once(
    opened, way_back
):
    """Two readers, stale windows, repeated sends, killed servers, in drawn order."""
    study = opened(way_back=way_back, washout_days=0)
    rng = random.Random(0)
    views = {"R1": [], "R2": []}
    told = {}  # view -> what the page was told is stored
    for _ in range(250):
        reader = rng.choice(list(views))
        act = rng.choice(["show", "show", "answer", "answer", "begin", "end", "kill"])
        study.hand.on(rng.random() * 9)
        try:
            if act == "kill":
                study.store.close()
                study.open()
            elif act == "begin":
                study.sittings.begin(reader, rng.choice([1, 2]))
            elif act == "end":
                study.sittings.end(reader)
            elif act == "show":
                back = rng.choice([None, None, 1, 2, 3])
                shown = study.sittings.show(reader, back)
                views[reader] += [shown["view"]] if "view" in shown else []
            elif views[reader]:
                view = rng.choice(views[reader][-4:])
                said = {"call": rng.choice(["benign", "malignant"]), "confidence": 7}
                study.sittings.answer(reader, view, **said, descriptors={}, seconds=1)
                told.setdefault(view, (reader, said["call"]))
        except RequestError as error:
            assert error.http_status == 409
    answers = study.store.answers()
    kept = {
        a["view"]: (a["reader"], ["benign", "malignant"][a["call"]]) for a in answers
    }
    assert kept == told
    assert len(answers) >= 12
    places = [(a["reader"], a["session"], a["position"]) for a in answers]
    assert way_back or len(set(places)) == len(places)
    for reader in views:
        for session in (1, 2):
            first = [p for p in dict.fromkeys(places) if p[:2] == (reader, session)]
            assert [p[2] for p in first] == list(range(1, len(first) + 1))
    assert study.store.broken_link() is None
