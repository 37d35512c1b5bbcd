"""Preprocessing, held against OpenCV, Pillow, NumPy and tensorflow-addons."""

import io
import json
import re
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.models import preprocessing
from usgland.models.decoding import decode_grey
from usgland.models.preprocessing import (
    Preprocessing,
    pad_to_square,
    shrink_to_fit,
    stretch_grey,
)
from usgland.models.speckle import median_filter

REFERENCE = Path(__file__).parent.parent / "reference" / "tfa_0.23.json"
# (height, width): odd, even, tall, wide, one pixel, larger and smaller than the square.
SIZES = [
    (1, 1),
    (2, 2),
    (1, 7),
    (63, 64),
    (64, 64),
    (65, 64),
    (60, 80),
    (75, 100),
    (77, 101),
    (128, 96),
    (131, 97),
    (200, 3),
    (3, 200),
    (150, 199),
    (333, 250),
]


def noise(*shape, high=256, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype)


def smooth(height, width):
    """A colour picture that survives JPEG, uint8 `(height, width, 3)`."""
    small = Image.fromarray(noise(5, 6, 3))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encode(image, file_format="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def encode_deep(pixels):
    """A 16-bit PNG, of BGR or grey."""
    done, data = cv2.imencode(".png", pixels)
    assert done
    return data.tobytes()


def decode(data):
    return decode_grey(tf.constant(data)).numpy()[..., 0]


def luma(rgb):
    return rgb[..., :3].astype("float64") @ (0.299, 0.587, 0.114)


def preprocess(data, **settings):
    return Preprocessing(**settings)(tf.constant([data])).numpy()[0, ..., 0]


def content(square, height, width):
    """What of a square is no padding."""
    size = len(square)
    target = [
        max((side * size + max(height, width) // 2) // max(height, width), 1)
        for side in (height, width)
    ]
    top, left = ((size - side) // 2 for side in target)
    return square[top : top + target[0], left : left + target[1]]


@pytest.fixture(scope="module")
def graph():
    """A layer traced once for batches of one."""
    signature = [tf.TensorSpec([1], tf.string)]
    layer = Preprocessing(64, speckle_filter="median5")
    return tf.function(layer, input_signature=signature)


# Decoding


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_a_grey_image_keeps_every_pixel(file_format):
    pixels = noise(9, 13)
    np.testing.assert_array_equal(decode(encode(pixels, file_format)), pixels)


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_a_colour_image_becomes_the_grey_of_pillow_and_opencv(file_format):
    pixels = noise(9, 13, 3)
    data = encode(pixels, file_format)
    received = decode(data)
    for expected in (
        np.asarray(Image.fromarray(pixels).convert("L")),
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE),
    ):
        np.testing.assert_allclose(received, expected.astype("float32"), atol=1)
    np.testing.assert_allclose(received, luma(pixels), atol=0.5 + 1e-4)
    assert (received == np.round(received)).all()


def test_transparency_is_flattened_on_black():
    pixels = noise(9, 13, 4)
    pixels[:3, :, 3], pixels[3:6, :, 3] = 0, 255
    black = Image.new("RGBA", (13, 9), (0, 0, 0, 255))
    flat = Image.alpha_composite(black, Image.fromarray(pixels)).convert("L")
    received = decode(encode(pixels))
    np.testing.assert_allclose(received, np.asarray(flat, "float32"), atol=1)
    assert not received[:3].any()


def test_grey_with_transparency_is_flattened_on_black():
    grey, alpha = noise(9, 13, seed=1), noise(9, 13, seed=2)
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    expected = grey * (alpha / 255.0)
    np.testing.assert_allclose(decode(encode(image)), expected, atol=0.5 + 1e-4)


@pytest.mark.parametrize("transparent", [None, 3])
@pytest.mark.parametrize("colours", [2, 16, 200])
def test_a_palette_png_shows_its_colours(colours, transparent):
    image = Image.frombytes("P", (13, 9), noise(9, 13, high=colours).tobytes())
    image.putpalette(noise(colours, 3, seed=1).tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    data = encode(image, **options)
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    coloured = Image.open(io.BytesIO(data)).convert("RGBA")
    flat = Image.alpha_composite(black, coloured).convert("L")
    np.testing.assert_allclose(decode(data), np.asarray(flat, "float32"), atol=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_grey_level_of_a_png_is_black(depth):
    pixels = noise(9, 13, high=5) + np.uint8(100)
    data = encode(pixels, transparency=102)
    if depth == 16:
        image = Image.fromarray(pixels.astype("uint16"))
        data = encode(image, transparency=102)
    received = decode(data)
    assert not received[pixels == 102].any()
    assert (received[pixels != 102] > 99).all()


def test_a_black_and_white_png_is_black_and_white():
    pixels = noise(9, 13, high=2).astype(bool)
    np.testing.assert_array_equal(decode(encode(pixels)), 255.0 * pixels)


def test_a_palette_bmp_shows_its_colours():
    image = Image.frombytes("P", (13, 9), noise(9, 13, high=7).tobytes())
    image.putpalette(noise(7, 3, seed=1).tobytes())
    data = encode(image, "BMP")
    assert data[28] == 8  # bits a pixel
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(decode(data), luma(expected[..., ::-1]), atol=0.5001)


def test_a_32_bit_bmp_is_read_without_its_fourth_channel():
    pixels = noise(9, 13, 4)
    data = encode(pixels, "BMP")
    assert data[28] == 32
    np.testing.assert_allclose(decode(data), luma(pixels), atol=0.5 + 1e-4)


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3), (9, 13, 4)])
@pytest.mark.parametrize("high", [256, 100, 2, 1])
def test_an_8_bit_picture_kept_in_16_bits_is_the_same_picture(shape, high):
    pixels = noise(*shape, high=high)
    done, shallow = cv2.imencode(".png", pixels)
    assert done
    deep = encode_deep(pixels.astype("uint16") * 257)
    np.testing.assert_array_equal(decode(deep), decode(shallow.tobytes()))


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_scan_of_few_bits_in_16_is_not_black(bits, channels):
    full = 2**bits - 1
    pixels = noise(9, 13, channels, high=full + 1, dtype=np.uint16)
    pixels[0, 0], pixels[0, 1] = full, 1
    expected = luma(pixels[..., ::-1]) if channels == 3 else pixels[..., 0]
    received = decode(encode_deep(pixels))
    np.testing.assert_allclose(received, expected * (255 / full), atol=1e-3)
    assert received.max() == pytest.approx(255, abs=1e-3)


@pytest.mark.parametrize("quality", [20, 75, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_grey_jpeg_equals_opencv_to_the_grey_level(quality, progressive):
    grey = smooth(61, 83)[..., 0]
    data = encode(grey, "JPEG", quality=quality, progressive=progressive)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_colour_jpeg_equals_opencv_to_the_grey_level(subsampling, progressive):
    # Pale, so that no colour is clipped: OpenCV takes the luma from before that.
    pale = smooth(61, 83) // 2 + np.uint8(60)
    data = encode(pale, "JPEG", subsampling=subsampling, progressive=progressive)
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    received = decode(data)
    np.testing.assert_allclose(received, luma(colours[..., ::-1]), atol=0.5 + 1e-4)
    direct = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_allclose(received, direct.astype("float32"), atol=1)


def test_exif_rotation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = smooth(61, 83)[..., 0]
    turned = encode(grey, "JPEG", exif=exif)
    np.testing.assert_array_equal(decode(turned), decode(encode(grey, "JPEG")))


WHOLE = {name: encode(smooth(61, 83), name) for name in ("PNG", "JPEG", "BMP")}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="no bytes"),
        pytest.param(b"B", id="one byte"),
        pytest.param(b"hello, I am no image at all", id="text"),
        pytest.param(encode(smooth(61, 83), "GIF"), id="GIF"),
        pytest.param(encode(smooth(61, 83), "WEBP"), id="WebP"),
        pytest.param(encode(smooth(61, 83), "TIFF"), id="TIFF"),
        *(
            pytest.param(data[:length], id=f"{name}, {length} bytes")
            for name, data in WHOLE.items()
            for length in (2, 24, 60, len(data) // 2)
        ),
    ],
)
def test_what_is_no_whole_image_is_an_invalid_argument(data, graph):
    with pytest.raises(tf.errors.InvalidArgumentError):
        Preprocessing(64)(tf.constant([data]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant([data]))


def test_another_kind_of_image_is_named_in_the_error():
    data = encode(smooth(61, 83), "WEBP")
    with pytest.raises(tf.errors.InvalidArgumentError, match="PNG, JPEG or BMP"):
        decode_grey(tf.constant(data))


# Grey levels


@pytest.mark.parametrize("pixels", [1, 2, 3, 17, 101, 4099])
@pytest.mark.parametrize(
    "percentiles", [(0, 100), (1, 99), (0.5, 99.9), (2.5, 50), (33.333, 66.667)]
)
def test_the_stretch_is_between_the_percentiles_of_numpy(pixels, percentiles):
    rng = np.random.default_rng(pixels)
    grey = np.clip(rng.normal(90, 30, pixels), 0, 255).astype(np.uint8)
    low, high = np.percentile(grey, percentiles, method="inverted_cdf").astype(int)
    if low == high:
        low, high = int(grey.min()), int(grey.max())
    span = max(high - low, 1)
    expected = np.clip(np.floor((grey - 1.0 * low) * 255 / span + 0.5), 0, 255)
    received = stretch_grey(tf.constant(grey[:, None, None]), *percentiles)
    assert received.dtype == tf.uint8
    np.testing.assert_array_equal(received.numpy()[:, 0, 0], expected)


def test_a_rare_bright_spot_on_flat_grey_stays_visible():
    grey = np.full((20, 20, 1), 80, np.uint8)
    grey[3, 4] = 90  # fewer than one in a hundred: both percentiles are 80
    received = stretch_grey(tf.constant(grey), 1.0, 99.0).numpy()
    assert received[3, 4, 0] == 255
    assert received.sum() == 255


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_an_image_of_one_grey_level_becomes_black(level):
    data = encode(np.full((30, 40), level, np.uint8))
    assert not preprocess(data, size=64).any()


def test_without_percentiles_the_grey_levels_stay():
    pixels = noise(64, 64, high=100)
    received = preprocess(encode(pixels), size=64, grey_percentiles=None)
    np.testing.assert_array_equal(received, pixels)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)])
