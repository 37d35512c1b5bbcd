"""EfficientNet-Lite0 as a flat graph of inverted residual blocks."""

import keras

# Stage: how many blocks, size of their filters, stride of the first, growth of the
# channels inside, channels handed on.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280  # channels
EPSILON = 1e-3  # of batch normalization


def efficientnet_lite0(
    image: keras.KerasTensor, *, classes: int | None = None
) -> keras.KerasTensor:
    """Applies EfficientNet-Lite0 to scaled pixels.

    Args:
        image: `(batch, height, width, 3)`, RGB, `(pixel - 127) / 128`.
        classes: Outputs of the original classifier, or None to leave it out.

    Returns:
        Without classes: the last feature map, `(batch, height / 32, width / 32, 1280)`,
        in [0, 6]; with them, class scores before the softmax, `(batch, classes)`. With
        1000 classes it has 4,652,008 parameters, moving averages not counted.

    Reference:
        [Tan and Le, 2019](https://arxiv.org/abs/1905.11946), table 1; without squeeze
        and excitation and with ReLU6, as the authors' later release for phones has it.
    """
    x = _convolution(image, STEM, "stem", size=3, strides=2)
    number, channels = 0, STEM
    for repeats, size, stride, growth, filters in STAGES:
        for repeat in range(repeats):
            name, strides = f"block{number}", stride if repeat == 0 else 1
            inner = x
            if growth > 1:
                inner = _convolution(inner, growth * channels, f"{name}_expand")
            inner = _depthwise(inner, f"{name}_depthwise", size=size, strides=strides)
            inner = _convolution(inner, filters, f"{name}_project", ends_linear=True)
            if strides == 1 and filters == channels:
                inner = keras.layers.Add(name=f"{name}_add")([inner, x])
            x, channels, number = inner, filters, number + 1
    x = _convolution(x, HEAD, "head")
    if classes is None:
        return x
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.layers.Dense(classes, name="classifier")(x)


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    size: int = 1,
    strides: int = 1,
    ends_linear: bool = False,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalized(x, name, ends_linear=ends_linear)


def _depthwise(
    x: keras.KerasTensor, name: str, *, size: int, strides: int
) -> keras.KerasTensor:
    x = keras.layers.DepthwiseConv2D(
        size, strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalized(x, name, ends_linear=False)


def _normalized(
    x: keras.KerasTensor, name: str, *, ends_linear: bool
) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return x if ends_linear else keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
