import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usgland.config import DataSettings, load_config
from usgland.data import images, lesion_marks, remembered_checks
from usgland.data.columns import excluded_rows
from usgland.data.lesion_marks import count_marked, lesion_ellipses
from usgland.data.manifest import load_manifest
from usgland.errors import UserError
from usgland.explanation.letterbox import letterbox_of, to_square

WIDTH, HEIGHT = 60, 40
BOX = "box_x,box_y,box_width,box_height"


@pytest.fixture
def folder(tmp_path):
    """A folder with a.png and b.png, of 60x40 pixels."""
    rng = np.random.default_rng(0)
    for name in "ab":
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def ellipse(x, y, width, height, level=255):
    """The mask of an ellipse in a box."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    far = ((columns - x) * 2 / width - 1) ** 2 + ((rows - y) * 2 / height - 1) ** 2
    return (far <= 1).astype("uint8") * level


def load(folder, columns, cells_a, cells_b=None, **options):
    """A manifest of two images with further columns; b has no mark by default."""
    empty = "," * columns.count(",")
    path = folder / "manifest.csv"
    path.write_text(
        f"image,patient_id,label,{columns}\n"
        f"a.png,P1,benign,{cells_a}\n"
        f"b.png,P2,malignant,{empty if cells_b is None else cells_b}\n"
    )
    return load_manifest(path, DataSettings(), **options)


def lesion(rows):
    columns = ["lesion_x", "lesion_y", "lesion_width", "lesion_height"]
    return rows[columns].iloc[0].to_list()


def test_a_box_is_read_and_the_image_without_one_has_none(folder):
    rows = load(folder, BOX, "10,8,20,12.5")
    assert lesion(rows) == [10, 8, 20, 12.5]
    assert rows[["image_width", "image_height"]].to_numpy().tolist() == [[60, 40]] * 2
    assert rows.iloc[1][["lesion_x", "lesion_height"]].isna().all()
    assert count_marked(rows) == 1


def test_decimal_commas_and_words_for_missing_are_read(folder):
    (folder / "manifest.csv").write_text(
        "image;patient_id;label;box_x;box_y;box_width;box_height\n"
        "a.png;P1;benign;10,5;8;20,25;12\nb.png;P2;malignant;NA;;?;n/a\n"
    )
    rows = load_manifest(folder / "manifest.csv", DataSettings())
    assert lesion(rows) == [10.5, 8, 20.25, 12] and count_marked(rows) == 1


def test_a_box_is_read_from_a_workbook_and_its_columns_can_be_mapped(folder):
    table = pd.DataFrame(
        {
            "image": ["a.png", "b.png"],
            "patient_id": ["P1", "P2"],
            "label": ["benign", "malignant"],
            **{"left": [3.5, None], "top": [2, None], "w": [9, None], "h": [8, None]},
        }
    )
    table.to_excel(folder / "manifest.xlsx", index=False)
    columns = dict(
        zip(BOX.split(","), ("left", "top", "w", "h"), strict=True), label="label"
    )
    rows = load_manifest(folder / "manifest.xlsx", DataSettings(columns=columns))
    assert lesion(rows) == [3.5, 2, 9, 8]


@pytest.mark.parametrize("level", [1, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "I;16"])
def test_a_mask_gives_the_box_around_its_lesion(folder, level, mode):
    pixels = ellipse(12, 6, 30, 20, level)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype("uint16") * 257)
    elif mode == "1":
        image = Image.fromarray(pixels > 0)
    else:
        image = Image.fromarray(pixels).convert(mode)
    image.save(folder / "mask.png")
    rows = load(folder, "mask", "mask.png")
    assert lesion(rows) == [12, 6, 30, 20] and count_marked(rows) == 1


def test_a_box_goes_before_the_mask_of_the_same_lesion(folder):
    Image.fromarray(ellipse(12, 6, 30, 20)).save(folder / "mask.png")
    assert lesion(load(folder, f"mask,{BOX}", "mask.png,11,5,33,22")) == [11, 5, 33, 22]


def test_a_rounded_corner_may_reach_over_the_edge_and_is_cut(folder):
    assert lesion(load(folder, BOX, "-0.6,20,61.2,20.9")) == [0, 20, 60, 20]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("10,8,20,", "expected all four numbers of a box, or none. Received: box_x=10"),
        ("10,8,wide,9", "expected a box as four numbers of pixels. .*box_width=wide"),
        ("10,8,inf,9", "expected a box as four numbers of pixels. .*box_width=inf"),
        ("10,8,20,0", "expected a box wider and higher than 0. .*box_height=0"),
        ("10,8,-20,9", "expected a box wider and higher than 0. .*box_width=-20"),
        ("0.2,0.1,0.5,0.3", "expected a box in pixels .*look like shares of its sides"),
        ("50,8,20,9", ".*inside its image, 60x40 pixels. Received: x 50 to 70, y 8 to"),
        ("100,8,20,9", "expected a box inside its image, 60x40 pixels"),
        ("-9,8,20,9", "expected a box inside its image, 60x40 pixels"),
    ],
)
def test_a_wrong_box_is_named_with_its_row(folder, cells, message):
    with pytest.raises(UserError, match=f"manifest.csv: row 3: {message}"):
        load(folder, BOX, "10,8,20,9", cells)


def test_some_of_the_columns_of_a_box_are_none(folder):
    with pytest.raises(UserError, match="together. Received: none called box_height;"):
        load(folder, "box_x,box_y,box_width", "1,2,3")


def test_what_is_wrong_with_a_box_is_known_before_an_image_is_read(folder):
    with pytest.raises(UserError, match="row 2: expected a box wider"):
        load(folder, BOX, "10,8,20,0", pixels=False)
    assert count_marked(load(folder, BOX, "10,8,20,9", pixels=False)) == 0


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((HEIGHT, WIDTH)), "Received: an empty mask; empty its cell"),
        (np.full((HEIGHT, WIDTH), 90), "above 127.*Received: an empty mask"),
        (np.full((30, 50), 255), "size of its image, 60x40 pixels. Received: 50x30"),
    ],
)
def test_a_mask_that_marks_nothing_there_is_named(folder, pixels, message):
    Image.fromarray(pixels.astype("uint8")).save(folder / "mask.png")
    with pytest.raises(UserError, match=f"row 2: mask mask.png: expected .*{message}"):
        load(folder, "mask", "mask.png")


@pytest.mark.parametrize("pixels", [True, False])
def test_a_mask_that_is_not_there_is_named(folder, pixels):
    with pytest.raises(
        UserError, match="mask none.png: expected an image file. .*no f"
    ):
        load(folder, "mask", "none.png", pixels=pixels)


def test_a_mask_that_is_no_image_is_named(folder):
    (folder / "mask.png").write_text("no image")
    with pytest.raises(
        UserError, match="expected an image file. .*a file that is none"
    ):
        load(folder, "mask", "mask.png")
    (folder / "mask.png").write_bytes((folder / "a.png").read_bytes()[:200])
    with pytest.raises(
        UserError, match="expected an image file. .*a file that is none"
    ):
        load(folder, "mask", "mask.png")


def test_a_box_and_a_mask_of_two_places_are_named(folder):
    Image.fromarray(ellipse(2, 2, 10, 10)).save(folder / "mask.png")
    message = "mask and a box of the same lesion.*x 2 to 12.*x 40 to 50.*do not meet"
    with pytest.raises(UserError, match=message):
        load(folder, f"mask,{BOX}", "mask.png,40,20,10,10")


def test_all_problems_are_told_at_once(folder):
    with pytest.raises(UserError, match="2 problems:\n  row 2: .*\n  row 3: "):
        load(folder, f"mask,{BOX}", ",10,8,20,0", "none.png,,,,")


@pytest.mark.parametrize(("width", "height"), [(60, 40), (33, 90), (50, 50)])
def test_the_ellipse_covers_what_a_letterboxed_mask_of_it_covers(width, height):
    box = np.array([0.2 * width, 0.3 * height, 0.5 * width, 0.4 * height]).round()
    columns = ["lesion_x", "lesion_y", "lesion_width", "lesion_height"]
    rows = pd.DataFrame([[*box, width, height]] * 2)
    rows.columns = [*columns, "image_width", "image_height"]
    rows.loc[1, columns] = np.nan
    given, none = lesion_ellipses(rows)
    assert np.isnan(none).all() and given.dtype == np.float32
    size = 320
    y, x = np.mgrid[:height, :width] + 0.5
    mask = ((x - box[0]) * 2 / box[2] - 1) ** 2 + ((y - box[1]) * 2 / box[3] - 1) ** 2
    square = to_square(mask <= 1, letterbox_of(height, width, size))
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside = ((y - given[0]) / given[2]) ** 2 + ((x - given[1]) / given[3]) ** 2 <= 1
    dice = 2 * (inside & square).sum() / (inside.sum() + square.sum())
    assert dice > 0.96  # The mask has whole pixels of the small image.


def test_rows_without_marks_have_no_ellipse():
    rows = pd.DataFrame({"image": ["a.png"]})
    assert np.isnan(lesion_ellipses(rows)).all() and lesion_ellipses(rows).shape == (
        1,
        4,
    )
    assert count_marked(rows) == 0


def test_a_mask_that_has_not_changed_is_not_read_again(folder, monkeypatch):
    monkeypatch.setattr(images, "REMEMBERED", 1)
    monkeypatch.setattr(remembered_checks, "SETTLED_NS", -(10**18))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    Image.fromarray(ellipse(12, 6, 30, 20)).save(folder / "mask.png")
    # One file may be both an image and, of another, the mask.
    first = load(folder, "mask", "mask.png", "a.png")
    read = []
    for module in (images, lesion_marks):
        monkeypatch.setattr(module, "read_image_file", read.append)
    again = load(folder, "mask", "mask.png", "a.png")
    pd.testing.assert_frame_equal(first, again)
    assert not read and lesion(again) == [12, 6, 30, 20]


def load_normal(folder, cells, **options):
    """a.png with a lesion, b.png without one; the cells are those of `mask` of b."""
    path = folder / "manifest.csv"
    path.write_text(
        f"image,patient_id,label,mask\na.png,P1,benign,\nb.png,P2,Normal ,{cells}\n"
    )
    settings = DataSettings(no_lesion_labels=["normal"])
    return load_manifest(path, settings, **options)


def test_images_without_a_lesion_are_kept_where_they_are_asked_for(folder):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), "uint8")).save(folder / "mask.png")
    rows = load_normal(folder, "mask.png", no_lesion=True)
    assert rows["label"].to_list() == [0, -1] and count_marked(rows) == 0
    assert load_normal(folder, "mask.png")["label"].to_list() == [0]
    reasons = excluded_rows(
        folder / "manifest.csv", DataSettings(no_lesion_labels=["normal"])
    )
    assert reasons["reason"].to_list() == ["label Normal (data.no_lesion_labels)"]


def test_a_lesion_marked_where_there_is_none_is_named(folder):
    Image.fromarray(ellipse(12, 6, 30, 20)).save(folder / "mask.png")
    with pytest.raises(UserError, match="row 3: b.png: expected no mark, as its label"):
        load_normal(folder, "mask.png", no_lesion=True)


def test_new_images_without_a_label_may_have_their_lesion_marked(folder):
    path = folder / "manifest.csv"
    path.write_text(
        "image,label,box_x,box_y,box_width,box_height\na.png,,1,2,20,10\nb.png,,,,,\n"
    )
    settings = DataSettings(no_lesion_labels=["normal"])
    rows = load_manifest(path, settings, labelled=False, no_lesion=True)
    assert rows["label"].to_list() == [-1, -1]
    assert count_marked(rows) == 1


def test_a_file_with_and_without_a_lesion_is_named(folder):
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    with pytest.raises(
        UserError, match="row 3: .*that of no lesion, and another in row"
    ):
        load_normal(folder, "", no_lesion=True)


def test_a_label_is_a_class_or_says_that_there_is_no_lesion():
    with pytest.raises(UserError, match="no_lesion_labels: 'Benign' is a class of"):
        load_config(None, ["data.no_lesion_labels=[normal, Benign]"])
