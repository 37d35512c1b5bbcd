"""`usgland study` from a manifest to what `usgland readers` takes."""

import json
import math
import re

import pytest

from tests.commands import call, fail, read_csv, refusal, write_csv
from usgland.evaluation.readers.readings import read_readers
from usgland.study.answer_store import AnswerStore
from usgland.study.seats import Seats
from usgland.study.sittings import Sittings
from usgland.study.study_folder import KEYS, TRUTH, private_folder, read_study


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, studies):
    return studies.make_manifest(tmp_path_factory.mktemp("images"))


def read_all(folder, hand, truth, wrong=()):
    """Every reader reads every case; a call is right but for cases in `wrong`."""
    study = read_study(folder)
    store = AnswerStore(folder / "answers.sqlite", study.design.study)
    sittings = Sittings(study, store, hand.clock)
    for number in range(1, len(study.design.arms) + 1):
        for reader, sessions in study.design.sessions.items():
            sittings.begin(reader, number)
            for name in sessions[number - 1].cases:
                view = sittings.show(reader)["view"]
                hand.on(4)
                right = truth[name]
                other = {"benign": "malignant", "malignant": "benign"}[right]
                said = other if name in wrong else right
                sittings.answer(
                    reader,
                    view,
                    call=said,
                    confidence=80,
                    descriptors={},
                    seconds=3.5,
                )
        hand.on(days=study.design.washout_days)
    store.close()


def truth_of(folder):
    rows = read_csv(private_folder(folder) / TRUTH)
    return {row["case"]: row["label"] for row in rows}


def test_a_study_goes_from_a_manifest_to_the_readers_table(manifest, tmp_path, studies):
    folder = tmp_path / "study"
    said = call("study", "new", manifest, "--cases", 4, "--output", folder)
    keys = re.findall(r"R\d  ([\w-]{24})", said)
    assert len(keys) == 3
    assert (private_folder(folder) / KEYS).read_text().split()[1::2] == keys
    study = read_study(folder)
    store = AnswerStore(folder / "answers.sqlite", study.design.study)
    seats = Seats(study, store)
    assert [seats.enter(key)["reader"] for key in keys] == ["R1", "R2", "R3"]
    store.close()
    assert study.design.arms == ("unaided", "clinical")
    shown = dict(study.design.cases[0].form)
    assert shown["Age, years"] == "54" and shown["BMI, kg/m2"] == "22.5"
    text = (folder / "design.json").read_text()
    for hidden in ("doe", "P1", "malignant_", "PatientName", *keys):
        assert hidden not in text
    assert set(json.loads(text)["cases"][0]) == {
        *("name", "file", "sha256", "form", "model")
    }
    assert "0 of 4 cases, may begin" in call("study", "status", folder)
    truth = truth_of(folder)
    read_all(folder, studies.Hand(), truth, wrong=["c001"])
    said = call("study", "status", folder)
    assert said.count("4 of 4 cases, ended") == 6
    assert "sealed; nothing has changed" in said
    assert not re.search("benign|malignant|confidence", said)
    said = call("study", "export", folder)
    table = private_folder(folder) / "export" / "readers.csv"
    assert f"usgland readers {table}" in said
    readings = read_readers(table)
    assert readings.readers == ["R1", "R2", "R3"]
    assert readings.conditions == ["without", "with"]
    right = readings.calls["with"] == readings.cases["label"].to_numpy()
    assert right.sum(axis=1).tolist() == [3, 3, 3]
    assert "earlier export" in refusal("study", "export", folder)
    assert "4 images" in call("readers", table)


def test_descriptors_that_are_asked_for_are_not_shown_in_the_form(manifest, tmp_path):
    options = ("--ask", "margin", "--ask", "shape", "--readers", 1, "--way-back")
    call("study", "new", manifest, *options, "--output", tmp_path / "study")
    design = read_study(tmp_path / "study").design
    assert [part.title for part in design.asked] == ["Margin", "Shape"]
    assert design.asked[0].words == ("clear", "unclear")
    assert design.way_back and len(design.cases) == 8
    titles = [title for title, _ in design.cases[0].form]
    assert len(titles) == 12 and "Margin" not in titles
    call(
        *("study", "new", manifest, "--ask", "image_read"),
        *("--output", tmp_path / "other"),
    )
    assert len(read_study(tmp_path / "other").design.asked) == 9


