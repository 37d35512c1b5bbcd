"""How far simple features get on the phantoms: AUC, patient-grouped 5 folds.

    python scripts/phantom_baseline.py [--seed 0] [--folder FOLDER]

Repeats the table of docs/phantoms.md. Takes about a minute and a half on 2 cores,
half of it to make the set where the cache does not hold it.
"""

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from usgland.data.phantom import cached_phantoms, write_phantoms
from usgland.data.phantom_clinical import CLINICAL


def pooled_roc_auc(
    features: np.ndarray, label: np.ndarray, patient_id: np.ndarray
) -> float:
    """AUC of the pooled out-of-fold probabilities of a logistic regression.

    Args:
        features: `(images, features)`, standardized in each fold.
        label: 0 benign, 1 malignant, `(images,)`.
        patient_id: Who never stands on both sides of a fold, `(images,)`.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    probability = cross_val_predict(
        model, features, label, groups=patient_id, cv=folds, method="predict_proba"
    )
    return float(roc_auc_score(label, probability[:, 1]))


def describe_image(image: np.ndarray, mask: np.ndarray) -> dict[str, list[float]]:
    """The features of one image by group; those with the mask know the truth."""
    pixels = image.astype("float64")
    lesion = pixels[mask > 0]
    small = cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)
    histogram = np.bincount(image.ravel() // 16, minlength=16) / image.size
    return {
        "mean and variance of the pixels": [pixels.mean(), pixels.var()],
        "histogram of 16 grey levels": histogram.tolist(),
        "12 x 12 thumbnail": small.ravel().astype("float64").tolist(),
        "height and width of the image": [float(side) for side in image.shape],
        "mean and variance inside the mask": [lesion.mean(), lesion.var()],
        "shape of the mask": _describe_shape(mask),
        "shape of the mask and grey profile over its margin": [
            *_describe_shape(mask),
            *_describe_margin(pixels, mask),
        ],
    }


def _describe_shape(mask: np.ndarray) -> list[float]:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    area, around = cv2.contourArea(outline), cv2.arcLength(outline, True)
    _, _, width, height = cv2.boundingRect(outline)
    convex = cv2.contourArea(cv2.convexHull(outline))
    return [height / width, 12.566 * area / around**2, area / convex, area]


def _describe_margin(pixels: np.ndarray, mask: np.ndarray) -> list[float]:
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
    signed = outside - inside
    edges = (-16, -10, -6, -3, 0, 3, 6, 10, 16)
    rings = itertools.pairwise(edges)
    return [pixels[(signed > low) & (signed <= high)].mean() for low, high in rings]


def measure(manifest: Path) -> dict[str, float]:
    """AUC per image of each group of features, the clinical values included."""
    rows = pd.read_csv(manifest)
    label = (rows["label"] == "malignant").to_numpy("int64")
    patient_id = rows["patient_id"].to_numpy(str)
    groups: dict[str, list[list[float]]] = {}
    for row in rows.itertuples():
        image = cv2.imread(str(manifest.parent / row.image), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(manifest.parent / row.mask), cv2.IMREAD_UNCHANGED)
        for name, values in describe_image(image, mask).items():
            groups.setdefault(name, []).append(values)
    tables = {name: np.array(values, "float64") for name, values in groups.items()}
    tables["device"] = pd.get_dummies(rows["device"]).to_numpy("float64")
    clinical = pd.get_dummies(rows[list(CLINICAL)], dtype="float64")
    tables["the 14 clinical values"] = clinical.to_numpy("float64")
    return {
        name: pooled_roc_auc(table, label, patient_id) for name, table in tables.items()
    }


def main() -> None:
    """Prints one line a group of features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="write the set here, not the cache")
    arguments = parser.parse_args()
    if arguments.folder is None:
        manifest = cached_phantoms(seed=arguments.seed)
    else:
        manifest = write_phantoms(arguments.folder, seed=arguments.seed)
    for name, roc_auc in measure(manifest).items():
        print(f"{roc_auc:.3f}  {name}")


if __name__ == "__main__":
    main()
