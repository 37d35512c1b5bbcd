"""What a classifier answers: a first look at a picture, and a second at its lesion.

One function for all who ask: `predict`, an exported model, LiteRT and ONNX. The layers
of a saved model alone are the first look.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from usgland.models import classifier
from usgland.models.augmentation import GROWN
from usgland.models.views import crop, whole_view

FOUND = 0.5  # P(lesion) from which a cell belongs to a lesion, and one is found
SURE = 0.05  # above `FOUND`, from where on the second view has its whole share
SECOND_SIDE = 2.0  # of the second view, in longest sides of the lesion
SECOND_LIMITS = (0.35, 1.0)  # of its side, in shares of the picture's
Tensor = Any  # of Keras, or of TensorFlow in a graph


class Answer(NamedTuple):
    """What is said of each picture; None of a lesion where the model has no head.

    Attributes:
        logit: Of P(malignant), float32 `(batch, 1)`.
        box: Of the lesion: x and y of its upper left corner, width and height, in
            shares of the picture's side, float32 `(batch, 4)`; zeros where none is
            found.
        found: P(lesion) where it is highest, float32 `(batch,)`; from `FOUND` on a
            lesion is found. 0 where there is no image.
        drawn: P(lesion) of each cell of the whole picture, `(batch, side, side, 1)`.
    """

    logit: Tensor
    box: Tensor | None = None
    found: Tensor | None = None
    drawn: Tensor | None = None


class Looking:
    """How a classifier comes to an answer.

    Args:
        model: As it is saved; with an image branch.
        see: In place of the model's own part from views `(batch, size, size, 1)` to
            what is pooled, see `view_to_feature_map`.

    Attributes:
        has_head: Whether it says where the lesion is.
        variables: Of what follows `see`.
    """

    def __init__(self, model: keras.Model, see: Callable | None = None):
        layers = {layer.name: layer for layer in model.layers}
        view = layers.get(classifier.VIEW)
        self._size = view.size if view else layers[classifier.PREPROCESSING].size
        self._second = bool(view and view.second_view)
        self._mirror = bool(view and view.mirror)
        self.has_head = classifier.has_head(model)
        self._see = see or classifier.view_to_feature_map(model)
        self._pool = layers[classifier.POOLED]
        self._head = classifier.pooled_to_logit(model)
        self.variables = list(self._head.variables)

    def see_whole(self, pictures: Tensor) -> Sequence[Tensor]:
        """What is pooled of the whole pictures: the feature map, and the head's."""
        return self._seen(whole_view(pictures, self._size))

    def pooled(self, seen: Sequence[Tensor]) -> Tensor:
        """What the image branch says, float32 `(batch, channels)`."""
        parts = list(seen) if self.has_head else seen[0]
        return ops.cast(self._pool(parts), "float32")

    def say(self, seen: Sequence[Tensor], others: Sequence[Tensor] = ()) -> Tensor:
        """The logit of what was seen, beside the other inputs, `(batch, 1)`."""
        pooled = self.pooled(seen)
        return self._head((pooled, *others) if others else pooled, training=False)

    def answer(
        self,
        pictures: Tensor,
        others: Sequence[Tensor] = (),
        *,
        seen: Sequence[Tensor] | None = None,
    ) -> Answer:
        """Looks at pictures, and again at what was found in them.

        Args:
            pictures: `(batch, side, side, 1)` in [0, 255].
            others: With a form its features, and whether image and form are given.
            seen: Of the whole pictures, where that is known.
        """
        first = whole_view(pictures, self._size)
        seen = self._seen(first) if seen is None else seen
        logit, drawn = self._look(first, others, seen)
        if drawn is None:
            return Answer(logit)
        box, found = find_lesion(drawn)
        if others:
            image_given = others[1]
            box, found = box * image_given, found * image_given[:, 0]
        if self._second:
            again = crop(pictures, second_box(box), self._size)
            second, _ = self._look(again, others, self._seen(again))
            # As a difference: LiteRT's int8 rounds sums, which networks are full of.
            logit = logit - second_share(found)[:, None] * (logit - second)
        return Answer(logit, box, found, drawn)

    def _seen(self, view: Tensor) -> Sequence[Tensor]:
        seen = self._see(view)
        return seen if isinstance(seen, list | tuple) else [seen]

    def _look(
        self, view: Tensor, others: Sequence[Tensor], seen: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Logit and drawn lesion of a view, the means with its mirror image's."""
        logit = self.say(seen, others)
        drawn = ops.sigmoid(seen[1]) if self.has_head else None
        if not self._mirror:
            return logit, drawn
        mirrored = self._seen(ops.flip(view, axis=2))
        logit = (logit + self.say(mirrored, others)) / 2
        if drawn is not None:
            drawn = (drawn + ops.flip(ops.sigmoid(mirrored[1]), axis=2)) / 2
        return logit, drawn


def answer_files(model: keras.Model, inputs: Any) -> Answer:
    """What a classifier says of what it takes itself: files and forms."""
    if classifier.PREPROCESSING not in classifier.layer_names(model):
        end = model.get_layer(classifier.LOGIT).output
        return Answer(keras.Model(model.input, end)(inputs, training=False))
    read = classifier.inputs_of_network(model)(inputs, training=False)
    pictures, *others = keras.tree.flatten(read)
    return Looking(model).answer(pictures, others)


def find_lesion(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """The box of the lesion that is drawn most surely.

    It is that of an ellipse with the centre and the spread of the cells that reach
    `FOUND` and touch each other back to the highest, in `side` steps or fewer. Each
    counts by how far it is above `FOUND`, so that a cell that only just reaches it
    moves nothing (unless it joins two parts): in LiteRT or ONNX another might. The box
    is smaller by as much as the head was taught to draw too large.

    Args:
        drawn: P(lesion) of each cell, `(batch, side, side, 1)`.

    Returns:
        The box and P(lesion) as in `Answer`.
    """
    side = drawn.shape[1]
    found = ops.max(drawn, axis=(1, 2, 3))
    mask = ops.cast(drawn >= FOUND, "float32")
    # Whole numbers: a file of bytes would round others. LiteRT lacks Keras' argmax.
    order = ops.reshape(ops.arange(side**2, dtype="int32"), (1, side, side, 1))
    highest = drawn >= found[:, None, None, None]
    first = ops.min(ops.where(highest, order, side**2), axis=(1, 2, 3), keepdims=True)
    lesion = mask * ops.cast(ops.equal(order, first), "float32")
    for _ in range(side):  # It grows by a cell a step, within the mask.
        lesion = mask * ops.max_pool(lesion, 3, strides=1, padding="same")
    weights = (lesion * (drawn - FOUND))[..., 0]
    total = ops.maximum(ops.sum(weights, axis=(1, 2)), keras.config.epsilon())
    places = (ops.arange(side, dtype="float32")[None] + 0.5) / side
    ends = []
    for axis in (1, 2):  # over rows, so that columns are left; then over columns
        shares = ops.sum(weights, axis=axis) / total[:, None]
        centre = ops.sum(shares * places, axis=1, keepdims=True)
        spread = ops.sum(shares * (places - centre) ** 2, axis=1, keepdims=True)
        # A cell has a spread of its own; half an axis is two standard deviations.
        extent = 4 * ops.sqrt(spread + 1 / (12 * side**2)) / GROWN
        ends.append((centre - extent / 2, extent))
    (x, width), (y, height) = ends
    box = ops.concatenate([x, y, width, height], axis=1)
    return ops.cast(found >= FOUND, "float32")[:, None] * box, found


def box_in_image(box: Any, width: Any, height: Any) -> Any:
    """A box of the picture in pixels of the image that it holds, cut to its edges.

    Args:
        box: See `Answer`, `(batch, 4)`, of NumPy or Keras.
        width: Of the images, `(batch,)`; floats.
        height: Likewise.
    """
    longer, corners = ops.maximum(width, height), []
    for start, extent, side in ((0, 2, width), (1, 3, height)):
        first = longer * box[:, start] - (longer - side) / 2
        last = first + longer * box[:, extent]
        corners.append((ops.clip(first, 0.0, side), ops.clip(last, 0.0, side)))
    (left, right), (top, bottom) = corners
    return ops.stack([left, top, right - left, bottom - top], axis=1)


def second_share(found: Tensor) -> Tensor:
    """The share of the second view in the logit: half, where a lesion is found.

    It rises from 0 just above `FOUND`: an answer never hangs on the last digit of how
    sure the head is.
    """
    return ops.clip((found - FOUND) / (2 * SURE), 0.0, 0.5)


def second_box(box: Tensor) -> Tensor:
    """The square around a lesion that is looked at again; all where none is found."""
    x, y, width, height = (box[:, number] for number in range(4))
    longest = ops.maximum(width, height)
    side = ops.clip(SECOND_SIDE * longest, *SECOND_LIMITS)
    is_found = longest > 0
    side = ops.where(is_found, side, 1.0)
    left = ops.where(is_found, x + width / 2 - side / 2, 0.0)
    top = ops.where(is_found, y + height / 2 - side / 2, 0.0)
    return ops.stack([left, top, side, side], axis=1)