def test_the_padding_has_no_part_in_the_percentiles(shape):
    # Three quarters of the square are padding, so black would be the 10th percentile
    # of the square, while of the picture it is far from black.
    grey = noise(*shape, high=100) + np.uint8(100)
    low, high = np.percentile(grey, (10, 90), method="inverted_cdf").astype(int)
    stretched = np.floor((grey - 1.0 * low) * 255 / (high - low) + 0.5)
    settings = {"size": 64, "grey_percentiles": (10.0, 90.0)}
    square = preprocess(encode(grey), **settings)
    received = content(square, *shape)
    np.testing.assert_array_equal(received, np.clip(stretched, 0, 255))
    outside = np.ones((64, 64), bool)
    content(outside, *shape)[:] = False
    assert not square[outside].any()
    # The same picture, padded before it comes, is another picture.
    padded = np.zeros((64, 64), np.uint8)
    content(padded, *shape)[:] = grey
    assert (content(preprocess(encode(padded), **settings), *shape) > 100).all()


def test_grey_levels_do_not_depend_on_gain_and_offset():
    grey = noise(64, 48, high=100)
    received = preprocess(encode(grey), size=64)
    np.testing.assert_array_equal(preprocess(encode(2 * grey + 30), size=64), received)


# The median


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 4), (4, 5), (31, 47), (64, 64)]
)
def test_the_median_equals_opencv_to_the_border(shape, side):
    image = noise(*shape, seed=side)
    received = median_filter(tf.constant(image[..., None]), side).numpy()
    np.testing.assert_array_equal(received[..., 0], cv2.medianBlur(image, side))


