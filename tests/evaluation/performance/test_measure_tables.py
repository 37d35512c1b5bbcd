import copy
import csv
import io
import json
import re

import pytest
from rich.console import Console

from usgland.errors import UserError
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measure_tables import headline, metrics_document
from usgland.evaluation.performance.measures import metrics_of
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.shown.text import format_measure
from usgland.evaluation.statistics.scores import MEASURES
from usgland.files import write_json


@pytest.fixture
def metrics(predictions, settings):
    rows = predictions[predictions["role"] == "test"]
    found = metrics_of(rows, Thresholds.at(0.45), settings, synthetic=True)
    found["cost"] = {
        "training_seconds": 61.5,
        "seconds_per_image": 0.0061,
        "model_megabytes": 2.912345,
        "parameters": 722_497,
    }
    return found


def metrics_markdown(metrics):
    return metrics_document(metrics).markdown()


def metrics_csv(metrics):
    return metrics_document(metrics).csv()


def printed(metrics, colours=False, make=metrics_document):
    text = io.StringIO()
    system = "truecolor" if colours else None
    console = Console(file=text, width=80, force_terminal=colours, color_system=system)
    show(make(metrics), console)
    return text.getvalue()


def test_the_table_fits_80_columns_uncut_and_names_unit_role_n_and_threshold(metrics):
    text = printed(metrics)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    image, patient = metrics["image"], metrics["patient"]
    for words in (
        "Role test: measures with 95% intervals",
        f"per image, n = {image['n']}",
        "per patient, n = 20",
        "10 benign, 10 malignant",
        "Threshold on P(malignant): 0.4500",
        "jackknife over patients, logit, t(9)",
    ):
        assert words in text
    for unit in (image, patient):
        for measure in unit["figures"].values():
            assert format_measure(measure) in text


def test_large_numbers_and_ten_folds_still_fit_80_columns(metrics):
    many = copy.deepcopy(metrics)
    many["threshold"] = {str(fold): 0.123456 for fold in range(10)}
    for unit in ("image", "patient"):
        many[unit] |= {"n": 123456, "n_benign": 12345, "n_malignant": 12345}
    text = printed(many)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "9: 0.1235" in " ".join(text.split())


def test_synthetic_data_are_marked_in_red_and_real_data_are_not(metrics):
    assert re.search(r"\x1b\[1;37;41m.*SYNTHETIC DATA", printed(metrics, colours=True))
    real = metrics | {"synthetic": False}
    for text in (printed(real), metrics_markdown(real)):
        assert "SYNTHETIC" not in text.upper()
    assert metrics_markdown(metrics).startswith("**SYNTHETIC DATA")


def test_time_and_size_are_printed_with_their_units(metrics):
    text = " ".join(printed(metrics).split())
    assert "training took 62 s" in text
    assert "0.0061 s an image, model size 2.91 MB, 722,497 parameters" in text
    assert "Measured on" not in printed(metrics | {"cost": {}})


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_is_undefined_is_said(missing):
    measure = {"value": 0.9721, "low": 0.9, "high": 1.0}
    assert format_measure(measure) == "0.972 (0.900 to 1.000)"
    assert format_measure(measure | {"low": missing}) == "0.972 (no interval)"
    ratio = {"value": 26.0, "low": 3.766, "high": 179.508}
    assert format_measure(ratio) == "26.0 (3.766 to 179.5)"
    assert format_measure(dict.fromkeys(measure, missing)) == "undefined"


def test_left_out_resamples_and_missing_intervals_are_explained(metrics):
    changed = copy.deepcopy(metrics)
    changed["image"]["figures"]["f1"]["undefined_resamples"] = 7
    measures = changed["patient"]["figures"]
    for name in ("roc_auc", "mcc"):
        measures[name] |= {"reason": "for a reason", "low": None}
    measures["ppv"] |= {"reason": "for another", "value": None}
    text = " ".join(printed(changed).split())
    assert "Resamples left out as undefined per image: F1 7." in text
    assert "No interval per patient: MCC, ROC AUC: for a reason." in text
    assert "Undefined per patient: PPV: for another." in text


