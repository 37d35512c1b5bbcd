import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import confusion_matrix, roc_auc_score

from usgland.errors import UserError
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measures import metrics_of
from usgland.evaluation.statistics.scores import MEASURES
from usgland.steps import evaluation
from usgland.steps.evaluation import evaluate_run

OUTPUTS = [
    "figures/calibration.png",
    "figures/confusion.png",
    "figures/decision_curve.png",
    "figures/history.png",
    "figures/roc.png",
    "metrics.json",
    "tables/calibration.csv",
    "tables/calibration.md",
    "tables/decision_curve.csv",
    "tables/decision_curve.md",
    "tables/metrics.csv",
    "tables/metrics.md",
]
INPUTS = [
    "config.yaml",
    "environment.json",
    "history.csv",
    "predictions.csv",
    "threshold.json",
]


def files_in(run):
    return sorted(str(path.relative_to(run)) for path in run.rglob("*.*"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_is_scored_per_image_and_per_patient(run, predictions):
    metrics, written = evaluate_run(run)
    test = predictions[predictions["role"] == "test"]
    image, patient = metrics["image"], metrics["patient"]
    assert (image["n"], image["n_patients"]) == (len(test), 20)
    assert (patient["n"], patient["n_patients"]) == (20, 20)
    assert image["n_benign"] + image["n_malignant"] == len(test)
    expected = confusion_matrix(test["label"], test["probability"] >= 0.45)
    assert image["confusion"] == expected.tolist()
    means = test.groupby("patient_id").agg({"label": "max", "logit": "mean"})
    expected = confusion_matrix(means["label"], expit(means["logit"]) >= 0.45)
    assert patient["confusion"] == expected.tolist()
    assert patient["figures"]["roc_auc"]["value"] == pytest.approx(
        roc_auc_score(means["label"], means["logit"])
    )
    assert sorted(str(path.relative_to(run)) for path in written) == OUTPUTS
    assert files_in(run) == sorted(OUTPUTS + INPUTS)
    # NaN, such as a band of net benefit where nobody is called, is null there.
    expected = json.loads(json.dumps(metrics).replace("NaN", "null"))
    assert json.loads((run / "metrics.json").read_text()) == expected


def test_every_figure_has_its_interval_and_method(run):
    metrics, _ = evaluate_run(run)
    for unit in ("image", "patient"):
        assert tuple(metrics[unit]["figures"]) == MEASURES
        for measure in metrics[unit]["figures"].values():
            assert measure["low"] <= measure["value"] <= measure["high"]
            assert measure["low"] < measure["high"]
            known = ("Wilson", "DeLong", "jackknife over patients", "log (Simel)")
            assert measure["method"].startswith(known)
            assert ("clustered" in measure["method"]) <= (unit == "image")


def test_the_settings_of_a_run_make_its_bootstrap(run):
    text = (run / "config.yaml").read_text()
    text = text.replace("bootstrap: jackknife", "bootstrap: percentile")
    (run / "config.yaml").write_text(text)
    metrics, _ = evaluate_run(run)
    assert metrics["image"]["figures"]["f1"]["method"] == (
        "percentile bootstrap over patients, 40 resamples, seed 3"
    )


def test_time_and_size_come_from_the_environment(run):
    assert evaluate_run(run)[0]["cost"] == {
        "training_seconds": 61.5,
        "seconds_per_image": 0.0061,
        "parameters": 722_497,
        "model_megabytes": pytest.approx(2.912345),
    }
    (run / "environment.json").write_text('{"synthetic": false}')
    assert evaluate_run(run, overwrite=True)[0]["cost"] == {}


def test_the_test_part_is_evaluated_once(run):
    evaluate_run(run)
    before = (run / "metrics.json").read_bytes()
    edit(run / "threshold.json", threshold=0.9)
    with pytest.raises(UserError, match=r"Received: .*metrics.json.* --overwrite to"):
        evaluate_run(run)
    assert (run / "metrics.json").read_bytes() == before
    assert evaluate_run(run, overwrite=True)[0]["threshold"] == 0.9


def test_subgroups_of_a_manifest_may_have_decimal_commas(run, predictions):
    images = predictions["image"]
    ages = pd.Series([20.5 + place % 50 for place in range(len(images))], index=images)
    points = ages.astype(str)
    commas = points.str.replace(".", ",")
    points.iloc[0] = commas.iloc[0] = "n/a"
    signs = pd.Series(["1,2", "1", "2"] * len(images), dtype=str)[: len(images)]
    signs.index = images
    cuts = {"cut": (40.5,)}
    expected, _ = evaluate_run(run, columns={"age": points, "cut": points}, cuts=cuts)
    metrics, _ = evaluate_run(
        run,
        columns={"age": commas, "cut": commas, "signs": signs},
        cuts=cuts,
        overwrite=True,
    )
    by_signs = metrics["subgroups"].pop("signs")["patient"]["groups"]
    assert metrics["subgroups"] == expected["subgroups"]
    names = [part["group"] for part in expected["subgroups"]["cut"]["image"]["groups"]]
    assert names[:2] == ["<40.5", ">=40.5"]
    # Few that differ may be codes, of two signs in a cell: they stay words.
    assert [part["group"] for part in by_signs] == ["1", "1,2", "2"]


def test_other_roles_and_predictions_do_not_take_the_place_of_the_test_part(run):
    _, of_val = evaluate_run(run, role="val")
    other = run / "predictions-clinic.csv"
    other.write_bytes((run / "predictions.csv").read_bytes())
    _, of_other = evaluate_run(run, predictions=other)
    names = {path.name for path in of_val + of_other}
    assert {"metrics_val.json", "roc_val.png", "metrics_val.csv"} < names
    assert {"metrics-clinic.json", "roc-clinic.png", "metrics-clinic.csv"} < names
    evaluate_run(run)


def test_the_mark_of_synthetic_data_follows_model_and_images(run, predictions):
    assert evaluate_run(run)[0]["synthetic"] is True
    edit(run / "environment.json", synthetic=False)
    assert evaluate_run(run, overwrite=True)[0]["synthetic"] is False
    other = run / "predictions-phantoms.csv"
    predictions.assign(synthetic="1").to_csv(other, index=False)
    assert evaluate_run(run, predictions=other)[0]["synthetic"] is True


@pytest.mark.parametrize("content", ["{}", '{"synthetic": "no"}', "[]", "null"])
def test_an_environment_that_does_not_say_whether_data_are_synthetic(run, content):
    (run / "environment.json").write_text(content)
    with pytest.raises(UserError, match="expected `synthetic`: true or false"):
        evaluate_run(run)
    assert files_in(run) == INPUTS


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "threshold.json"])
def test_a_missing_file_of_the_run_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(UserError, match=f"Expected a run directory with {name}"):
        evaluate_run(run)


