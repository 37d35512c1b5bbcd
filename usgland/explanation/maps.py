"""Saliency maps: which pixels speak for malignant, or for benign.

`gradcam` is a batched graph of our own, equal to tf-keras-vis (a test holds it);
`lesion` is what the model's own head draws; the other methods are those of
tf-keras-vis, a case at a time.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from usgland.errors import UserError
from usgland.explanation.choices import LABELS, LESION, METHODS
from usgland.explanation.explained import Explained
from usgland.explanation.heatmap_graph import gradcam_of
from usgland.models.classifier import MAP, has_head
from usgland.training.predict import apply_network

BATCH = 32
FAST_CHANNELS = 10  # of `scorecam_fast`: those that vary most
SMOOTH_SAMPLES = 25
SMOOTH_NOISE = 0.1  # standard deviation, of the range of the image's grey levels


def make_maps(
    explained: Explained, inputs: Any, *, method: str, label: str, seed: int = 0
) -> np.ndarray:
    """How much each pixel of each case speaks for a label.

    Args:
        explained: The network.
        inputs: As `Part.inputs` gives it: pixels, or a tuple that begins with them.
        method: One of `METHODS`.
        label: `"malignant"`: evidence for it; `"benign"`: evidence against it.
        seed: Of the noise of `smoothgrad`.

    Returns:
        Float32 `(cases, size, size)` in [0, 1]; 1 is the strongest pixel of a case. A
        case without any evidence for the label has a map of zeros.

    Raises:
        UserError: If the model draws no lesion, and the method is `lesion`.
        ValueError: If there is no such method or label.

    Reference:
        [Grad-CAM](https://arxiv.org/abs/1610.02391), Selvaraju et al., 2017;
        [Grad-CAM++](https://arxiv.org/abs/1710.11063), Chattopadhay et al., 2018;
        [Score-CAM](https://arxiv.org/abs/1910.01279), Wang et al., 2020;
        [SmoothGrad](https://arxiv.org/abs/1706.03825), Smilkov et al., 2017.
    """
    if method not in METHODS or label not in LABELS:
        raise ValueError(
            f"`method` must be one of {METHODS} and `label` of {LABELS}. "
            f"Received: method={method!r}, label={label!r}"
        )
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    if method == LESION:
        maps = _drawn(explained, arrays)
    elif method == "gradcam":
        maps = _gradcam(explained, arrays, label)
    else:
        make = _tf_keras_vis(explained, method, label)
        of_cases = []
        for pixels, *form in zip(*arrays, strict=True):
            explained.hold(tuple(values[None] for values in form))
            with _quiet_and_seeded(seed):
                of_cases.append(np.asarray(make(pixels[None].astype("float32")))[0])
        maps = np.stack(of_cases)
    size = arrays[0].shape[1]
    if maps.shape[1:] != (size, size):
        maps = tf.image.resize(maps[..., None], (size, size)).numpy()[..., 0]
    return scale_maps(maps)


def scale_maps(maps: np.ndarray) -> np.ndarray:
    """Divides each map by its largest value; a map of zeros stays so."""
    maps = np.maximum(maps, 0).astype("float32")
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


def gradcam_graph(explained: Explained, label: str) -> Callable[..., tf.Tensor]:
    """The batched graph of Grad-CAM.

    Returns:
        Maps the inputs of `explained.whole`, one tensor each, to float32 `(batch,
        height, width)`, not negative, of the size of the last feature map.
    """
    whole, sign = explained.whole, _sign(label)
    feature_map = whole.get_layer(explained.layer).output
    network = keras.Model(whole.input, [feature_map, whole.output])
    # Without a signature the last, smaller batch would trace it again.
    specs = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in whole.inputs]

    @tf.function(input_signature=specs)
    def maps(*tensors: tf.Tensor) -> tf.Tensor:
        inputs = tensors if len(tensors) > 1 else tensors[0]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            features, logit = network(inputs, training=False)
            score = sign * logit
        return gradcam_of(features, tape.gradient(score, features))

    return maps


def _gradcam(
    explained: Explained, arrays: tuple[np.ndarray, ...], label: str
) -> np.ndarray:
    graph = gradcam_graph(explained, label)
    maps = []
    for start in range(0, len(arrays[0]), BATCH):
        batch = [array[start : start + BATCH].astype("float32") for array in arrays]
        maps.append(graph(*map(tf.constant, batch)).numpy())
    return np.concatenate(maps)


def _drawn(explained: Explained, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    """P(lesion) of each cell, as the head of the network draws it."""
    whole = explained.whole
    if not has_head(whole):
        raise UserError(
            f"--method {LESION}: expected a run whose model draws the lesion "
            "(model.lesion_head=true, and lesions marked in the manifest). Received "
            "one that does not"
        )
    network = keras.Model(whole.input, whole.get_layer(MAP).output)
    inputs = arrays if len(arrays) > 1 else arrays[0]
    return np.asarray(tf.sigmoid(apply_network(network, inputs)))[..., 0]


def _tf_keras_vis(
    explained: Explained, method: str, label: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Maps the pixels `(1, size, size, 1)` of one case to its map `(1, ...)`."""
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.scorecam import Scorecam

    model, sign = explained.alone, _sign(label)

    def score(output: tf.Tensor) -> tf.Tensor:
        return sign * output[:, 0]

    cam: dict[str, Any] = {
        "penultimate_layer": explained.layer,
        "seek_penultimate_conv_layer": False,
        "expand_cam": False,
        "normalize_cam": False,
    }
    if method == "gradcam++":
        visualize = GradcamPlusPlus(model)

        def from_zero(output: tf.Tensor) -> tf.Tensor:
            # Grad-CAM++ multiplies by the exponential of the score, which overflows
            # float32 if the model is sure; a constant only scales the map.
            return score(output) - tf.stop_gradient(score(output))

        return lambda pixels: visualize(from_zero, pixels, **cam)
    if method == "smoothgrad":
        saliency = Saliency(model)
        smooth = {"smooth_samples": SMOOTH_SAMPLES, "smooth_noise": SMOOTH_NOISE}
        return lambda pixels: saliency(score, pixels, normalize_map=False, **smooth)
    scorecam = Scorecam(_with_two_logits(model))
    logit = LABELS.index(label)
    channels = model.get_layer(explained.layer).output.shape[-1]
    limit = min(FAST_CHANNELS, channels) if method == "scorecam_fast" else None
    return lambda pixels: scorecam(
        lambda output: output[:, logit], pixels, max_N=limit, batch_size=BATCH, **cam
    )


def _with_two_logits(model: keras.Model) -> keras.Model:
    """Benign at 0 beside malignant: its softmax is the sigmoid of our one logit.

    tf-keras-vis takes the softmax of whatever a model says before it weighs the
    channels, and that of a single logit is always 1.
    """
    benign = keras.layers.Rescaling(0.0, name="benign_logit")(model.output)
    logits = keras.layers.Concatenate(name="both_logits")([benign, model.output])
    return keras.Model(model.inputs, logits)


def _sign(label: str) -> float:
    return 1.0 if label == "malignant" else -1.0


@contextlib.contextmanager
def _quiet_and_seeded(seed: int) -> Iterator[None]:
    """tf-keras-vis draws from NumPy's global state and shows Keras' progress bars."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        np.random.set_state(state)