def test_every_unit_says_which_interval_each_figure_has(metrics):
    text = " ".join(printed(metrics).split())
    jackknife, shares = "jackknife over patients", "Sensitivity, Specificity, PPV, NPV"
    assert (
        f"Intervals per image: Wilson, clustered by patient (Korn and Graubard) for "
        f"{shares}, Accuracy; {jackknife}, atanh, t(9) for Cohen's kappa, MCC; "
        f"{jackknife}, log, t(9) for LR+, LR-; DeLong, clustered by patient "
        f"(Obuchowski), logit, t(9) for ROC AUC; {jackknife}, logit, t(9) for all "
        "others."
    ) in text
    assert (
        f"Intervals per patient: Wilson for {shares}, Accuracy; {jackknife}, atanh, "
        "t(9) for Cohen's kappa, MCC; log (Simel) for LR+, LR-; DeLong, logit, t(9) "
        f"for ROC AUC; {jackknife}, logit, t(9) for all others."
    ) in text


@pytest.fixture
def complete(predictions, settings):
    """Figures of a run with two further points, and at two other prevalences."""
    chosen = {"threshold": 0.45, "method": "youden"}
    chosen["further"] = [
        {"threshold": 0.2, "method": "sensitivity", "target": 0.95},
        {"threshold": 0.6, "method": "cost", "cost_ratio": 5.0, "prevalence": 0.1},
    ]
    settings = settings.model_copy(update={"prevalences": (0.05, 0.3)})
    rows = predictions[predictions["role"] == "test"]
    return metrics_of(rows, Thresholds.of_content(chosen), settings, synthetic=True)


def test_each_point_and_prevalence_has_its_part_of_the_table(complete):
    text = printed(complete)
    assert max(map(len, text.splitlines())) <= 80
    assert "Threshold on P(malignant): 0.4500 (Youden's index, on validation)" in text
    for unit in ("image", "patient"):
        for pair in complete[unit]["prevalences"].values():
            assert format_measure(pair["ppv"]) in text
        for point in complete["points"]:
            for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1"):
                assert format_measure(point[unit]["figures"][name]) in text
    for words in (
        r"At sensitivity 0\.95: +│ +threshold 0\.2000 │ +threshold 0\.2000",
        r"At cost 5 : 1, 10% +│ +threshold 0\.6000",
        r"PPV if 5% malignant",
        r"Intervals at a given prevalence per image: jackknife over patients",
        r"Intervals at a given prevalence per patient: logit \(Mercaldo\)\.",
        "Operating points that were not chosen on validation",
    ):
        assert re.search(words, text)
    markdown = metrics_markdown(complete)
    assert "| At sensitivity 0.95: | threshold 0.2000 | threshold 0.2000 |" in markdown


def test_what_several_points_lack_is_said_once(complete):
    for point in complete["points"]:
        for unit in ("image", "patient"):
            point[unit]["figures"]["npv"] |= {"reason": "for a reason"}
            point[unit]["figures"]["ppv"] |= {"reason": "x", "value": None}
    text = " ".join(printed(complete).split())
    assert "No interval at one of these points or more: NPV: for a reason." in text
    assert "Undefined at one of these points or more: PPV: x." in text


def test_points_of_folds_name_no_single_threshold(complete):
    complete["points"][0]["threshold"] = {"0": 0.2, "1": 0.3}
    assert "one threshold a fold" in printed(complete)
    assert "0:0.2 1:0.3" in metrics_csv(complete)


