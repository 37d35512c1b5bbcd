import errno
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from usgland.data import phantom
from usgland.data.phantom import cached_phantoms, is_synthetic, write_phantoms
from usgland.errors import UserError
from usgland.table_files import read_table

ROOT = Path(__file__).resolve().parents[2]
# First half of the SHA-256 of size and pixels. Changes only with `phantom.VERSION`.
DIGESTS = {
    "images/P001_1.png": "074a0918756f3800ebd51a1015d3d3da",
    "masks/P001_1.png": "bb3fdeebff373ee374330613ff94d57a",
    "images/P023_1.png": "5f957c289ca6be2576c23141773fbd6d",
    "images/P040_1.png": "c87695608c2e5e323ce8e5336a70383b",
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "phantoms"
    return write_phantoms(folder, patients_per_class=(20, 20), images=44)


@pytest.fixture(scope="module")
def rows(manifest):
    return pd.read_csv(manifest)


def read(manifest, name):
    return cv2.imread(str(manifest.parent / name), cv2.IMREAD_UNCHANGED)


def digest(pixels):
    shape = f"{pixels.shape[0]}x{pixels.shape[1]}:".encode()
    return hashlib.sha256(shape + pixels.tobytes()).hexdigest()[:32]


def pooled_roc_auc(features, label, patient_id):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    probability = cross_val_predict(
        model, features, label, groups=patient_id, cv=folds, method="predict_proba"
    )
    return roc_auc_score(label, probability[:, 1])


def test_a_set_holds_the_patients_and_images_asked_for(rows):
    patients = rows.groupby("patient_id")
    assert len(rows) == rows["image"].nunique() == 44
    assert patients["label"].first().value_counts().to_dict() == {
        "benign": 20,
        "malignant": 20,
    }
    assert patients.size().between(1, 5).all()
    shared = ["label", "histology", "device", *phantom.CLINICAL, "synthetic"]
    assert (patients[shared].nunique() == 1).all(axis=None)
    assert rows.columns.to_list() == ["image", "mask", "patient_id", *shared]
    assert (rows["synthetic"] == 1).all()


def test_images_are_grey_bytes_of_many_sizes_and_masks_are_black_or_white(
    manifest, rows
):
    sizes = set()
    for row in rows.itertuples():
        image, mask = read(manifest, row.image), read(manifest, row.mask)
        assert image.dtype == mask.dtype == np.uint8
        assert image.shape == mask.shape and image.ndim == 2
        assert min(image.shape) >= 300 and max(image.shape) <= 480
        assert np.unique(mask).tolist() == [0, 255]
        assert 0.01 < (mask > 0).mean() < 0.3
        edges = mask[0], mask[-1], mask[:, 0], mask[:, -1]
        assert not any(edge.any() for edge in edges)
        sizes.add(image.shape)
    assert len(sizes) > 10


def test_pixels_are_those_of_every_other_machine(manifest):
    digests = {name: digest(read(manifest, name)) for name in DIGESTS}
    assert digests == DIGESTS


def test_one_seed_gives_one_set_and_another_seed_another(tmp_path):
    write = functools.partial(write_phantoms, patients_per_class=(1, 1), images=3)
    first, again = write(tmp_path / "a", seed=5), write(tmp_path / "b", seed=5)
    other = write(tmp_path / "c", seed=6)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    name = "images/P001_1.png"
    assert np.array_equal(read(first, name), read(again, name))
    assert digest(read(first, name)) != digest(read(other, name))


def test_mean_and_variance_of_the_pixels_do_not_tell_the_classes_apart(manifest, rows):
    images = [read(manifest, name).astype("float64") for name in rows["image"]]
    features = np.array([[image.mean(), image.var()] for image in images])
    label = rows["label"] == "malignant"
    assert pooled_roc_auc(features, label, rows["patient_id"]) < 0.75


@pytest.mark.slow
def test_the_whole_set_needs_structure(tmp_path):
    manifest = cached_phantoms(tmp_path / "usgland")
    rows = pd.read_csv(manifest)
    assert len(rows) == 458 and rows["patient_id"].nunique() == 173
    script = [sys.executable, "scripts/phantom_baseline.py"]
    paths = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **paths}
    printed = subprocess.run(
        script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    roc_auc = {line[7:]: float(line[:5]) for line in printed.splitlines()}
    assert roc_auc["mean and variance of the pixels"] < 0.75
    assert roc_auc["device"] < 0.6
    assert roc_auc["shape of the mask and grey profile over its margin"] > 0.9
    assert roc_auc["the 14 clinical values"] > 0.9


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"new or empty folder.*Received: .*Remove it"):
        write_phantoms(tmp_path, patients_per_class=(1, 1), images=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"Cannot write the phantoms to .*Free the disk"
    ):
        write_phantoms(tmp_path / "file" / "x", patients_per_class=(1, 1), images=2)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(path, pixels):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(phantom, "_write_png", fail)
    with pytest.raises(UserError, match="No space left on device"):
        write_phantoms(tmp_path / "phantoms", patients_per_class=(1, 1), images=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"patients_per_class": (0, 3)}, r"Received: patients_per_class=\(0, 3\)"),
        ({"images": 172}, r"in \[173, 865\].*Received: images=172"),
        ({"images": 866}, "Received: images=866"),
        ({"seed": -1}, "Received: seed=-1"),
        ({"seed": 2**32}, "Received: seed=4294967296"),
    ],
)
def test_numbers_that_cannot_be_met_are_named(tmp_path, numbers, message):
    with pytest.raises(ValueError, match=message):
        write_phantoms(tmp_path / "phantoms", **numbers)