def test_two_images_a_patient_are_a_question(tmp_path, studies):
    manifest = studies.make_manifest(tmp_path / "images", 4, form=False, images=2)
    new = ("study", "new", manifest, "--design", "unaided")
    line = refusal(*new, "--output", tmp_path / "study")
    assert "several of 4 patients (P0, P1, P2, P3)" in line
    assert "--which-image first or random, or name the images in --case-list" in line
    call(*new, "--which-image", "first", "--output", tmp_path / "first")
    images = [row["image"] for row in read_csv(tmp_path / "first-private" / TRUTH)]
    assert sorted(images) == [f"doe{n}_0.png" for n in range(4)]
    call(*new, "--which-image", "random", "--output", tmp_path / "drawn")
    drawn = [row["image"] for row in read_csv(tmp_path / "drawn-private" / TRUTH)]
    assert sorted(image[:4] for image in drawn) == [f"doe{n}" for n in range(4)]
    assert sorted(drawn) != sorted(images)
    both = write_csv(
        tmp_path / "cases.csv",
        [{"image": name} for name in ("doe0_1.png", "doe1_0.png", "doe1_1.png")],
    )
    call(*new, "--case-list", both, "--output", tmp_path / "listed")
    listed = [row["image"] for row in read_csv(tmp_path / "listed-private" / TRUTH)]
    assert sorted(listed) == ["doe0_1.png", "doe1_0.png", "doe1_1.png"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            [{"image": "doe0_0.png"}, {"image": "x.png"}],
            "row 3: `image`: expected one of the manifest",
        ),
        ([{"patient_id": "P0"}, {"patient_id": "P0"}], "each patient_id once"),
        ([{"patient_id": "P1"}, {"patient_id": "P2"}], "benign and malignant cases"),
        ([{"case": "P1"}], "expected a column image or patient_id"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(manifest, tmp_path, rows, problem):
    path = write_csv(tmp_path / "cases.csv", rows)
    options = ("--case-list", path, "--output", tmp_path / "study")
    lines = fail("study", "new", manifest, *options)
    assert problem in " ".join(lines)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--cases", 9), "--cases: expected 2 to 8, the patients of the manifest"),
        (("--cases", 4, "--case-list", "a.csv"), "--cases and --case-list: expected o"),
        (("--design", "unaided,model"), "--predictions: expected with an arm that sho"),
        (("--predictions", "p.csv"), "--predictions: expected with an arm that shows"),
        (("--design", "blind"), "--design: expected some of unaided, clinical, model"),
        (("--ask", "colour"), "--ask: expected image_read, or a column of the form"),
        (("--set", "clinical.columns={}"), "expected a form for readers to see"),
    ],
)
def test_choices_that_do_not_fit_are_refused(manifest, tmp_path, options, problem):
    line = refusal("study", "new", manifest, *options, "--output", tmp_path / "study")
    assert problem in line
    assert list(tmp_path.iterdir()) == []


def predictions(path, **changed):
    """The manifest's images with a probability of n/10, 0.95 where malignant."""
    rows = []
    for number in range(8):
        p = 0.95 if number % 4 == 0 else number / 10
        row = {"image": f"doe{number}_0.png", "patient_id": f"P{number}"}
        row |= {"role": "test", "label": int(number % 4 == 0), "probability": p}
        rows.append({**row, "logit": f"{math.log(p / (1 - p)):.6f}"})
        rows[-1] |= changed if number == 3 else {}
    return write_csv(path, rows)


