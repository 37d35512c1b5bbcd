"""A network and its images, which both portable formats are tested with."""

import numpy as np
import pytest
import tensorflow as tf

from tests.explanation.networks import classifier
from tests.serving.portable_runs import images, spread


@pytest.fixture(scope="module")
def contents():
    return np.array(images(8), object)


@pytest.fixture(scope="module")
def pixels(contents):
    layer = classifier().get_layer("preprocessing")
    return np.stack([layer.read(tf.constant(content)).numpy() for content in contents])


@pytest.fixture(scope="module")
def model(tiny_network, contents):
    model = classifier()
    spread(model, contents)
    return model