@pytest.fixture
def small_cache(tmp_path, monkeypatch):
    small = functools.partial(write_phantoms, patients_per_class=(1, 1), images=2)
    monkeypatch.setattr(phantom, "write_phantoms", small)
    return tmp_path / "cache"


def test_the_cached_set_is_made_once(small_cache):
    manifest = cached_phantoms(small_cache)
    made = manifest.stat().st_mtime_ns
    assert manifest == small_cache / "phantoms-v1-0" / "manifest.csv"
    assert cached_phantoms(small_cache) == manifest
    assert manifest.stat().st_mtime_ns == made


def test_the_cached_set_lies_in_the_cache_of_the_user(small_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_cache))
    expected = small_cache / "usgland" / "phantoms-v1-0" / "manifest.csv"
    assert cached_phantoms() == expected


def test_two_at_once_share_one_cached_set(small_cache):
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(cached_phantoms, [small_cache, small_cache]))
    assert made[0] == made[1] and made[0].exists()
    assert [path.name for path in small_cache.iterdir()] == ["phantoms-v1-0"]


def test_a_set_another_process_finished_first_is_used(small_cache, monkeypatch):
    write = phantom.write_phantoms

    def write_twice(folder, *, seed):
        write(folder, seed=seed)
        return write(folder, seed=seed)

    monkeypatch.setattr(phantom, "write_phantoms", write_twice)
    assert cached_phantoms(small_cache).exists()


def test_a_cached_set_without_its_manifest_is_an_error(small_cache):
    cached_phantoms(small_cache).unlink()
    with pytest.raises(UserError, match=r"phantoms-v1-0\. Remove it"):
        cached_phantoms(small_cache)


def test_phantoms_are_known_by_the_marker_and_by_the_column(manifest, tmp_path):
    marker = manifest.parent / "SYNTHETIC.txt"
    assert "S Y N T H E T I C" in marker.read_text(encoding="utf-8")
    rows = read_table(manifest)
    plain = rows.drop(columns="synthetic")
    assert is_synthetic(manifest, plain)
    other = tmp_path / "manifest.csv"
    assert not is_synthetic(other, plain)
    assert is_synthetic(other, rows)
    shutil.copy(marker, tmp_path)
    assert is_synthetic(other, plain)


def test_phantoms_are_known_by_the_column_in_every_kind_of_table(manifest, tmp_path):
    rows = pd.read_csv(manifest)
    rows.to_csv(tmp_path / "semicolons.csv", sep=";", index=False)
    rows.to_excel(tmp_path / "workbook.xlsx", index=False)
    rows.astype({"synthetic": float}).to_csv(tmp_path / "floats.csv", index=False)
    rows.astype({"synthetic": bool}).to_excel(tmp_path / "truth.xlsx", index=False)
    for path in tmp_path.iterdir():
        assert is_synthetic(path, read_table(path)), path


def test_phantoms_need_no_tensorflow():
    code = "import sys, usgland.data.phantom; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
