"""Writes the values of tensorflow-addons 0.23 that our tests are held against.

tensorflow-addons is no longer maintained and does not import beside the TensorFlow
that usgland needs, so this runs once, in an environment of its own (Python 3.11):

    python3.11 -m venv tfa
    tfa/bin/pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 "numpy<2"
    tfa/bin/python scripts/tfa_reference.py tests/reference/tfa_0.23.json

The inputs stand beside the values in the file, so that the tests draw nothing.
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def agreement_cases() -> list[dict]:
    """Kappa and F1 of labels and P(malignant) at a threshold of 0.5."""
    random = np.random.default_rng(23)
    labels = random.integers(0, 2, 40)
    rare = (random.uniform(size=60) < 0.2).astype(int)
    lean = np.round(np.clip(random.beta(2, 3, 60) + 0.2 * rare, 0, 1), 3)
    weights = np.round(random.uniform(0.1, 3, 60), 2)
    near = np.round(np.clip(0.5 * labels + random.uniform(0, 0.6, 40), 0, 1), 3)
    cases = [
        _agreement("mostly right", labels, near),
        _agreement("chance", labels, np.round(random.uniform(size=40), 3)),
        _agreement("mostly wrong", labels, np.round(1 - near, 3)),
        _agreement("rare", rare, lean),
        _agreement("rare, weighted", rare, lean, weights),
        _agreement("all benign and called so", np.zeros(8, int), np.full(8, 0.2)),
    ]
    for case in cases:  # where a threshold includes itself is no matter here
        if 0.5 in case["probabilities"]:
            raise ValueError("expected no probability of 0.5. Received: another seed")
    return cases


def _agreement(
    name: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
) -> dict:
    kappa = tfa.metrics.CohenKappa(num_classes=2, sparse_labels=True)
    f1 = tfa.metrics.F1Score(num_classes=1, average="micro", threshold=0.5)
    weight = None if weights is None else weights.astype("float32")
    kappa.update_state(labels, probabilities.astype("float32"), weight)
    f1.update_state(labels[:, None], probabilities[:, None].astype("float32"), weight)
    return {
        "name": name,
        "labels": labels.tolist(),
        "probabilities": probabilities.tolist(),
        "weights": None if weights is None else weights.tolist(),
        "cohen_kappa": _short(kappa.result()),
        "f1": _short(f1.result()),
    }


def median_filter() -> dict:
    """Medians of a small speckled image, for both sizes and both border rules."""
    random = np.random.default_rng(32)
    image = np.clip(random.rayleigh(60, (12, 15)), 0, 255).astype("uint8")
    filtered = {
        f"{size}x{size} {border}": tfa.image.median_filter2d(
            tf.constant(image, tf.float32), (size, size), border
        )
        .numpy()
        .astype(int)
        .tolist()
        for size in (3, 5)
        for border in ("SYMMETRIC", "REFLECT")
    }
    return {"image": image.tolist(), **filtered}


def focal_loss() -> dict:
    """The focal loss of each case, alpha 0.25 and gamma 2."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 24)
    logits = np.round(random.uniform(-8, 8, 24), 2)
    probabilities = np.round(1 / (1 + np.exp(-logits)), 4)

    def loss(predictions: np.ndarray, *, from_logits: bool) -> list[float | None]:
        values = tfa.losses.SigmoidFocalCrossEntropy(
            from_logits=from_logits, alpha=0.25, gamma=2.0, reduction="none"
        )(
            tf.constant(labels[:, None], tf.float32),
            tf.constant(predictions[:, None], tf.float32),
        )
        return [_short(value) for value in values]

    return {
        "labels": labels.tolist(),
        "logits": logits.tolist(),
        "probabilities": probabilities.tolist(),
        "loss_from_logits": loss(logits, from_logits=True),
        "loss_from_probabilities": loss(probabilities, from_logits=False),
    }


def _short(value: tf.Tensor) -> float | None:
    """Eight digits, all that a float32 holds; null stands for NaN."""
    return None if np.isnan(value) else float(f"{float(value):.8g}")


def main(path: Path) -> None:
    """Writes the file: a line for each block, as nobody reads it by number."""
    blocks = {
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "tensorflow_addons": tfa.__version__,
        },
        "agreement": agreement_cases(),
        "median_filter": median_filter(),
        "focal_loss": focal_loss(),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(blocks[name])}" for name in blocks]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
