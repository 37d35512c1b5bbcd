"""SqueezeNet 1.0 and 1.1 as a flat graph of Fire modules."""

import functools

import keras

# Fire module -> (squeeze, expand) filters; a pool stands before some of them.
FIRES = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}
# Version -> (filters and size of conv1, Fire modules behind a pool).
VERSIONS = {
    "1.0": (96, 7, ("fire2", "fire5", "fire9")),
    "1.1": (64, 3, ("fire2", "fire4", "fire6")),
}
_convolution = functools.partial(
    keras.layers.Conv2D, activation="relu", kernel_initializer="he_uniform"
)
SMALLEST_IMAGE = 64  # pixels: what is left after the last pool is 3 x 3


def squeezenet(
    image: keras.KerasTensor, *, version: str = "1.1", classes: int | None = None
) -> keras.KerasTensor:
    """Applies SqueezeNet to scaled pixels.

    Args:
        image: `(batch, height, width, 3)`, sides of at least 64 pixels, in the
            scaling that the weights expect.
        version: `"1.0"` (1,248,424 parameters with 1000 classes) or `"1.1"`
            (1,235,496).
        classes: Outputs of the original classifier, or None to leave it out.

    Returns:
        Without classes: the last feature map, `(batch, height', width', 512)`, not
        negative. With classes: class scores before the softmax, `(batch, classes)`,
        not negative because the original has a ReLU there.

    Reference:
        [Iandola et al., 2016](https://arxiv.org/abs/1602.07360), table 1; version
        1.1 and the pooling that rounds up as in the authors' Caffe release.
    """
    if version not in VERSIONS:
        raise ValueError(
            f"`version` must be one of {list(VERSIONS)}. Received: version={version!r}"
        )
    sides = image.shape[1:3]
    if any(side is not None and side < SMALLEST_IMAGE for side in sides):
        raise ValueError(
            f"`image` must have sides of at least {SMALLEST_IMAGE} pixels. "
            f"Received: image.shape={image.shape}"
        )
    filters, size, pooled = VERSIONS[version]
    x = _convolution(filters, size, strides=2, name="conv1")(image)
    for name, (squeeze, expand) in FIRES.items():
        if name in pooled:
            x = _pool_rounding_up(x, name=f"pool_before_{name}")
        x = fire_module(x, squeeze, expand, name=name)
    if classes is None:
        return x
    x = keras.layers.Dropout(0.5, name="drop9")(x)
    x = keras.layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool10")(x)


def fire_module(
    x: keras.KerasTensor, squeeze: int, expand: int, *, name: str
) -> keras.KerasTensor:
    """Squeezes with 1x1 filters, then expands with 1x1 and 3x3 filters.

    A function, not a `Layer`: its convolutions stay in `model.layers`, where saliency
    methods look for them.

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        squeeze: Filters of the squeeze convolution (s1x1 in the paper).
        expand: Filters of each expand convolution (e1x1 = e3x3).
        name: Prefix of the layer names, e.g. `"fire2"`.

    Returns:
        Feature map, `(batch, height, width, 2 * expand)`.

    Reference:
        [Iandola et al., 2016](https://arxiv.org/abs/1602.07360), section 3.2.
    """

    def conv(inputs, filters, size, part):
        convolve = _convolution(filters, size, padding="same", name=f"{name}_{part}")
        return convolve(inputs)

    x = conv(x, squeeze, 1, "squeeze1x1")
    return keras.layers.Concatenate(name=f"{name}_concat")(
        [conv(x, expand, 1, "expand1x1"), conv(x, expand, 3, "expand3x3")]
    )


def _pool_rounding_up(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """3x3 maximum at stride 2; a last window may hang over the edge, as in Caffe.

    `padding="same"` would shift the windows of odd maps. Zeros do as padding because
    what comes in passed a ReLU.
    """
    over_height, over_width = (0 if side and side % 2 else 1 for side in x.shape[1:3])
    if over_height or over_width:
        x = keras.layers.ZeroPadding2D(
            ((0, over_height), (0, over_width)), name=f"{name}_padding"
        )(x)
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)