@pytest.mark.parametrize("side", [3, 5])
def test_the_median_of_few_levels_equals_opencv(side):
    image = noise(40, 40, high=2)  # what a wrong comparison cannot get right by luck
    received = tf.function(median_filter)(tf.constant(image[..., None]), side)
    np.testing.assert_array_equal(received[..., 0], cv2.medianBlur(image, side))


@pytest.mark.parametrize(
    ("border", "side", "margin"),
    [
        ("SYMMETRIC", 3, 0),  # repeats the border, as ours does
        ("REFLECT", 3, 1),
        ("SYMMETRIC", 5, 1),  # repeats the two outermost lines
        ("REFLECT", 5, 2),
    ],
)
def test_the_median_equals_tensorflow_addons_where_the_borders_agree(
    border, side, margin
):
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))["median_filter"]
    image = tf.constant(reference["image"], tf.float32)[..., None]
    expected = np.array(reference[f"{side}x{side} {border}"], "float32")
    height, width = expected.shape
    inner = np.s_[margin : height - margin, margin : width - margin]
    received = median_filter(image, side).numpy()[..., 0]
    np.testing.assert_array_equal(received[inner], expected[inner])


def test_the_median_names_a_side_that_it_does_not_know():
    with pytest.raises(ValueError, match="must be 3 or 5. Received: side=4"):
        median_filter(tf.zeros((9, 9, 1)), 4)