def test_csv_has_every_point_and_prevalence(complete):
    rows = list(csv.DictReader(io.StringIO(metrics_csv(complete))))
    points = {row["operating_point"] for row in rows}
    assert points == {
        "Youden's index",
        "sensitivity 0.95",
        "cost 5 : 1, 10% malignant",
    }
    of_probabilities = {"roc_auc", "average_precision", "brier"}
    for point in points:
        part = [row for row in rows if row["operating_point"] == point]
        measures = {row["figure"] for row in part if not row["prevalence"]}
        expected = set(MEASURES)
        if point != "Youden's index":
            expected -= of_probabilities
        assert measures == expected
        assert {row["prevalence"] for row in part} == {"", "0.05", "0.3"}
    lacking = [row for row in rows if row["method"].startswith("none: ")]
    assert all(row["reason"] == row["method"][6:] for row in lacking)


def test_the_table_of_a_file_equals_that_in_memory(metrics, tmp_path):
    metrics["image"]["figures"]["f1"]["value"] = float("nan")
    write_json(tmp_path / "metrics.json", metrics)
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert printed(stored) == printed(metrics)


def test_csv_has_every_figure_of_both_units_in_full(metrics):
    changed = copy.deepcopy(metrics)
    changed["image"]["figures"]["f1"] |= {"value": float("nan"), "low": None}
    rows = list(csv.DictReader(io.StringIO(metrics_csv(changed))))
    assert [(row["unit"], row["figure"]) for row in rows] == [
        (unit, name) for unit in ("image", "patient") for name in MEASURES
    ]
    first = rows[0]
    value = metrics["image"]["figures"]["sensitivity"]["value"]
    assert float(first["value"]) == value
    assert (first["synthetic"], first["threshold"]) == ("true", "0.45")
    undefined = next(row for row in rows if row["figure"] == "f1")
    assert (undefined["value"], undefined["low"]) == ("", "")


def test_markdown_rows_have_one_cell_a_column(metrics):
    lines = [
        line for line in metrics_markdown(metrics).splitlines() if line.startswith("|")
    ]
    assert len(lines) == len(MEASURES) + 4
    assert {line.count("|") for line in lines} == {4}


def test_tables_that_cannot_be_written_are_named(metrics, tmp_path):
    (tmp_path / "tables").write_text("a file in the way")
    with pytest.raises(UserError, match=r"Cannot write .*metrics.md"):
        metrics_document(metrics).write(tmp_path / "tables" / "metrics")


def headlined(metrics):
    return printed(metrics, make=lambda known: headline(known, "tables/metrics.md"))


def test_the_headline_is_four_measures_with_intervals_and_cases_of_both_units(metrics):
    lines = headlined(metrics).splitlines()
    assert len(lines) == 13  # with the mark of phantoms: a glance, not a wall
    assert lines[3].strip() == "Test part: measures with 95% intervals"
    shown = ("roc_auc", "sensitivity", "specificity", "accuracy")
    for line, name in zip(lines[7:11], shown, strict=True):
        for unit in ("patient", "image"):
            assert format_measure(metrics[unit]["figures"][name]) in line
    (right, _), (_, called) = metrics["patient"]["confusion"]
    assert f"{called} of 10" in lines[8] and f"{right} of 10" in lines[9]
    assert f"{right + called} of 20" in lines[10]
    assert lines[-1] == "All measures are in tables/metrics.md; --full shows them here."


def test_the_headline_shows_images_only_where_they_are_not_patients(metrics):
    alike = metrics | {"image": metrics["patient"]}
    assert "per image" in headlined(metrics)
    assert "per image" not in headlined(alike)


def test_the_headline_warns_in_one_paragraph_of_what_must_be_known(metrics):
    assert "Only" not in headlined(metrics)
    worse = copy.deepcopy(metrics)
    worse["forced_leaks"] = ["outcome"]
    worse["patient"] |= {"n_benign": 9}
    worse["patient"]["figures"]["roc_auc"]["value"] = None
    worse["patient"]["figures"]["mcc"]["value"] = None  # no measure of the headline
    text = " ".join(headlined(worse).split())
    assert (
        "forced by clinical.allow_leaks: outcome. These figures are too good. Only 9 "
        "benign and 10 malignant patients: the intervals say how little that tells. "
        "Undefined per patient: ROC AUC."
    ) in text
