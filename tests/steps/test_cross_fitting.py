"""Nobody held back: who trains, who calibrates whom, and what a teacher hands on."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit

import usgland
from tests.commands import UNCHANGED
from usgland.config import dump_config, load_config
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import fit_calibration, read_calibration
from usgland.evaluation.cases.predictions import OUT_OF_FOLD, read_predictions
from usgland.evaluation.cases.thresholds import choose_points, read_thresholds
from usgland.files import read_json
from usgland.models.classifier import build_classifier
from usgland.steps import training
from usgland.steps.cross_fitting import taught_rows
from usgland.steps.distillation import distill
from usgland.steps.evaluation import evaluate
from usgland.steps.export import compared_rows
from usgland.steps.prediction import predict
from usgland.table_files import read_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]
SETTINGS = (
    "preprocessing.image_size=64",
    "preprocessing.picture_size=64",
    "model.weights=null",
    "train.batch_size=4",
    "train.epochs=1",
    "train.warmup_epochs=0",
    *UNCHANGED,
    "split.val_fraction=0",
    "split.test_fraction=0.25",
    "split.folds=2",
    "evaluation.bootstrap_resamples=20",
)


def settings_of(manifest, *more):
    return load_config(None, [*SETTINGS, f"data.manifest={manifest}", *more])


def shown_by(step, *arguments, **options):
    shown = io.StringIO()
    step(*arguments, Console(file=shown, width=300), **options)
    return shown.getvalue()


@pytest.fixture(scope="module")
def fitted(tiny_manifest, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "fit"
    return run, shown_by(training.fit, run, settings_of(tiny_manifest))


@pytest.fixture(scope="module")
def validated(tiny_manifest, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "cv"
    shown_by(training.cross_validate, run, settings_of(tiny_manifest))
    return run


@pytest.fixture(scope="module")
def distilled(validated):
    run = validated.with_name("distilled")
    return run, shown_by(distill, validated, run)


def roles(run):
    return read_table(run / "splits.csv").set_index("image")["role"]


def test_all_that_is_not_test_trains_and_the_last_epoch_is_kept(fitted):
    run, shown = fitted
    assert set(roles(run)) == {"train", "test"}
    history = pd.read_csv(run / "history.csv")
    assert not [name for name in history if name.startswith("val_")]
    assert read_json(run / "environment.json")["kept_epoch"] == 0
    assert "Kept epoch 1, the last" in shown
    # Three rounds on two thirds each, and the network itself.
    assert "3 networks, each trained without some" in shown
    assert "together 3.0 times as long as one" in shown
    assert not (run / "tensorboard" / "validation").exists()


def test_a_run_is_calibrated_on_each_training_image_by_a_network_that_never_saw_it(
    fitted,
):
    run, shown = fitted
    learning = set(roles(run)[roles(run) == "train"].index)
    tables = []
    for number in range(3):
        part = run / "rounds" / str(number)
        said, own = read_predictions(part / "predictions.csv"), roles(part)
        assert set(own[said["image"]]) == {"test"}
        assert set(own[own == "train"].index) == learning - set(said["image"])
        tables.append(said)
    pooled = pd.concat(tables)
    assert sorted(pooled["image"]) == sorted(learning)
    calibration = read_calibration(run / "calibration.json")
    again = fit_calibration(pooled.assign(role=OUT_OF_FOLD), "temperature")
    assert calibration["slope"] == again["slope"]
    assert calibration["role"] == OUT_OF_FOLD
    assert calibration["n_images"] == len(learning)
    assert f"on {len(learning)} out-of-fold images" in shown
    assert read_thresholds(run / "threshold.json").chosen_on == "out-of-fold images"
    assert (run / "tables" / "metrics_out_of_fold.md").exists()


def test_the_test_part_is_scored_as_ever(fitted):
    run, _ = fitted
    shown_by(evaluate, run)
    metrics = read_json(run / "metrics.json")
    assert metrics["role"] == "test"
    assert metrics["chosen_on"] == "out-of-fold images"
    assert (run / "figures" / "history.png").exists()
    table = (run / "tables" / "metrics.md").read_text()
    assert "on out-of-fold images" in table.replace("\n", " ")


def test_each_fold_is_calibrated_by_what_the_others_say_of_their_own(validated):
    said = {
        fold: read_predictions(validated / "folds" / fold / "predictions.csv")
        for fold in "01"
    }
    for fold, other in ("01", "10"):
        part = validated / "folds" / fold
        assert set(roles(part)) == {"train", "test"}
        rows = said[other][said[other]["role"] == "test"]
        rows = rows.assign(role=OUT_OF_FOLD, logit=rows["model_logit"].astype(float))
        naive = fit_calibration(rows, "temperature")
        calibration = read_calibration(part / "calibration.json")
        assert calibration["slope"] == pytest.approx(naive["slope"], rel=1e-6)
        assert calibration["n_images"] == len(rows)
        logits = naive["slope"] * rows["logit"] + naive["intercept"]
        points = choose_points(
            rows.assign(logit=logits, probability=expit(logits)),
            load_config(None).evaluation,
        )
        chosen = read_thresholds(part / "threshold.json")
        assert chosen.value == pytest.approx(points.value, rel=1e-6)


def test_a_student_hears_of_each_patient_the_fold_that_never_saw_them(
    validated, distilled
):
    run, _ = distilled
    splits = read_table(run / "splits.csv").set_index("image")
    assert set(splits["role"]) == {"train"}
    heard = splits["teacher_logit"].astype(float)
    for fold in "01":
        own = read_predictions(validated / "folds" / fold / "predictions.csv")
        own = own.set_index("image")
        tested = own.index[own["role"] == "test"]
        said = own["model_logit"].astype(float)
        np.testing.assert_array_equal(heard[tested], said[tested])


def test_no_student_who_calibrates_nor_its_teacher_knows_whom_it_is_asked_about(
    validated, distilled
):
    run, shown = distilled
    for fold in "01":
        part = run / "rounds" / fold
        table = read_table(part / "splits.csv").set_index("image")
        teacher = read_predictions(validated / "folds" / fold / "predictions.csv")
        teacher = teacher.set_index("image")
        learned = table.index[table["role"] == "train"]
        asked = set(read_predictions(part / "predictions.csv")["image"])
        assert set(teacher.index[teacher["role"] == "test"]) == asked
        assert set(learned) == set(teacher.index[teacher["role"] == "train"])
        np.testing.assert_array_equal(
            table.loc[learned, "teacher_logit"].astype(float),
            teacher.loc[learned, "model_logit"].astype(float),
        )
    assert "together 2.0 times as long as one" in shown


def test_a_distilled_run_is_one_network_that_knows_all_patients(
    validated, distilled, tiny_manifest, tmp_path
):
    run, _ = distilled
    message = r"images that .*distilled has not learned from. Received 20 that are in"
    with pytest.raises(UserError, match=message):
        evaluate(run, Console(quiet=True), manifest=tiny_manifest)
    written = predict(
        run, Console(quiet=True), manifest=tiny_manifest, output=tmp_path / "p.csv"
    )
    assert set(read_predictions(written[0])["role"]) == {"train"}


def test_an_interrupted_student_ends_as_an_uninterrupted_one(
    validated, distilled, monkeypatch
):
    run, _ = distilled
    again = run.with_name("again")
    train_rounds = training.train_rounds

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_rounds", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shown_by(distill, validated, again)
    # As if it was killed while the second round spoke.
    shutil.copytree(run / "rounds", again / "rounds", dirs_exist_ok=True)
    (again / "rounds" / "1" / "predictions.csv").unlink()
    monkeypatch.setattr(training, "train_rounds", train_rounds)
    shown_by(training.fit, again, None)
    for name in ("history.csv", "calibration.json", "threshold.json"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


def test_a_run_of_one_network_teaches_nobody(fitted):
    run, _ = fitted
    with pytest.raises(UserError, match="Expected a cross-validation, .* of one netw"):
        distill(run, run.with_name("student"), Console(quiet=True))
    assert not run.with_name("student").exists()


def test_an_unfinished_cross_validation_teaches_nobody(validated, tmp_path):
    shutil.copytree(validated, tmp_path / "cv")
    (tmp_path / "cv" / "predictions.csv").unlink()
    with pytest.raises(UserError, match="a run directory with predictions.csv"):
        distill(tmp_path / "cv", tmp_path / "student", Console(quiet=True))


def test_a_fold_that_tested_others_teaches_nobody(validated, tmp_path):
    shutil.copytree(validated, tmp_path / "cv")
    path = tmp_path / "cv" / "folds" / "0" / "predictions.csv"
    table = pd.read_csv(path, dtype=str)
    dropped = table.index[table["role"] == "test"][0]
    table.drop(index=dropped).to_csv(path, index=False)
    with pytest.raises(UserError, match="Expected a fold that was tested on its pat"):
        distill(tmp_path / "cv", tmp_path / "student", Console(quiet=True))
    assert not (tmp_path / "student").exists()


def test_weights_that_know_the_training_images_cannot_be_calibrated_on_them(
    fitted, tiny_manifest, tmp_path
):
    run, _ = fitted
    settings = settings_of(tiny_manifest, f"model.weights={run}")
    with pytest.raises(UserError, match="model.weights: .* has not learned from"):
        training.fit(tmp_path / "run", settings, Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_a_fold_cannot_be_finished_alone(validated, tmp_path):
    shutil.copytree(validated / "folds" / "0", tmp_path / "0")
    with pytest.raises(UserError, match="a run with the folder rounds.* a part of"):
        training.fit(tmp_path / "0", None, Console(quiet=True))


def test_folds_whose_network_no_student_can_be_teach_nobody(validated, tmp_path):
    shutil.copytree(validated, tmp_path / "cv")
    settings = load_config(
        validated / "config.yaml", ["model.inputs=both", "model.fusion=offset"]
    )
    (tmp_path / "cv" / "config.yaml").write_text(dump_config(settings))
    with pytest.raises(UserError, match="a logistic regression and a weight: nothing"):
        distill(tmp_path / "cv", tmp_path / "student", Console(quiet=True))


def test_an_image_on_which_no_teacher_speaks_is_named(distilled, tmp_path):
    table = read_table(distilled[0] / "splits.csv").drop(columns="csv_row")
    table.loc[3, "teacher_logit"] = ""
    table.to_csv(tmp_path / "splits.csv", index=False)
    rows = table.assign(label=table["label"].astype(int))
    with pytest.raises(ValueError, match=f"every image .* on {table['image'][3]}"):
        taught_rows(rows, tmp_path)


def test_a_cross_validation_is_loaded_as_all_its_folds(validated, tiny_manifest):
    run = usgland.load_run(validated)
    assert run.path == validated / "together"
    table = pd.read_csv(tiny_manifest)
    paths = [tiny_manifest.parent / name for name in table["image"]]
    said = run.predict(paths)
    logits = [
        usgland.load_run(validated / "folds" / fold)
        .predict(paths)["logit"]
        .div(read_calibration(validated / "folds" / fold / "calibration.json")["slope"])
        for fold in "01"
    ]
    expected = read_calibration(run.path / "calibration.json")["slope"]
    expected *= np.mean(logits, axis=0)
    np.testing.assert_allclose(said["logit"], expected, rtol=1e-4, atol=1e-5)
    assert set(said["role"]) == {"train"}


def test_a_loaded_run_says_where_it_found_the_lesion(
    validated, tiny_manifest, tmp_path
):
    part = shutil.copytree(validated / "folds" / "0", tmp_path / "run")
    settings = load_config(part / "config.yaml", ["model.lesion_head=true"])
    (part / "config.yaml").write_text(dump_config(settings))
    build_classifier(settings).save(part / "model.keras")
    path = tiny_manifest.parent / "patient00_0.png"
    said = usgland.load_run(part).predict([path])
    names = ["x", "y", "width", "height"]
    assert list(said)[-5:] == [f"lesion_box_{n}" for n in names] + ["lesion_found"]
    written = predict(
        part, Console(quiet=True), manifest=tiny_manifest, output=tmp_path / "p.csv"
    )
    told = read_predictions(written[0]).set_index("image").loc["patient00_0.png"]
    assert said["lesion_found"][0] == pytest.approx(float(told["lesion_found"]))


def test_a_file_is_compared_with_its_run_on_training_images_if_there_are_no_others():
    rows = pd.DataFrame({"role": ["train", "test", "train"]})
    assert list(compared_rows(rows).index) == [0, 2]
    assert list(compared_rows(rows.replace("test", "val")).index) == [1]