@pytest.mark.parametrize("side", [3, 5])
def test_the_layer_filters_after_the_resize_and_before_the_stretch(side):
    pixels = noise(64, 64)
    filtered = cv2.medianBlur(pixels, side)
    received = preprocess(encode(pixels), size=64, speckle_filter=f"median{side}")
    np.testing.assert_array_equal(received, preprocess(encode(filtered), size=64))


# The square


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_resize_equals_pillow(height, width):
    grey = noise(height, width).astype("float32")
    received = shrink_to_fit(tf.constant(grey[..., None]), 64).numpy()[..., 0]
    # Python's integers: nearest, halves up, at least 1.
    longer = max(height, width)
    target = [
        max((2 * side * 64 + longer) // (2 * longer), 1) for side in (height, width)
    ]
    assert received.shape == tuple(target)
    resized = Image.fromarray(grey).resize(target[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(received, np.asarray(resized), atol=0.51)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_picture_keeps_its_shape_in_the_middle_of_black(height, width):
    data = encode(np.full((height, width), 200, np.uint8))
    square = preprocess(data, size=64, grey_percentiles=None)
    filled = np.argwhere(square == 200)
    (top, left), (bottom, right) = filled.min(axis=0), filled.max(axis=0)
    tall, wide = bottom - top + 1, right - left + 1
    assert np.count_nonzero(square) == len(filled) == tall * wide
    assert max(tall, wide) == 64
    assert min(tall, wide) >= 1
    scale = 64 / max(height, width)
    assert tall == pytest.approx(max(height * scale, 1), abs=0.5)
    assert wide == pytest.approx(max(width * scale, 1), abs=0.5)
    assert abs(top - (63 - bottom)) <= 1
    assert abs(left - (63 - right)) <= 1


def test_padding_centres_and_copies():
    image = noise(3, 5, 1)
    expected = np.zeros((8, 8, 1), np.uint8)
    expected[2:5, 1:6] = image
    np.testing.assert_array_equal(pad_to_square(tf.constant(image), 8), expected)


@pytest.mark.parametrize("shape", [(3, 20000), (20000, 3), (1, 1)])
def test_absurd_sizes_pass_through_the_graph(shape, graph):
    square = graph(tf.constant([encode(noise(*shape))])).numpy()
    assert square.shape == (1, 64, 64, 1)
    (filled,) = content(square[0, ..., 0], *shape).shape[:1] or (0,)
    assert filled == max(round(shape[0] * 64 / max(shape)), 1)
    outside = square[0, ..., 0].copy()
    content(outside, *shape)[:] = 0
    assert not outside.any()


# The layer


@pytest.fixture(scope="module", params=["none", "median5"])
def layer(request):
    return Preprocessing(64, (1.0, 99.0), request.param)


@pytest.fixture(scope="module")
def pictures():
    """Files of every size, as PNG and JPEG."""
    return [encode(noise(*size, 3), "PNG") for size in SIZES] + [
        encode(smooth(*size), "JPEG") for size in SIZES
    ]


def test_eager_graph_tf_data_and_saved_models_agree_exactly(layer, pictures, tmp_path):
    batch = tf.constant(pictures)
    expected = layer(batch).numpy()
    assert expected.shape == (len(pictures), 64, 64, 1)
    assert expected.dtype == np.uint8
    assert len(np.unique(expected)) == 256

    graph = tf.function(layer)
    np.testing.assert_array_equal(graph(batch), expected)

    dataset = tf.data.Dataset.from_tensor_slices(pictures)
    rows = dataset.map(layer.read, num_parallel_calls=2).as_numpy_iterator()
    np.testing.assert_array_equal(np.stack(list(rows)), expected)

    image_bytes = keras.Input((), dtype="string")
    keras.Model(image_bytes, layer(image_bytes)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch), expected)
    assert loaded.layers[-1].get_config() == layer.get_config()

    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]
    module.read = tf.function(lambda images: layer(images), input_signature=signature)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(served.read(batch), expected)


def test_each_image_of_a_batch_stands_alone(layer, pictures):
    together = layer(tf.constant(pictures[3:6])).numpy()
    for data, square in zip(pictures[3:6], together, strict=True):
        np.testing.assert_array_equal(layer(tf.constant([data]))[0], square)


def test_a_saved_layer_keeps_its_settings():
    layer = Preprocessing(96, (2.0, 97.5), "median3", name="front")
    config = json.loads(json.dumps(layer.get_config()))
    copy = Preprocessing.from_config(config)
    assert (copy.size, copy.grey_percentiles) == (96, (2.0, 97.5))
    assert (copy.speckle_filter, copy.name) == ("median3", "front")
    assert (
        Preprocessing.from_config(
            Preprocessing(grey_percentiles=None).get_config()
        ).grey_percentiles
        is None
    )


def test_mixed_precision_changes_no_pixel(pictures):
    expected = Preprocessing(64)(tf.constant(pictures[:4])).numpy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    received = Preprocessing(64)(tf.constant(pictures[:4])).numpy()
    np.testing.assert_array_equal(received, expected)


def test_an_unknown_speckle_filter_is_named():
    message = r"one of \['none', 'median3', 'median5'\]. Received: .*'median7'"
    with pytest.raises(ValueError, match=message):
        Preprocessing(speckle_filter="median7")


def test_the_fingerprint_covers_all_code_that_makes_a_picture():
    """Every module of `models` that preprocessing imports, directly or not."""
    folder, seen, waiting = (
        Path(preprocessing.__file__).parent,
        set(),
        ["preprocessing"],
    )
    while waiting:
        name = waiting.pop()
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        seen.add(f"{name}.py")
        waiting += set(re.findall(r"usgland\.models\.(\w+) import", text)) - {
            file.removesuffix(".py") for file in seen
        }
    assert seen == set(preprocessing.CODE)


def test_the_fingerprint_tells_settings_apart_but_not_names_and_precisions():
    def settings_of(**settings):
        return Preprocessing(**settings).fingerprint()[1]

    others = ({"size": 64}, {"speckle_filter": "median3"}, {"grey_percentiles": None})
    assert len({settings_of(), *(settings_of(**other) for other in others)}) == 4
    assert settings_of(name="other", dtype="mixed_bfloat16") == settings_of()
    assert settings_of(grey_percentiles=[1.0, 99.0]) == settings_of()


@pytest.mark.parametrize(
    "sides",
    [(1, 1), (1, 300), (301, 1), (7, 5), (63, 64), (65, 64), (64, 64), (600, 800)],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_image_shrinks_to_the_bits_of_tensorflows_resize(sides, dtype):
    grey = np.random.default_rng(0).integers(0, 256, (*sides, 1)).astype(dtype)
    received = shrink_to_fit(tf.constant(grey), 64).numpy()
    resized = tf.image.resize(grey, received.shape[:2], "bilinear", antialias=True)
    expected = np.clip(np.round(resized), 0, 255)
    assert max(received.shape) == 64
    np.testing.assert_array_equal(received, expected)
