"""Writes a manifest of BUSI whose folds are acquisition groups, made without labels.

    python scripts/acquisition_groups.py ../shared/data/busi FOLDER

k-means puts the de-duplicated benign and malignant images into four groups by native
frame size, grey levels, black border and sharpness: what a scanner and its operator
decide, not the lesion. `usgland cv --manifest FOLDER/manifest.csv` then leaves one
group out at a time, which is nearer to another hospital than a random fold is.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

GROUPS = 4
BLACK = 5  # grey levels below it count as border


def main(source: Path, folder: Path) -> None:
    """Writes FOLDER/manifest.csv, which points to the images where they are."""
    rows = pd.read_csv(source / "manifest.csv", dtype=str)
    rows = rows[rows["keep"].eq("1") & rows["label"].ne("normal")]
    for name in ("image", "mask"):
        rows[name] = [str((source / path).resolve()) for path in rows[name]]
    features = [
        [float(width), float(height), *describe(image)]
        for image, width, height in zip(
            rows["image"],
            rows["native_width_px"],
            rows["native_height_px"],
            strict=True,
        )
    ]
    clusters = KMeans(GROUPS, n_init=10, random_state=0).fit_predict(
        StandardScaler().fit_transform(features)
    )
    # A group of duplicates stays whole.
    rows["fold"] = pd.Series(clusters, rows.index)
    rows["fold"] = rows.groupby("group_id")["fold"].transform("first")
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["image", "mask", "patient_id", "group_id", "label", "fold"]
    rows[columns].to_csv(folder / "manifest.csv", index=False)
    for fold, part in rows.groupby("fold"):
        malignant = part["label"].eq("malignant").sum()
        print(f"fold {fold}: {len(part)} images, {malignant} malignant")


def describe(path: str) -> list[float]:
    """Mean, spread and extremes of the grey levels, share of black, log sharpness."""
    image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    sharpness = cv2.Laplacian(image, cv2.CV_64F).var()
    return [
        image.mean(),
        image.std(),
        *np.percentile(image, [1, 99]),
        (image < BLACK).mean(),
        np.log1p(sharpness),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
