"""From the bytes of an image file, or its pixels, to grey levels; as graph code."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from usgland.data.images import LARGEST_AREA
from usgland.models.file_guards import assert_no_bomb, assert_scans

# Weights of R, G and B: ITU-R BT.601 luma, by which OpenCV and Pillow convert to grey.
LUMA = (0.299, 0.587, 0.114)
# Bytes of a PNG's header (section 11.2.2): depths below 8, and the colour types.
SHALLOW, BYTE = (b"\1", b"\2", b"\4"), b"\b"
GREY, GREY_ALPHA, COLOUR_ALPHA = b"\0", b"\4", b"\6"
# A graph decodes so many images of a batch at a time: each may take half a gigabyte.
# TensorFlow's own choice, ten, would fill a container of four by one request.
AT_ONCE = 2
HEADER = 26  # bytes: as far as the sizes of a PNG or BMP are looked for


def decode_grey(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes one image file to integer grey levels.

    Its header is read first: a file of a few kilobytes can hold gigabytes of black.

    Args:
        image_bytes: Scalar string: a PNG, JPEG or BMP file of at most `LARGEST_AREA`
            pixels.

    Returns:
        Float32 `(height, width, 1)`, whole numbers in [0, 255]; 16-bit images are
        not rounded (see `_scale_deep`).

    Raises:
        tf.errors.InvalidArgumentError: If it is not such a file.
    """
    return use_grey(image_bytes, lambda grey: tf.cast(grey, tf.float32))


def use_grey(image_bytes: tf.Tensor, use: Callable[[tf.Tensor], Any]) -> Any:
    """Does something with what `decode_grey` gives, and saves it a copy in float32.

    Most files are grey, of 8 bits: their levels are used as uint8, those of all others
    as float32. What is used, and what comes of it, is in both cases the same.
    """
    # A PNG's bit depth is byte 24 of the file, in its first chunk, and its colour type
    # is byte 25. The zeros keep the look at a shorter file inside it.
    header = tf.strings.join([tf.strings.substr(image_bytes, 0, HEADER), "\0" * HEADER])
    depth, colour = (tf.strings.substr(header, place, 1) for place in (24, 25))
    magic = tf.strings.substr(header, 0, 2)
    is_jpeg, is_png = tf.equal(magic, b"\xff\xd8"), tf.equal(magic, b"\x89P")
    shape = tf.case(
        [
            (is_jpeg, lambda: tf.cast(tf.io.extract_jpeg_shape(image_bytes), tf.int64)),
            (is_png, lambda: _png_shape(header)),
            (tf.equal(magic, b"BM"), lambda: _bmp_shape(header)),
        ],
        default=lambda: tf.ones([3], tf.int64),  # Not an image: said below.
        exclusive=False,
    )
    checks = [
        _assert_size(shape[:2]),
        assert_scans(image_bytes, is_jpeg),
        assert_no_bomb(image_bytes, header, is_png),
    ]
    with tf.control_dependencies(checks):
        content = tf.identity(image_bytes)
    is_grey = tf.equal(shape[2], 1)
    # Asked of no other file, whose content would be searched for nothing.
    is_simple_png = tf.cond(
        is_png & is_grey & tf.equal(depth, BYTE),
        lambda: ~_has_transparent(content),
        lambda: tf.constant(False),
    )
    return tf.case(
        [
            (is_jpeg & is_grey, lambda: use(_decode_jpeg(content, 1))),
            (
                is_simple_png,
                lambda: use(tf.io.decode_png(content, channels=1)),
            ),
        ],
        default=lambda: use(_other_grey(content, magic, depth, colour)),
        exclusive=False,
    )


def grey_of_pixels(pixels: tf.Tensor) -> tf.Tensor:
    """Grey levels of a decoded picture.

    Args:
        pixels: Uint8 `(height, width, channels)`: grey, or R, G and B.

    Returns:
        Float32 `(height, width, 1)`, whole numbers in [0, 255]: what `decode_grey`
        gives of a PNG with these pixels.

    Raises:
        tf.errors.InvalidArgumentError: If it is empty, too large or has other channels.
    """
    shape = tf.shape(pixels, tf.int64)
    message = "Expected pixels of 1 or 3 channels. Received:"
    checks = [
        _assert_size(shape[:2]),
        tf.debugging.Assert(tf.reduce_any(shape[2] == [1, 3]), [message, shape[2]]),
    ]
    with tf.control_dependencies(checks):
        image = tf.identity(pixels)
    return tf.cond(
        shape[2] == 1,
        lambda: tf.cast(image[..., :1], tf.float32),
        lambda: tf.round(_luma(image)),
    )


