"""One model a site that is tested, on a network of one convolution."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.commands import UNCHANGED_YAML, call, read_csv, refusal, write_csv
from usgland.cli.main import cli
from usgland.config import load_config
from usgland.errors import UserError
from usgland.serving.interface.versions import MODEL_SHEET

pytestmark = [pytest.mark.usefixtures("tiny_network"), pytest.mark.slow]
SETTINGS = f"""
{UNCHANGED_YAML}
preprocessing: {{image_size: 64}}
data: {{no_lesion_labels: [normal]}}
model: {{weights: null, second_view: false}}  # Its place is that of all folds.
train: {{epochs: 1, batch_size: 8, warmup_epochs: 0, ema_momentum: null}}
evaluation: {{bootstrap_resamples: 20}}
"""
SITES = ("North", "South", "East")
PATIENTS = 8  # of each site, half of them benign


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three sites of eight patients, and at each a normal one."""
    folder = tmp_path_factory.mktemp("sites")
    rng = np.random.default_rng(0)
    rows = []
    for site in SITES:
        for number in range(PATIENTS + 1):
            label = (
                "normal" if number == PATIENTS else ("benign", "malignant")[number % 2]
            )
            name = f"{site}{number}.png"
            grey = rng.integers(0, 200, (64, 64), dtype=np.uint8)
            grey[20:40, 20:40] = 20 if label == "benign" else 120
            Image.fromarray(grey).save(folder / name)
            box = dict.fromkeys(("box_x", "box_y", "box_width", "box_height"), "")
            if number == 0:
                box = dict.fromkeys(box, 20)
            patient = f"{site}{number}"
            row = {"image": name, "patient_id": patient, "label": label}
            spelled = site.lower() if number == 5 else site
            rows.append(row | {"site": spelled} | box)
    return write_csv(folder / "manifest.csv", rows)


