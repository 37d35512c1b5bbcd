"""What a study gives out: the calls that were made, and what has changed since."""

import pytest

from usgland.study import readings_file
from usgland.study.study_folder import PROTOCOL, TRUTH, private_folder, read_study

CALLS = {
    ("R1", "unaided"): {"c0": "malignant", "c1": "benign", "c2": "malignant"},
    ("R1", "clinical"): {"c0": "benign", "c1": "malignant", "c2": "malignant"},
    ("R2", "unaided"): {"c0": "benign", "c1": "benign", "c2": "malignant"},
    ("R2", "clinical"): {"c0": "benign", "c1": "malignant", "c2": "benign"},
}
TOLD = {
    f"c{n}": {"image": f"doe{n}.png", "patient_id": f"P{n}", "label": "benign"}
    for n in range(3)
}


@pytest.fixture
def read(opened):
    """A study that both readers have finished, as `CALLS` tells them."""
    study = opened()
    for days in (0, 29):
        study.hand.on(days=days)
        for reader in ("R1", "R2"):
            number = study.sittings.where(reader).session
            arm = study.study.design.sessions[reader][number - 1].arm
            study.read_session(reader, CALLS[reader, arm])
    return study


def rows_of(study, stem="readers"):
    design = study.study.design
    return readings_file.tables(design, study.store.answers(), TOLD)[stem]


def test_the_table_has_the_calls_that_readers_made(read):
    rows = rows_of(read)
    assert len(rows) == 12
    for row in rows:
        case = row["image"].removeprefix("doe").removesuffix(".png")
        assert row["call"] == CALLS[row["reader"], row["arm"]][f"c{case}"]
        assert row["clinical"] == ("with" if row["arm"] == "clinical" else "without")
        assert row["score"] == (80 if row["call"] == "malignant" else 20)  # 50 +- 60/2
        assert row["seconds"] == row["server_seconds"] == 5
    for reader in ("R1", "R2"):
        own = [row for row in rows if row["reader"] == reader]
        assert [row["order"] for row in own] == [1, 2, 3, 1, 2, 3]
        assert [row["days"] == "" for row in own] == [True] * 3 + [False] * 3
        assert all(row["days"] >= 28.9 for row in own[3:])


def test_a_reading_without_a_time_has_none(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    study.answer("R1", seconds=0.0)
    [row] = rows_of(study)
    assert row["seconds"] == ""
    assert "a case: none" not in items_of(study)["17"]
    assert "while the page was seen: none" in items_of(study)["17"]


def test_contrasts_are_pairs_of_arms_that_one_part_tells_apart():
    def named(*arms):
        return [(c.stem, c.column, c.arms) for c in readings_file.contrasts(arms)]

    assert named("unaided", "clinical", "model") == [
        ("readers", "clinical", {"unaided": "without", "clinical": "with"}),
        (
            "readers_model_over_unaided",
            "aided",
            {"unaided": "without", "model": "with"},
        ),
    ]
    assert named("clinical", "clinical+model") == [
        ("readers", "aided", {"clinical": "without", "clinical+model": "with"})
    ]
    assert named("clinical") == [("readers", "clinical", {"clinical": "with"})]
    assert named("clinical", "model") == [
        ("readers", "clinical", {"clinical": "with"}),
        ("readers_model", "clinical", {"model": "without"}),
    ]
    assert len(named("unaided", "clinical", "model", "clinical+model")) == 4


def test_where_readers_stand_tells_nothing_of_their_calls(opened):
    study = opened()
    design, store = study.study.design, study.store
    study.sittings.begin("R1", 1)
    study.answer("R1")
    first, second, *_ = readings_file.whereabouts(design, store)
    assert (first["reader"], first["read"], first["cases"]) == ("R1", 1, 3)
    assert first["opens"] == 0 and second["opens"] is None
    study.answer("R1")
    study.answer("R1", "malignant")
    _, second, *_ = readings_file.whereabouts(design, store)
    assert second["opens"] == first["last"] + 10 + 28 * 86400
    assert not {"call", "confidence", "score"} & set(second)


def test_what_changes_after_the_first_reader_began_is_seen(read):
    folder = read.study.folder
    secret = private_folder(folder)

    def changes():
        private = {
            "truth": (secret / TRUTH).read_bytes(),
            "protocol": (secret / PROTOCOL).read_bytes(),
        }
        return readings_file.changes(read_study(folder), read.store, private)

    assert changes() == []
    design = folder / "design.json"
    text = design.read_text()
    design.write_text(text.replace('"washout_days": 28.0', '"washout_days": 1.0'))
    assert design.read_text() != text
    [line] = changes()
    assert line.startswith("design.json is not the one with which reading began")
    design.write_text(text)
    (secret / TRUTH).write_text((secret / TRUTH).read_text().replace("P1", "P9"))
    (secret / PROTOCOL).write_text("# Another\n")
    (folder / "images" / "1.png").unlink()
    (folder / "images" / "2.png").write_bytes(b"another")
    read.store.run("DROP TRIGGER no_change")
    read.store.run("UPDATE answers SET confidence = 99 WHERE number = 7")
    assert changes() == [
        "cases.csv is not the one with which the design was made",
        "protocol.md is not the one with which reading began",
        "Images are lost or others: c1, c2",
        "Answers from number 7 on are not as they were stored",
    ]


def test_before_anyone_reads_the_protocol_may_be_finished(opened):
    study = opened()
    private = {"protocol": b"# Finished\n"}
    assert readings_file.changes(study.study, study.store, private) == []


def items_of(study, changed=(), noted=()):
    rows = rows_of(study, readings_file.ALL)
    seals = study.store.fact("design_sha256"), None
    return dict(
        readings_file.stard_items(study.study.design, rows, seals, changed, noted)
    )


def test_the_items_of_stard_say_what_was_done(read):
    items = items_of(read, ["design.json is another"], ["R1: entered twice (2)"])
    assert "2 readers read 3 cases each in 2 sessions" in items["10a"]
    assert "no way back" in items["10a"]
    assert items["16"] == "0 of 12 readings were not made."
    assert "28 days by design, kept: 29 days or more" in items["17"]
    assert "median 5.0 s a case" in items["17"]
    assert read.study.sha256 in items["29"]
    assert "design.json is another" in items["29"]
    assert "R1: entered twice (2)" in items["29"]


def test_a_washout_that_was_not_kept_and_readings_that_are_missing_are_said(opened):
    study = opened(washout_days=0)
    study.read_session("R1")
    study.read_session("R1")
    changed = study.study.design.model_copy(update={"washout_days": 28.0})
    study.study = study.study._replace(design=changed)
    items = items_of(study)
    assert items["16"] == "6 of 12 readings were not made."
    assert "28 days by design, NOT KEPT: 0 days" in items["17"]
