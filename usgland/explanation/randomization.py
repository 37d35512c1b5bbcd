"""Whether a map depends on what was learned: the network with shuffled weights."""

import keras
import numpy as np
from scipy.stats import rankdata

from usgland.explanation.explained import Explained, make_explained
from usgland.explanation.letterbox import Letterbox

# A method whose maps correlate so much, in mean rank, with those of a shuffled network
# shows the picture more than what was learned.
USELESS = 0.5


def shuffled_network(model: keras.Model, *, seed: int = 0) -> Explained:
    """A copy whose weights stand in a random order within each array.

    Every layer keeps the values it has, and so their spread, but not what they mean.

    Reference:
        The model parameter randomization test of [Adebayo et al.,
        2018](https://arxiv.org/abs/1810.03292), all layers at once.
    """
    explained = make_explained(model)
    rng = np.random.default_rng(seed)
    for layer in explained.whole.layers:
        if layer.weights:
            shuffled = [
                rng.permutation(array.ravel()).reshape(array.shape)
                for array in layer.get_weights()
            ]
            layer.set_weights(shuffled)
            explained.alone.get_layer(layer.name).set_weights(shuffled)
    return explained


def rank_correlations(
    maps: np.ndarray, others: np.ndarray, boxes: list[Letterbox]
) -> np.ndarray:
    """Spearman's correlation of two maps of each case, over the pixels of the image.

    Maps are `(cases, size, size)`.

    Returns:
        `(cases,)` in [-1, 1]; NaN where one of the maps is the same everywhere.
    """
    correlations = []
    for first, second, box in zip(maps, others, boxes, strict=True):
        ranks = np.stack([rankdata(case[box.inside()]) for case in (first, second)])
        centred = ranks - ranks.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).sum(axis=1)).prod()
        product = float((centred[0] * centred[1]).sum())
        correlations.append(product / spread if spread > 0 else np.nan)
    return np.array(correlations)
