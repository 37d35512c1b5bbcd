"""How far the size of a lesion still tells its label in the views of training.

    python scripts/benchmark_views.py [../shared/data/busi] [--views 20]

Draws views of the de-duplicated benign and malignant images of BUSI as training does,
with several shares of views whose lesions are made equal, and measures the lesion in
what each view shows of it, which the edges may cut. Prints the rank correlation
(Spearman) of its longest side, and of its area, with the label, and the AUC of the
side; also what the outlines alone tell. No network is trained; it takes some seconds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from usgland.config import load_config
from usgland.data.lesion_marks import lesion_ellipses
from usgland.data.manifest import load_manifest
from usgland.models import augmentation
from usgland.models.augmentation import GROWN, make_augment

GRID = 56  # cells along a side of a view
SHARES = (0.0, 0.35, 1.0)


def main(folder: Path, views: int) -> None:
    """Prints one row for each way to show the lesions."""
    config = load_config(
        overrides=["data.where.keep=1", "data.ignore_labels=normal"],
    )
    rows = load_manifest(folder / "manifest.csv", config.data)
    table = pd.read_csv(folder / "manifest.csv").set_index("image")
    solidity = table.loc[rows["image"], "mask_solidity"]
    auc = roc_auc_score(rows["label"], -solidity)
    print(f"{len(rows)} images; AUC of the outlines' solidity alone: {auc:.3f}\n")
    lesions, labels = lesion_ellipses(rows), rows["label"].to_numpy()
    print("| views | longest side, rho | area, rho | longest side, AUC |")
    print("|---|---|---|---|")
    show("whole pictures", *measure(lesions, labels, None, 1))
    for share in SHARES:
        measured = measure(lesions, labels, share, views)
        show(f"training, equalize_size={share:g}", *measured)
    augmentation.VIEW_SIDES = (0.0, 9.0)
    measured = measure(lesions, labels, 1.0, views)
    show("the same without limits of a view's side", *measured)


def measure(
    lesions: np.ndarray, labels: np.ndarray, share: float | None, views: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longest side and area of the lesion in views of each image, and the labels.

    The side is in shares of that of the view. `share` None: whole pictures.
    """
    settings = load_config().augmentation
    if share is None:
        off = {name: 0 for name in type(settings).model_fields}
        settings = type(settings)(**off)
    else:
        settings = settings.model_copy(update={"equalize_size": share})
    settings = settings.model_copy(update={"blur_pixels": 0.0})
    augment = make_augment(settings, grid=GRID)
    pictures = tf.zeros((len(lesions), 2, 2, 1))  # Of what is in them nothing is used.
    parts = [
        augment(pictures, labels[:, None], tf.constant([number, 0]), lesions)[2]
        for number in range(views)
    ]
    seen = np.concatenate(parts)[..., 0].astype("float64")
    area = seen.mean(axis=(1, 2))
    middles = (np.arange(GRID) + 0.5) / GRID
    total = np.maximum(seen.sum(axis=(1, 2)), 1e-9)
    across, down = seen.sum(axis=1) / total[:, None], seen.sum(axis=2) / total[:, None]
    mixed = ((seen @ middles) @ middles) / total
    x, y = across @ middles, down @ middles
    var_x, var_y = across @ middles**2 - x**2, down @ middles**2 - y**2
    spread = np.hypot((var_x - var_y) / 2, mixed - x * y)
    largest = np.maximum((var_x + var_y) / 2 + spread, 0)
    # Half an axis of an ellipse is two standard deviations of its points.
    longest = 4 * np.sqrt(largest) / GROWN
    return longest, area, np.tile(labels, views)


def show(name: str, longest: np.ndarray, area: np.ndarray, labels: np.ndarray) -> None:
    """One row of the table."""
    sides, areas = (
        scipy.stats.spearmanr(size, labels).statistic for size in (longest, area)
    )
    auc = roc_auc_score(labels, longest)
    print(f"| {name} | {sides:+.3f} | {areas:+.3f} | {auc:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path("../shared/data/busi")
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    parser.add_argument("--views", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.views)