def test_the_arm_with_the_model_has_the_answers_of_its_predictions(manifest, tmp_path):
    options = ("--design", "unaided,clinical,model", "--threshold", 0.42)
    folder = tmp_path / "study"
    call(
        *("study", "new", manifest, *options, "--output", folder),
        *("--predictions", predictions(tmp_path / "p.csv")),
    )
    design = read_study(folder).design
    images = {
        row["case"]: row["image"] for row in read_csv(private_folder(folder) / TRUTH)
    }
    for case in design.cases:
        number = int(images[case.name][3])
        expected = 0.95 if number % 4 == 0 else number / 10
        assert case.model.probability == pytest.approx(expected, abs=1e-4)
        assert case.model.malignant == (expected >= 0.42)
    assert design.threshold == "0.4200"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"role": "train"},
            "a prediction of each case, of role test. Receive",
        ),
        (
            {"label": 1},
            "the labels of the manifest. Received: another of doe3",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_refused(manifest, tmp_path, changed, problem):
    path = predictions(tmp_path / "p.csv", **changed)
    options = ("--design", "unaided,model", "--threshold", 0.42, "--predictions", path)
    line = refusal("study", "new", manifest, *options, "--output", tmp_path / "study")
    assert problem in line


def test_calls_are_given_out_at_the_end_or_it_is_noted(manifest, tmp_path, studies):
    folder = tmp_path / "study"
    new = ("--design", "unaided", "--readers", 2, "--output", folder)
    call("study", "new", manifest, *new)
    assert "Received: 2 that have not" in refusal("study", "export", folder)
    line = refusal("study", "export", folder, "--unfinished")
    assert "expected answers of readers. Received: none yet" in line
    read_all(folder, studies.Hand(), truth_of(folder))
    said = call("study", "status", folder)
    assert "Noted: owner: calls given out before the end (1)" in said
    call("study", "export", folder, "--output", tmp_path / "out")
    assert "calls given out before the end" in (tmp_path / "out/stard.md").read_text()
    rows = read_csv(tmp_path / "out" / "readers.csv")
    assert {row["clinical"] for row in rows} == {"without"}
    private_folder(folder).rename(tmp_path / "elsewhere")
    line = refusal("study", "export", folder, "--output", tmp_path / "out")
    assert "put the two folders of the study together" in line


def test_a_change_after_the_beginning_is_shown(manifest, tmp_path, studies):
    folder = tmp_path / "study"
    new = ("--design", "unaided", "--readers", 1, "--output", folder)
    call("study", "new", manifest, *new)
    read_all(folder, studies.Hand(), truth_of(folder))
    protocol = private_folder(folder) / "protocol.md"
    protocol.write_text(protocol.read_text() + "Another hypothesis\n")
    said = call("study", "status", folder)
    assert "CHANGED: protocol.md is not the one with which reading began" in said
    assert "nothing has changed" not in said
    assert "CHANGED: protocol.md" in call("study", "export", folder)
    stard = (private_folder(folder) / "export" / "stard.md").read_text()
    assert "protocol.md is not the one with which reading began" in stard


@pytest.fixture
def served(manifest, tmp_path, monkeypatch):
    """A study, and a server that ends before it begins."""

    async def run(sittings, options, started, stop):
        started(8600)

    monkeypatch.setattr("usgland.study.study_app.run_study", run)
    monkeypatch.setattr("usgland.serving.server.logs.start_logging", lambda: None)
    folder = tmp_path / "study"
    call("study", "new", manifest, "--design", "unaided", "--output", folder)
    return folder


def test_what_the_network_could_read_is_told_before_it_is_served(served):
    beyond = ("--host", "0.0.0.0", "--port", 0)
    said = call("study", "serve", served, *beyond).splitlines()
    assert said[0].startswith("Warning: --host 0.0.0.0 without --tls-cert: others")
    assert said[1] == "Page  http://0.0.0.0:8600/"
    assert "Warning" not in call("study", "serve", served)
    line = refusal("study", "serve", served, "--tls-cert", "cert.pem")
    assert "--tls-cert and --tls-key: expected both. Received: one" in line


def test_a_study_that_lost_an_image_is_not_served(served):
    next((served / "images").iterdir()).unlink()
    line = refusal("study", "serve", served)
    assert re.search(r"Received: none or others for c00\d. Take the folder from", line)
    assert "CHANGED: Images are lost or others: c00" in call("study", "status", served)


def test_a_study_that_was_changed_is_served_with_a_warning(served, studies):
    read_all(served, studies.Hand(), truth_of(served))
    design = served / "design.json"
    design.write_text(design.read_text().replace('"way_back": false', '"way_back": 1'))
    said = call("study", "serve", served)
    assert "Warning: design.json is not the one with which reading began" in said
    assert "; the export will say so" in said


def test_a_design_that_no_longer_fits_the_answers_is_refused(served, studies):
    read_all(served, studies.Hand(), truth_of(served))
    design = served / "design.json"
    content = json.loads(design.read_text())
    content["sessions"]["R2"][0]["cases"].reverse()
    design.write_text(json.dumps(content))
    expected = "expected the design that the answers were given in. Received: another"
    for command in ("serve", "export"):
        assert expected in refusal("study", command, served)
    content["sessions"]["R9"] = content["sessions"].pop("R2")
    design.write_text(json.dumps(content))
    assert "of R2 tells; take the file from a backup" in refusal(
        "study", "export", served
    )
    assert "CHANGED: design.json" in call("study", "status", served)


def test_a_table_of_cases_that_lost_a_case_is_refused(served, studies):
    read_all(served, studies.Hand(), truth_of(served))
    table = private_folder(served) / TRUTH
    text = table.read_text()
    for changed in (text.replace("case,", "name,"), text.replace("c002", "\xe9")):
        table.write_bytes(changed.encode("latin-1"))
        line = refusal("study", "export", served)
        assert re.search("expected the columns case, .*none of c00.*backup", line)
