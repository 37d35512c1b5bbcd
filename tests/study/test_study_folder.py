"""The folders of a study: bare images, keys, and what is lost."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from usgland.errors import UserError
from usgland.study import study_folder
from usgland.study.study_folder import (
    check_images,
    new_key,
    plain_image,
    plain_key,
    private_folder,
    read_study,
    write_study,
)


def saved(tmp_path, pixels, kind="png", **more):
    path = tmp_path / f"image.{kind}"
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **more)
    return path


def opened_again(path):
    content = plain_image(path)
    return content, Image.open(io.BytesIO(content))


GREY = np.arange(48 * 40, dtype=np.uint32).reshape(40, 48)


def test_pixels_stay_and_all_that_stands_beside_them_goes(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Doe, John"  # ImageDescription
    pixels = (GREY % 256).astype(np.uint8)
    for kind, more in (
        ("png", {"exif": exif, "icc_profile": b"Doe" * 50, "dpi": (72, 72)}),
        ("jpg", {"exif": exif, "comment": b"Doe", "quality": 100}),
    ):
        path = saved(tmp_path, pixels, kind, **more)
        assert b"Doe" in path.read_bytes()
        content, image = opened_again(path)
        assert b"Doe" not in content
        assert image.info == {}
        assert (np.asarray(image) == np.asarray(Image.open(path))).all()


def test_sixteen_bits_become_the_upper_eight(tmp_path):
    deep = (GREY * 30).astype(np.uint16)
    _, image = opened_again(saved(tmp_path, deep))
    assert (np.asarray(image) == deep // 256).all()


def test_what_is_transparent_becomes_black(tmp_path):
    pixels = np.full((40, 48, 4), 200, np.uint8)
    pixels[:20, :, 3], pixels[20:, :, 3] = 0, 255
    _, image = opened_again(saved(tmp_path, pixels))
    assert image.mode == "RGB"
    assert (np.asarray(image)[:20] == 0).all()
    assert (np.asarray(image)[20:] == 200).all()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LA"])
def test_other_kinds_of_pictures_are_shown_too(tmp_path, mode):
    picture = Image.fromarray((GREY % 256).astype(np.uint8)).convert(mode)
    path = saved(tmp_path, picture, "jpg" if mode == "CMYK" else "png")
    _, image = opened_again(path)
    assert image.mode in ("L", "RGB")


def test_keys_are_long_and_begin_with_their_study():
    keys = {new_key("k7mp") for _ in range(50)}
    assert len(keys) == 50
    for key in keys:
        groups = key.split("-")
        assert groups[0] == "k7mp"
        assert len(groups) == 5 and all(len(group) == 4 for group in groups)
        assert set("".join(groups[1:])) <= set(study_folder.SIGNS)
        assert plain_key(key.upper().replace("-", " ")) == key
    assert len(set(study_folder.SIGNS)) == 32


def test_both_folders_are_for_their_owner_alone(tmp_path, studies):
    study, _ = studies.make_study(tmp_path / "study")
    secret = private_folder(study.folder)
    assert secret == tmp_path / "study-private"
    for folder in (study.folder, secret):
        assert folder.stat().st_mode & 0o077 == 0
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_no_study_is_written_over(tmp_path, studies):
    study, _ = studies.make_study(tmp_path / "study")
    with pytest.raises(UserError, match="Expected no earlier study. Received: .*study"):
        studies.make_study(study.folder)
    private_folder(tmp_path / "new").mkdir()
    with pytest.raises(UserError, match="Received: .*new-private, which exists"):
        studies.make_study(tmp_path / "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path, studies):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Cannot write .*choose another folder with"):
        studies.make_study(tmp_path / "study")


def test_nothing_of_a_study_remains_when_writing_fails(tmp_path, studies, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="Cannot write .*No space left on device. Make"):
        studies.make_study(tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_lost_or_others_are_named(tmp_path, studies):
    study, _ = studies.make_study(tmp_path / "study")
    check_images(study)
    (study.folder / "images" / "0.png").unlink()
    (study.folder / "images" / "2.png").write_bytes(b"another")
    with pytest.raises(UserError, match="none or others for c0, c2. Take the folder"):
        check_images(study)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(UserError, match="Expected the folder of a study.*study new"):
        read_study(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON"])
def test_a_design_that_is_not_as_it_was_written_is_refused(tmp_path, text):
    (tmp_path / "design.json").write_text(text)
    with pytest.raises(UserError, match=r"(?i)expected (what|JSON).*"):
        read_study(tmp_path)


def test_an_unwritten_folder_may_stand_in_one_that_is_missing(tmp_path, studies):
    study, _ = studies.make_study(tmp_path / "studies" / "first")
    write = study.folder.parent / "second"
    write_study(write, study.design, {}, {})
    assert read_study(write).design == study.design