def _assert_size(sides: tf.Tensor) -> tf.Operation:
    """Refuses a height and width, int64 `(2,)`, of no pixels or too many."""
    area = sides[0] * sides[1]
    usable = (tf.reduce_min(sides) > 0) & (area <= LARGEST_AREA)
    message = f"Expected an image of 1 to {LARGEST_AREA} pixels. Received height, width"
    return tf.debugging.Assert(usable, [message, sides])


def _png_shape(header: tf.Tensor) -> tf.Tensor:
    sides = tf.io.decode_raw(
        tf.strings.substr(header, 16, 8), tf.int32, little_endian=False
    )
    is_grey = tf.equal(tf.strings.substr(header, 25, 1), GREY)
    channels = tf.where(is_grey, tf.constant([1], tf.int64), [4])
    return tf.concat([tf.cast(sides[::-1], tf.int64), channels], 0)


def _bmp_shape(header: tf.Tensor) -> tf.Tensor:
    sides = tf.io.decode_raw(tf.strings.substr(header, 18, 8), tf.int32)
    # A negative height stands for rows from the top down.
    return tf.concat([tf.abs(tf.cast(sides[::-1], tf.int64)), [3]], 0)


def _decode_jpeg(image_bytes: tf.Tensor, channels: int) -> tf.Tensor:
    # The default inverse transform is up to 10 grey levels off.
    return tf.io.decode_jpeg(
        image_bytes, channels=channels, dct_method="INTEGER_ACCURATE"
    )


def _has_transparent(image_bytes: tf.Tensor) -> tf.Tensor:
    """Whether a PNG may name a transparent level: it does so in a chunk tRNS.

    Where that is but a word of the file, only time is lost.
    """
    pieces = tf.strings.split(image_bytes[None], "tRNS", maxsplit=1).values
    return tf.size(pieces) > 1


def _other_grey(
    image_bytes: tf.Tensor, magic: tf.Tensor, depth: tf.Tensor, colour: tf.Tensor
) -> tf.Tensor:
    """Grey levels, float32, of a file that is not simply grey."""
    is_png, is_deep = tf.equal(magic, b"\x89P"), tf.equal(depth, b"\x10")
    return tf.case(
        [
            (
                tf.equal(magic, b"\xff\xd8"),
                # Not one channel: the file's own luma is from before colours are
                # clipped.
                lambda: tf.round(_luma(_decode_jpeg(image_bytes, 3))),
            ),
            (is_png & is_deep, lambda: _png16_grey(image_bytes)),
            (is_png, lambda: _png_grey(image_bytes, depth, colour)),
        ],
        default=lambda: _bmp_grey(image_bytes, magic),
        exclusive=False,
    )