def test_missing_predictions_are_named(run):
    (run / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"predictions.csv. `usgland predict` writes"):
        evaluate_run(run)


def test_a_role_without_rows_is_named(run):
    with pytest.raises(UserError, match="of the role train. Received: only test, val"):
        evaluate_run(run, role="train")
    assert files_in(run) == INPUTS


def test_what_cannot_be_written_leaves_no_metrics(run):
    (run / "figures").write_text("a file in the way")
    with pytest.raises(UserError, match=r"Cannot write .*roc.png"):
        evaluate_run(run)
    assert not (run / "metrics.json").exists()


def test_cross_validation_uses_the_threshold_of_each_fold(run, predictions, settings):
    rows = predictions[predictions["role"] == "test"].copy()
    rows["fold"] = rows["patient_id"].str.slice(1).astype(int) % 3
    rows.to_csv(run / "predictions.csv", index=False)
    (run / "history.csv").unlink()
    by_fold = {0: 0.2, 1: 0.5, 2: 0.8}
    folds = {str(fold): {"threshold": threshold} for fold, threshold in by_fold.items()}
    (run / "threshold.json").write_text(json.dumps({"folds": folds}))
    metrics, written = evaluate_run(run)
    assert metrics["threshold"] == {"0": 0.2, "1": 0.5, "2": 0.8}
    called = rows["probability"] >= rows["fold"].map(by_fold)
    expected = confusion_matrix(rows["label"], called)
    assert metrics["image"]["confusion"] == expected.tolist()
    assert "history.png" not in {path.name for path in written}
    patient_fold = rows.groupby("patient_id")["fold"].first()
    means = expit(rows.groupby("patient_id")["logit"].mean())
    labels = rows.groupby("patient_id")["label"].max()
    expected = confusion_matrix(labels, means >= patient_fold.map(by_fold))
    assert metrics["patient"]["confusion"] == expected.tolist()


def test_thirty_five_and_thirty_four_of_thirty_six_by_hand(settings):
    logit = np.r_[np.full(34, -2.0), 2, 2, -2, np.full(35, 2.0)]
    rows = pd.DataFrame(
        {
            "image": np.arange(72).astype(str),
            "patient_id": np.arange(72).astype(str),
            "role": "test",
            "label": np.repeat([0, 1], 36),
            "probability": expit(logit),
            "logit": logit,
        }
    )
    metrics = metrics_of(rows, Thresholds.at(0.5), settings, synthetic=False)
    for unit in ("image", "patient"):
        assert metrics[unit]["confusion"] == [[34, 2], [1, 35]]
        measures = metrics[unit]["figures"]
        assert measures["sensitivity"]["value"] == pytest.approx(35 / 36)
        assert measures["specificity"]["value"] == pytest.approx(34 / 36)


def test_figures_of_one_class_are_null_in_the_file_with_a_reason(run, predictions):
    benign = predictions[predictions["label"] == 0]
    benign.to_csv(run / "predictions.csv", index=False)
    evaluate_run(run)
    stored = json.loads((run / "metrics.json").read_text())
    assert stored["image"]["n_malignant"] == 0
    assert stored["image"]["figures"]["roc_auc"] == {
        "value": None,
        "low": None,
        "high": None,
        "method": "none: no malignant case",
        "reason": "no malignant case",
        "undefined_resamples": 0,
    }
    assert stored["image"]["figures"]["specificity"]["value"] > 0


def test_metrics_of_takes_predictions_as_the_model_gives_them(predictions, settings):
    rows = predictions[predictions["role"] == "val"].copy()
    rows["fold"] = ""
    single = rows.astype({"probability": "float32", "logit": "float32"})
    double = metrics_of(rows, Thresholds.at(0.45), settings, synthetic=True)
    metrics = metrics_of(single, Thresholds.at(0.45), settings, synthetic=True)
    assert metrics["image"]["confusion"] == double["image"]["confusion"]
    assert metrics["role"] == "val"


def test_metrics_of_refuses_to_mix_roles(predictions, settings):
    with pytest.raises(ValueError, match=r"one role. Received: \['test', 'val'\]"):
        metrics_of(predictions, Thresholds.at(0.5), settings, synthetic=True)
    with pytest.raises(ValueError, match=r"one role. Received: \[\]"):
        metrics_of(predictions[:0], Thresholds.at(0.5), settings, synthetic=True)


def test_a_full_memory_while_it_predicts_is_one_line(run, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(evaluation, "manifest_rows", lambda *_, **__: None)
    monkeypatch.setattr(evaluation, "predict", fail)
    with pytest.raises(UserError, match="in the memory of the .* Received: it is full"):
        evaluation.evaluate(run, Console(quiet=True), overwrite=True)
