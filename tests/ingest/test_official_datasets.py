"""Small archives in the layout in which the authors publish their sets."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image

from usgland.config import DataSettings
from usgland.data.manifest import load_manifest
from usgland.errors import UserError
from usgland.ingest import official_datasets
from usgland.ingest.official_datasets import convert_dataset

SHARED = Path(__file__).parents[2].parent / "shared/data"


def png(seed, *, shape=(32, 40), mode="L", mask=None):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    if mask is not None:
        pixels = np.zeros(shape, np.uint8)
        pixels[mask] = 255
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def unpack(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def manifest(out):
    with (out / "manifest.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def drawn(path):
    return np.argwhere(np.asarray(Image.open(path)) > 0).tolist()


def busi():
    root = "Dataset_BUSI_with_GT"
    return {
        f"{root}/benign/benign (1).png": png(1),
        f"{root}/benign/benign (1)_mask.png": png(0, mask=(0, 0), mode="1"),
        f"{root}/benign/benign (1)_mask_1.png": png(0, mask=(3, 4), mode="RGB"),
        f"{root}/benign/benign (1)_mask_2.png": png(0, mask=(5, 6)),
        f"{root}/benign/benign (2).png": png(2),
        f"{root}/benign/benign (2)_mask.png": png(0, mask=(1, 1)),
        f"{root}/benign/benign (10).png": png(2),  # the same as (2)
        f"{root}/malignant/malignant (1).png": png(4, mode="RGB"),
        f"{root}/malignant/malignant (2).png": png(1),  # benign (1) once more
        f"{root}/malignant/malignant (3).png": png(5),
        f"{root}/normal/normal (1).png": png(3),
        f"{root}/normal/normal (1)_mask.png": png(0, mask=np.s_[:0]),
        f"{root}/readme.txt": b"",
        "__MACOSX/benign/benign (9).png": b"",
    }


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_busi_joins_masks_and_leaves_out_a_picture_with_two_labels(tmp_path, form):
    if form == "zip":
        source = pack(tmp_path / "archive.zip", busi())
    else:
        source = unpack(tmp_path / "busi", busi())
    out = tmp_path / "out"
    lines = convert_dataset("busi", source, out)
    assert lines[0] == "7 pictures of 7 patients, 2 with a lesion outline"
    assert lines[1].startswith("2 are copies")
    rows = manifest(out)
    assert list(rows)[:3] == [f"images/benign_{n:03d}.png" for n in (1, 2, 10)]
    assert rows["images/normal_001.png"]["mask"] == ""
    assert drawn(out / "masks/benign_001.png") == [[0, 0], [3, 4], [5, 6]]
    two = official_datasets.TWO_LABELS
    for name, exclusion in (
        ("benign_001", two),
        ("malignant_002", two),
        ("benign_002", ""),
        ("benign_010", ""),
    ):
        assert rows[f"images/{name}.png"]["exclusion"] == exclusion
    assert rows["images/benign_010.png"]["group_id"] == "benign_002"
    original = np.asarray(Image.open(io.BytesIO(png(2))))
    np.testing.assert_array_equal(Image.open(out / "images/benign_010.png"), original)
    # What `usgland fit` would read:
    settings = DataSettings(manifest=out / "manifest.csv", ignore_labels="normal")
    read = load_manifest(out / "manifest.csv", settings)
    assert sorted(read["label"]) == [0, 0, 1, 1]


def bus_bra():
    data = "ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX\n"
    folds = "ID,Pathology,kFold,valid_1\n"
    files = {}
    for n, (case, view, label, fold) in enumerate(
        [
            (1, "l", "benign", 2),
            (1, "r", "benign", 2),
            (2, "r", "malignant", 1),
            (3, "r", "benign", 1),
        ]
    ):
        name = f"{case:04d}-{view}"
        data += f'bus_{name},{case},cyst,{label},3,GE,24,16,right,"[1,1,2,2]"\n'
        folds += f"bus_{name},{label},{fold},\n"
        files[f"BUSBRA/Images/bus_{name}.png"] = png(n)
        files[f"BUSBRA/Masks/mask_{name}.png"] = png(0, mask=(n, n))
    files["BUSBRA/bus_data.csv"] = data.encode()
    files["BUSBRA/5-fold-cv.csv"] = folds.encode()
    return files


def test_bus_bra_keeps_the_views_of_a_patient_and_the_official_folds(tmp_path):
    out = tmp_path / "out"
    convert_dataset("bus_bra", pack(tmp_path / "BUSBRA.zip", bus_bra()), out)
    rows = manifest(out)
    first, second = rows["images/bus_0001_l.png"], rows["images/bus_0001_r.png"]
    assert first["patient_id"] == second["patient_id"] == "case0001"
    assert [row["fold"] for row in rows.values()] == ["2", "2", "1", "1"]
    assert rows["images/bus_0002_r.png"]["label"] == "malignant"
    assert drawn(out / "masks/bus_0003_r.png") == [[3, 3]]


def breast():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(
        [
            *("CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename"),
            *("Pixel_size", "Age", "Shape", "BIRADS", "Classification"),
        ]
    )
    sheet.append([1, "case001.png", "case001_tumor.png", "case001_other1.png"])
    for column, cell in enumerate((0.0078, 57, "oval", "4a", "benign"), start=5):
        sheet.cell(2, column, cell)
    two = "case002_tumor1.png & case002_tumor2.png"
    sheet.append([2, "case002.png", two, None, 0.01, "not available", "round"])
    sheet.cell(3, 9, "malignant")
    sheet.append([3, "case003.png", None, None, 0.01, 30, "not applicable", 1])
    sheet.cell(4, 9, "normal")
    stream = io.BytesIO()
    book.save(stream)
    root = "BrEaST-Lesions_USG-images_and_masks"
    files = {f"{root}/case{n:03d}.png": png(n, mode="RGBA") for n in (1, 2, 3)}
    files[f"{root}/case001_tumor.png"] = png(0, mask=(2, 2))
    files[f"{root}/case001_other1.png"] = png(0, mask=(9, 9))
    files[f"{root}/case002_tumor1.png"] = png(0, mask=(3, 3))
    files[f"{root}/case002_tumor2.png"] = png(0, mask=(4, 4))
    return files, stream.getvalue()


def test_breast_usg_is_a_zip_file_beside_its_workbook(tmp_path):
    files, workbook = breast()
    source = tmp_path / "TCIA"
    source.mkdir()
    pack(source / "BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip", files)
    (source / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx").write_bytes(workbook)
    out = tmp_path / "out"
    convert_dataset("breast_usg", source, out)
    rows = manifest(out)
    first = rows["images/case001.png"]
    assert (first["spacing_mm"], first["age"], first["birads"]) == ("0.078", "57", "4a")
    assert rows["images/case002.png"]["age"] == ""
    assert drawn(out / "masks/case001.png") == [[2, 2]]
    assert drawn(out / "masks/case002.png") == [[3, 3], [4, 4]]
    assert rows["images/case003.png"]["mask"] == ""
    assert [row["label"] for row in rows.values()] == ["benign", "malignant", "normal"]


def mnist(path, parts):
    arrays = {}
    for part, seeds in parts.items():
        slope = np.arange(32, dtype=np.uint8)
        pictures = [np.tile(slope + seed, (32, 1)) for seed, _ in seeds]
        arrays[f"{part}_images"] = np.stack(pictures)
        arrays[f"{part}_labels"] = np.array([[label] for _, label in seeds], np.uint8)
    np.savez(path, **arrays)
    return path


def test_breastmnist_keeps_its_split_and_its_labels_turn_round(tmp_path):
    (tmp_path / "in").mkdir()
    parts = {
        "train": [(1, 1), (2, 0), (3, 0), (3, 0)],
        "val": [(4, 1), (5, 0)],
        "test": [(2, 1), (6, 0), (3, 0)],
    }
    mnist(tmp_path / "in/breastmnist.npz", parts)
    out = tmp_path / "out"
    convert_dataset("breastmnist", tmp_path / "in", out)
    rows = manifest(out)
    assert rows["images/test_001.png"]["label"] == "malignant"
    assert rows["images/train_000.png"]["label"] == "benign"
    excluded = {name: row["exclusion"] for name, row in rows.items()}
    assert {k: v for k, v in excluded.items() if v} == {
        "images/train_001.png": official_datasets.TWO_LABELS,
        "images/train_002.png": official_datasets.OTHER_PART,
        "images/train_003.png": official_datasets.OTHER_PART,
    }
    settings = DataSettings(manifest=out / "manifest.csv")
    assert len(load_manifest(out / "manifest.csv", settings, parts=("split",))) == 6


def test_the_real_breastmnist_has_one_picture_under_two_labels(tmp_path):
    file = SHARED / "breastmnist/breastmnist.npz"
    if not file.exists():
        pytest.skip("the shared data are not here")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/breastmnist.npz").symlink_to(file)
    with pytest.raises(UserError, match="expected one file breastmnist"):
        convert_dataset("breastmnist", tmp_path / "in", tmp_path / "none")
    (tmp_path / "in/breastmnist.npz").unlink()
    (tmp_path / "in/breastmnist.npz").write_bytes(file.read_bytes())
    convert_dataset("breastmnist", tmp_path / "in", tmp_path / "out")
    rows = manifest(tmp_path / "out")
    malignant = [row["split"] for row in rows.values() if row["label"] == "malignant"]
    # Yang et al., 2023: 546, 78 and 156 pictures; malignant are 147, 21 and 42.
    assert [malignant.count(part) for part in ("train", "val", "test")] == [147, 21, 42]
    left_out = {name for name, row in rows.items() if row["exclusion"]}
    assert left_out == {"images/train_115.png"}


def test_an_archive_that_leads_outside_is_refused(tmp_path):
    for name in ("../../evil.png", "/evil.png", "a\\..\\..\\evil.png"):
        source = pack(tmp_path / "a.zip", {name: b""})
        with pytest.raises(UserError, match="expected names within the archive"):
            convert_dataset("busi", source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(official_datasets, "LARGEST_MEMBER", 1000)
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("benign/benign (1).png", bytes(100_000))
    with pytest.raises(UserError, match="at most 1,000 bytes a file"):
        convert_dataset("busi", source, tmp_path / "out")
    monkeypatch.setattr(official_datasets, "LARGEST_SET", 1000)
    with pytest.raises(UserError, match=r"at most 1,000 bytes, unpacked.*100,000"):
        convert_dataset("busi", source, tmp_path / "out")


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="pictures of busi. Received: none"):
        convert_dataset("busi", tmp_path / "none", tmp_path / "out")
    with pytest.raises(UserError, match="expected 5-fold-cv.csv. Received: no such"):
        convert_dataset("bus_bra", tmp_path / "none", tmp_path / "out")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="expected a ZIP file or a folder"):
        convert_dataset("busi", tmp_path / "a.txt", tmp_path / "out")
    files = bus_bra()
    del files["BUSBRA/Images/bus_0002-r.png"]
    with pytest.raises(UserError, match="expected the picture bus_0002-r.png"):
        convert_dataset("bus_bra", unpack(tmp_path / "b", files), tmp_path / "out")
    files["BUSBRA/5-fold-cv.csv"] = b"ID,kFold\nx,1\n"
    with pytest.raises(UserError, match="expected a fold of each image"):
        convert_dataset("bus_bra", unpack(tmp_path / "b", files), tmp_path / "out")
    files = {"b/benign (1).png": png(1), "b/benign (1)_mask.png": png(1, shape=(4, 4))}
    with pytest.raises(UserError, match="expected a mask of 40 x 32 pixels.* 4 x 4"):
        convert_dataset("busi", unpack(tmp_path / "c", files), tmp_path / "out")
    files = {"b/benign (1).png": b"GIF89a"}
    with pytest.raises(UserError, match=r"sound picture.*benign \(1\).png: a broken"):
        convert_dataset("busi", unpack(tmp_path / "e", files), tmp_path / "out")
    (tmp_path / "d").mkdir()
    np.savez(tmp_path / "d/breastmnist.npz", x=np.zeros(1))
    with pytest.raises(UserError, match="expected the arrays of MedMNIST"):
        convert_dataset("breastmnist", tmp_path / "d", tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path):
    source = pack(tmp_path / "a.zip", {"b/benign (1).png": png(1)})
    data = bytearray(source.read_bytes())
    data[60] ^= 255
    source.write_bytes(data)
    with pytest.raises(UserError, match="expected a sound archive"):
        convert_dataset("busi", source, tmp_path / "out")
