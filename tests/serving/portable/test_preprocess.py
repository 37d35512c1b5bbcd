"""`preprocess.py` makes the pixels that the model makes, without TensorFlow."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.data.images import LARGEST_AREA
from usgland.models.preprocessing import Preprocessing
from usgland.serving.portable import preprocess
from usgland.serving.portable.preprocess import read_pixels

SIZE = 48
SETTINGS = {
    "image_size": SIZE,
    "grey_percentiles": [1.0, 99.0],
    "speckle_filter": "none",
}


def model_pixels(content, **settings):
    settings = {**SETTINGS, **settings}
    layer = Preprocessing(
        SIZE, settings["grey_percentiles"], settings["speckle_filter"]
    )
    return layer.read(tf.constant(content)).numpy()[None]


def encode(pixels, kind="png", mode=None, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape, seed=0):
    """Smooth noise: neighbours resemble each other as in an image."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, shape).astype("float64")
    for axis in (0, 1):
        grey = (grey + np.roll(grey, 1, axis) + np.roll(grey, -1, axis)) / 3
    return grey.astype("uint8")


def agree(content, **settings):
    """To the pixel: a value between two grey levels is rounded by its last bit."""
    received = read_pixels(content, {**SETTINGS, **settings})
    assert received.shape == (1, SIZE, SIZE, 1) and received.dtype == np.uint8
    np.testing.assert_array_equal(received, model_pixels(content, **settings))


@pytest.mark.parametrize(
    "shape", [(48, 48), (97, 200), (200, 31), (20, 33), (1, 90), (300, 299)]
)
def test_any_size_is_resized_and_padded_as_the_model_does(shape):
    agree(encode(noise(*shape)))
    agree(encode(noise(*shape)), grey_percentiles=None)


@pytest.mark.parametrize("speckle_filter", ["median3", "median5"])
def test_the_median_filter_is_the_models(speckle_filter):
    agree(encode(noise(77, 120)), speckle_filter=speckle_filter)


@pytest.mark.parametrize("percentiles", [None, [0.0, 100.0], [5.0, 95.5], [50.0, 50.0]])
def test_grey_levels_are_stretched_as_the_model_does(percentiles):
    agree(encode(noise(60, 40, seed=1)), grey_percentiles=percentiles)


def test_an_image_of_one_grey_level_becomes_black():
    assert read_pixels(encode(np.full((9, 9), 77, "uint8")), SETTINGS).max() == 0


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("png", mode) for mode in ("L", "LA", "P", "RGB", "RGBA", "1")),
        *(("jpeg", mode) for mode in ("L", "RGB")),
        *(("bmp", mode) for mode in ("L", "P", "RGB", "RGBA")),
    ],
)
def test_every_kind_of_file_gives_the_grey_levels_of_the_model(kind, mode):
    pixels = noise(64, 50, 4)
    agree(encode(pixels, kind, mode))


def test_a_transparent_palette_entry_is_black():
    image = Image.fromarray(noise(40, 40)).convert("P")
    buffer = io.BytesIO()
    image.save(buffer, "png", transparency=120)
    agree(buffer.getvalue())


def test_a_path_will_do(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encode(noise(50, 50)))
    np.testing.assert_array_equal(
        read_pixels(path, SETTINGS), read_pixels(path.read_bytes(), SETTINGS)
    )


def test_what_is_read_otherwise_than_by_the_model_is_refused():
    deep = encode(np.arange(2500, dtype="uint16").reshape(50, 50))
    with pytest.raises(ValueError, match="Received a PNG file of 16 bits"):
        read_pixels(deep, SETTINGS)
    with pytest.raises(ValueError, match="Expected grey or RGB. Received: CMYK"):
        read_pixels(encode(noise(20, 20, 3), "jpeg", "CMYK"), SETTINGS)
    for content in (b"", b"not an image", encode(noise(9, 9), "gif")):
        with pytest.raises(ValueError, match="Expected a PNG, JPEG or BMP file"):
            read_pixels(content, SETTINGS)
    with pytest.raises(ValueError, match="Expected a PNG, JPEG or BMP file"):
        read_pixels(encode(noise(90, 90))[:-900], SETTINGS)


def test_an_image_that_unpacks_to_too_many_pixels_is_refused():
    assert preprocess.LARGEST_AREA == LARGEST_AREA
    content = encode(np.zeros((4000, 4001), "uint8"))
    assert len(content) < 100_000
    message = "Expected at most 16000000 pixels. Received: 4001 x 4000"
    with pytest.raises(ValueError, match=message):
        read_pixels(content, SETTINGS)


def test_the_file_runs_by_itself_where_neither_tensorflow_nor_usgland_is(tmp_path):
    script = tmp_path / "preprocess.py"
    script.write_bytes(Path(preprocess.__file__).read_bytes())
    sheet = {"preprocessing": SETTINGS}
    (tmp_path / "model.json").write_text(json.dumps(sheet), encoding="utf-8")
    content = encode(noise(70, 50))
    (tmp_path / "image.png").write_bytes(content)
    hidden = "import sys\nfor name in ('tensorflow', 'usgland'):\n"
    hidden += "    sys.modules[name] = None\nimport runpy\n"
    hidden += "sys.argv[0] = 'preprocess.py'\n"
    hidden += "runpy.run_path('preprocess.py', run_name='__main__')\n"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", hidden, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = run("image.png")
    assert (done.returncode, done.stdout) == (0, "Wrote image.pixels.png\n"), done
    written = np.asarray(Image.open(tmp_path / "image.pixels.png"))
    np.testing.assert_array_equal(written, read_pixels(content, SETTINGS)[0, :, :, 0])
    done = run("model.json")
    assert done.returncode == 1
    assert done.stderr.startswith("model.json: Expected a PNG, JPEG or BMP file")
    assert run().stderr.startswith("Expected image files, e.g. python preprocess.py")