@pytest.fixture(scope="module")
def options(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.yaml").write_text(SETTINGS)
    config = ("--config", folder / "settings.yaml", "--manifest", manifest)
    return (*config, "--runs-dir", folder / "runs")


@pytest.fixture(scope="module")
def run(options):
    """A run that `usgland cv --by site` made; what it printed is beside."""
    shown = call("cv", "--by", "site", *options, "--name", "sites")
    (options[-1] / "shown.txt").write_text(shown)
    return options[-1] / "sites"


def test_each_site_is_tested_by_a_model_of_the_others(run):
    shown = (run.parent / "shown.txt").read_text()
    assert "The lesion is marked in 3 of 24 images; 3 more show none" in shown
    for number, site in enumerate(sorted(SITES)):
        assert f"Fold {number + 1} of 3: tests site {site}" in shown
        roles = pd.read_csv(run / "folds" / str(number) / "splits.csv")
        here = roles["patient_id"].str.startswith(site)
        normal = roles["label"] < 0
        assert set(roles.loc[here & ~normal, "role"]) == {"test"}
        assert set(roles.loc[here & normal, "role"]) == {"unused"}
        assert set(roles.loc[~here & normal, "role"]) == {"train"}
        assert "test" not in set(roles.loc[~here, "role"])


def test_no_image_without_a_lesion_is_predicted_or_counted(run):
    predictions = read_csv(run / "predictions.csv")
    assert len(predictions) == len(SITES) * PATIENTS
    assert {row["label"] for row in predictions} == {"0", "1"}
    # One of each site is spelled otherwise in the manifest.
    by_site = {
        (row["image"].rstrip("0123456789.png"), row["site"]) for row in predictions
    }
    assert by_site == {(site, site) for site in SITES}


def test_sites_are_shown_and_written_with_what_a_new_one_may_show(run):
    shown = (run.parent / "shown.txt").read_text()
    assert "Trained on the others and tested on each site, per patient" in shown
    assert "New " in shown and "REML, modified Hartung-Knapp" in shown
    rows = read_csv(run / "tables" / "sites.csv")
    assert {row["site"] for row in rows} == {*SITES, "all"}
    [pooled] = [
        row
        for row in rows
        if (row["site"], row["measure"], row["unit"]) == ("all", "roc_auc", "image")
    ]
    assert float(pooled["prediction_low"]) <= float(pooled["low"])
    assert pooled["sites"] == "3"


def test_evaluate_shows_the_sites_and_what_local_patients_buy_at_each(run):
    shown = call("evaluate", run, "--local-calibration", 4)
    assert "tested on each site, per image" in shown
    assert "East: 4 local patients with labels" in shown
    rows = read_csv(run / "tables" / "local_calibration.csv")
    assert {row["site"] for row in rows} == set(SITES)
    assert {row["rest"] for row in rows} == {"4"}
    metrics = pd.read_json(run / "metrics.json", typ="series")
    assert metrics["image"]["n"] == len(SITES) * PATIENTS


def test_more_local_patients_than_there_are_is_one_line(run):
    line = refusal("evaluate", run, "--overwrite", "--local-calibration", 8)
    assert "--local-calibration 8: expected enough patients of East" in line


def test_a_column_that_makes_no_sites_is_one_line_before_anything_is_trained(options):
    line = refusal("cv", "--by", "Hospital", *options)
    assert "split.by: expected the column `Hospital`" in line
    assert not list(options[-1].glob("*hospital*"))


def test_no_fold_has_a_head_where_one_has_no_marks_to_learn_from(
    options, manifest, monkeypatch
):
    rows = read_csv(manifest)
    for row in rows:
        if row["site"] != "South":
            row |= dict.fromkeys(("box_x", "box_y", "box_width", "box_height"), "")
    at_one = write_csv(manifest.with_name("one.csv"), rows)
    settled = []

    def stop(run, *_, **__):
        settled.append(load_config(run / "config.yaml"))
        raise UserError("Stopped")

    monkeypatch.setattr("usgland.steps.training.fit", stop)
    arguments = ("cv", "--by", "site", *options, "--manifest", at_one)
    done = CliRunner().invoke(cli, list(map(str, (*arguments, "--name", "one"))))
    assert done.stderr.strip() == "Error: Stopped"
    assert (
        "The lesion is marked in 1 of 24 images; 3 more show none and train its map "
        "alone: a fold has none to learn from, so no network is taught to find it"
    ) in done.stdout
    [config] = settled
    assert not config.model.lesion_head
    assert config.augmentation.equalize_size == 0


@pytest.fixture(scope="module")
def elsewhere(manifest, tmp_path_factory):
    """The same images mirrored, which no fold knows, without the normal ones."""
    folder = tmp_path_factory.mktemp("clinic")
    rows = [row for row in read_csv(manifest) if row["label"] != "normal"]
    for row in rows:
        with Image.open(manifest.parent / row["image"]) as image:
            mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(folder / row["image"])
        row["patient_id"] += "new"
    return write_csv(folder / "manifest.csv", rows)


def logits(path, column="model_logit"):
    return np.array([float(row[column]) for row in read_csv(path)])


def test_all_folds_together_say_the_mean_of_what_each_says(run, elsewhere, tmp_path):
    shown = call("predict", run, "--manifest", elsewhere)
    together = run / "together"
    assert "on 24 out-of-fold predictions of one network each, whose mean is" in shown
    name = f"predictions-{elsewhere.parent.name}.csv"
    each = []
    for fold in range(len(SITES)):
        output = tmp_path / f"{fold}.csv"
        model = run / "folds" / str(fold)
        call("predict", model, "--manifest", elsewhere, "--output", output)
        each.append(logits(output))
    received = logits(together / name)
    np.testing.assert_allclose(received, np.mean(each, axis=0), atol=1e-5)
    calibration = pd.read_json(together / "calibration.json", typ="series")
    assert calibration["n_images"] == 24 and calibration["method"] == "temperature"
    expected = calibration["slope"] * received
    np.testing.assert_allclose(logits(together / name, "logit"), expected, atol=1e-6)
    # It is made once.
    again = call("predict", run, "--manifest", elsewhere, "--overwrite")
    assert "mean of their logits" in shown and "mean of their logits" not in again


def test_all_folds_together_are_scored_where_none_has_learned(run, elsewhere, manifest):
    call("evaluate", run, "--manifest", elsewhere)
    [metrics] = (run / "together").glob("metrics-*.json")
    assert pd.read_json(metrics, typ="series")["image"]["n"] == 24
    line = refusal("evaluate", run, "--manifest", manifest, "--overwrite")
    assert "together has not learned from. Received 24 that are in" in line


def test_all_folds_together_are_exported_as_one_model(run, tmp_path):
    call("export", run, "--models-dir", tmp_path)
    version = tmp_path / "sites" / "1"
    assert (version / "saved_model.pb").exists()
    sheet = pd.read_json(version / MODEL_SHEET, typ="series")
    assert sheet["trained_on"]["images"] == {"train": 24, "val": 0, "test": 0}
