"""Figures and tables of calibration, net benefit and subgroups of a run."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import (
    read_predictions,
    read_role,
)
from usgland.evaluation.performance.assessment_plots import (
    decision_curve_plot,
    reliability_plot,
    subgroup_plot,
)
from usgland.evaluation.performance.decision_curve import net_benefit
from usgland.evaluation.performance.measures import unit_of
from usgland.evaluation.performance.reliability import assess_calibration
from usgland.evaluation.performance.smooth_calibration import (
    brier_parts,
    smooth_calibration,
)
from usgland.steps.evaluation import evaluate_run


@pytest.fixture
def evaluated(run):
    rows = read_predictions(run / "predictions.csv")
    number = rows["patient_id"].str.slice(1).astype(int)
    device = pd.Series(np.where(number % 3, "A", "B"), index=rows["image"])
    device[device.index.str.startswith("p12_")] = ""
    metrics, written = evaluate_run(
        run,
        docx=True,
        prevalences=[0.1],
        columns={"device": device, "age": number.set_axis(rows["image"])},
        cuts={"age": (20.0,)},
    )
    return run, metrics, written


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_part_is_written_as_figure_markdown_and_csv(evaluated):
    run, _, written = evaluated
    names = {str(path.relative_to(run)) for path in written}
    assert {
        "figures/calibration.png",
        "figures/decision_curve.png",
        "figures/decision_curve_prevalence_0.1.png",
        "figures/subgroup_device.png",
        "figures/subgroup_age.png",
        *(
            f"tables/{stem}.{kind}"
            for stem in ("calibration", "decision_curve", "subgroups")
            for kind in ("md", "csv", "docx")
        ),
    } < names
    assert all(path.stat().st_size > 100 for path in written)


def test_what_only_an_earlier_evaluation_was_asked_for_is_removed(evaluated):
    run, _, written = evaluated
    other = run / "figures" / "subgroup_device_val.png"  # of another role
    other.touch()
    _, again = evaluate_run(run, overwrite=True)
    gone = {path.name for path in set(written) - set(again)}
    assert gone == {
        "decision_curve_prevalence_0.1.png",
        "subgroup_device.png",
        "subgroup_age.png",
        *(f"subgroups.{kind}" for kind in ("md", "csv", "docx")),
        *(f"{stem}.docx" for stem in ("calibration", "decision_curve", "metrics")),
    }
    assert not any(path.exists() for path in set(written) - set(again))
    assert all(path.exists() for path in (*again, other))


def test_synthetic_data_are_marked_in_every_table_and_figure(evaluated):
    run, metrics, _ = evaluated
    for stem in ("calibration", "decision_curve", "subgroups"):
        text = (run / "tables" / f"{stem}.md").read_text()
        assert text.startswith("**SYNTHETIC DATA: phantoms, not patients**")
        rows = read_csv(run / "tables" / f"{stem}.csv")
        assert {row["synthetic"] for row in rows} == {"true"}
    curves = metrics["decision_curve"][0]
    for measure in (
        reliability_plot(metrics),
        decision_curve_plot(metrics, curves),
        subgroup_plot(metrics, "device"),
    ):
        assert "SYNTHETIC DATA" in {one.get_text() for one in measure.texts}
    metrics = metrics | {"synthetic": False}
    measure = reliability_plot(metrics)
    assert "SYNTHETIC DATA" not in {one.get_text() for one in measure.texts}


def test_the_metrics_hold_all_parts(evaluated):
    run, metrics, _ = evaluated
    stored = json.loads((run / "metrics.json").read_text())
    assert list(stored["subgroups"]) == ["device", "age"]
    assert set(stored["calibration"]) == {"image", "patient"}
    own, given = stored["decision_curve"]
    assert (own["patient"]["given"], given["patient"]["given"]) == (False, True)
    assert given["patient"]["prevalence"] == 0.1
    groups = stored["subgroups"]["device"]["patient"]["groups"]
    assert [one["group"] for one in groups] == ["A", "B", "missing"]
    assert sum(one["n"] for one in groups) == metrics["patient"]["n"]
    age = stored["subgroups"]["age"]["patient"]["groups"]
    assert [one["group"] for one in age] == ["<20", ">=20"]
    assert [one["n"] for one in age] == [10, 10]


def test_the_csv_of_net_benefit_has_the_numbers_of_the_rows(evaluated):
    run, _, _ = evaluated
    rows = read_predictions(run / "predictions.csv")
    rows = rows[rows["role"] == "test"]
    table = read_csv(run / "tables" / "decision_curve.csv")
    assert len(table) == 2 * 2 * 99
    own = [one for one in table if one["unit"] == "image" and one["given"] == "false"]
    expected = net_benefit(rows["label"], rows["probability"], np.arange(1, 100) / 100)
    np.testing.assert_allclose([float(one["model"]) for one in own], expected)


def test_small_groups_are_marked(evaluated):
    run, _, _ = evaluated
    text = (run / "tables" / "subgroups.md").read_text()
    assert "| missing (!) |" in text
    assert "(!) fewer than 10 benign or malignant patients" in text
    assert "Not adjusted for several tests." in text


def test_the_tables_of_calibration_say_their_method(evaluated):
    run, _, _ = evaluated
    text = (run / "tables" / "calibration.md").read_text()
    assert "| Calibration slope (1 is right) |" in text
    assert "- Interval, calibration slope per image: jackknife over patients, t" in text
    assert "ECE is never below 0" in text
    bins = [
        one
        for one in read_csv(run / "tables" / "calibration.csv")
        if one["figure"].startswith("bin ") and one["unit"] == "image"
    ]
    rows = read_predictions(run / "predictions.csv")
    assert sum(int(one["n"]) for one in bins) == (rows["role"] == "test").sum()


def test_one_class_is_drawn_without_a_warning(run):
    rows = pd.read_csv(run / "predictions.csv")
    rows[rows["label"] == 0].to_csv(run / "predictions.csv", index=False)
    groups = {"device": pd.Series("A", index=rows["image"])}
    metrics, _ = evaluate_run(run, prevalences=[0.3], columns=groups)
    assert np.isnan(metrics["decision_curve"][1]["image"]["model"]).all()


def test_calibration_without_bins_is_in_the_table_the_csv_and_the_figure(evaluated):
    run, metrics, _ = evaluated
    rows = read_role(run / "predictions.csv", "test")
    expected = smooth_calibration(rows["label"], rows["probability"])
    part = metrics["calibration"]["image"]
    assert part["smooth"]["ici"] == pytest.approx(expected.ici)
    assert part["smooth"]["ici"] > 0
    assert part["brier"] == brier_parts(rows["label"], rows["probability"])._asdict()
    text = (run / "tables" / "calibration.md").read_text()
    for words in ("ICI, of a smooth curve", "Brier score / scaled (1 is best)"):
        assert words in text
    figures = {row["figure"] for row in read_csv(run / "tables" / "calibration.csv")}
    assert {"ici", "e50", "e90", "brier", "brier_scaled"} <= figures
    drawn = reliability_plot(metrics).axes[0]
    assert any(len(line.get_xdata()) == 101 for line in drawn.lines)


def test_calls_have_a_brier_score_and_no_smooth_curve():
    rows = pd.DataFrame({"patient_id": list("abcd"), "label": [0, 0, 1, 1]})
    rows = rows.assign(probability=[0.0, 1.0, 1.0, 0.0], logit=[-9.0, 9.0, 9.0, -9.0])
    settings = EvaluationSettings(bootstrap_resamples=5)
    part = assess_calibration(unit_of(rows, settings), settings)
    assert part["smooth"]["curve"] == []
    assert "0 or 1" in part["smooth"]["reason"]
    assert part["brier"]["brier"] == 0.5