def _png_grey(image_bytes: tf.Tensor, depth: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    has_alpha = tf.reduce_any(tf.equal(colour, [GREY, GREY_ALPHA, COLOUR_ALPHA]))

    def decode(channels: int) -> tf.Tensor:
        return tf.io.decode_png(image_bytes, channels=channels)

    return tf.case(
        [
            # The alpha that TensorFlow adds to files of fewer than 8 bits is
            # transparent: they come with the channels that they have.
            (
                tf.reduce_any(tf.equal(depth, SHALLOW)),
                lambda: tf.round(_flatten_on_black(decode(0), 255.0)),
            ),
            # Grey files that come here name a transparent level.
            (
                has_alpha | _has_transparent(image_bytes),
                lambda: tf.round(_flatten_on_black(decode(4), 255.0)),
            ),
        ],
        default=lambda: tf.round(_luma(decode(3))),
        exclusive=False,
    )


def _png16_grey(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads an 8-bit picture kept in 16 bits as what it is, and scales any other.

    The first has every byte twice, so that 257 divides all its values.
    """
    # As whole numbers, until one channel is left: of 16 megapixels each copy of four in
    # float32 would be a quarter of a gigabyte.
    image = tf.io.decode_png(image_bytes, channels=4, dtype=tf.uint16)
    high = tf.cast(tf.bitwise.right_shift(image, tf.constant(8, tf.uint16)), tf.uint8)
    low = tf.cast(tf.bitwise.bitwise_and(image, tf.constant(255, tf.uint16)), tf.uint8)
    return tf.cond(
        tf.reduce_all(tf.equal(high, low)),
        lambda: tf.round(_flatten_on_black(high, 255.0)),
        lambda: _scale_deep(_flatten_on_black(image, 65535.0)),
    )


def _scale_deep(grey: tf.Tensor) -> tf.Tensor:
    """Scales by the smallest bit depth, 8 to 16, that holds the brightest pixel.

    12-bit scans in 16-bit files would otherwise be black. Values are not rounded.
    """
    full_scales = tf.constant([2.0**bits - 1 for bits in range(8, 17)])
    brightest = tf.round(tf.reduce_max(grey))
    full_scale = full_scales[tf.reduce_sum(tf.cast(full_scales < brightest, tf.int32))]
    return grey * (255.0 / full_scale)


def _bmp_grey(image_bytes: tf.Tensor, magic: tf.Tensor) -> tf.Tensor:
    # Anything else ends here, too: TensorFlow would take a GIF or WebP.
    is_bmp = tf.equal(magic, b"BM")
    message = "Expected a PNG, JPEG or BMP file. Received one that begins with"
    # A message that is no UTF-8 raises UnicodeDecodeError in Python's TensorFlow.
    shown = tf.strings.unicode_transcode(
        magic, "UTF-8", "UTF-8", replacement_char=ord("?")
    )
    with tf.control_dependencies([tf.debugging.Assert(is_bmp, [message, shown])]):
        image = tf.io.decode_bmp(image_bytes)
    # The fourth channel of 32-bit files is seldom meant as transparency.
    return tf.cond(
        tf.equal(tf.shape(image)[2], 1),
        lambda: tf.gather(_bmp_palette(image_bytes), tf.cast(image, tf.int32)),
        lambda: tf.round(_luma(image[..., :3])),
    )


def _bmp_palette(image_bytes: tf.Tensor) -> tf.Tensor:
    """The grey level of each entry of an 8-bit BMP's palette, which TensorFlow skips.

    Bytes 10 and 14 of the file hold where the pixels start and how long the second
    header is; the palette stands between, four bytes B, G, R, 0 an entry.
    """
    start_and_length = tf.io.decode_raw(tf.strings.substr(image_bytes, 10, 8), tf.int32)
    first = 14 + start_and_length[1]
    entries = (start_and_length[0] - first) // 4
    palette = tf.strings.substr(image_bytes, first, 4 * entries)
    palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])
    return tf.round(_luma(palette[:, 2::-1]))[:, 0]


def _flatten_on_black(image: tf.Tensor, opaque: float) -> tf.Tensor:
    """Grey of one to four channels, unrounded; the second and the fourth are alpha."""
    channels = tf.shape(image)[2]
    grey = tf.cond(
        channels < 3,
        lambda: tf.cast(image[..., :1], tf.float32),
        lambda: _luma(image[..., :3]),
    )
    return tf.cond(
        tf.equal(channels % 2, 0),
        lambda: grey * (tf.cast(image[..., -1:], tf.float32) / opaque),
        lambda: grey,
    )


def _luma(image: tf.Tensor) -> tf.Tensor:
    """Grey of three channels, float32, not rounded.

    Three products and two sums, each rounded to float32: a matrix product or a
    convolution may fuse them and so round a tie, one colour in a thousand, otherwise.
    """
    colours = tf.unstack(image, num=3, axis=-1)
    parts = [
        tf.cast(colour, tf.float32) * weight
        for colour, weight in zip(colours, LUMA, strict=True)
    ]
    return ((parts[0] + parts[1]) + parts[2])[..., None]
