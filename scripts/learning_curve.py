"""Writes manifests of fewer and fewer training patients, for a learning curve.

    python scripts/learning_curve.py ../shared/data/breast_usg FOLDER

Five folds of the benign and malignant patients of BrEaST, drawn by patient. For each
fold and size FOLDER/FOLD-SIZE.csv: the fold is the test part, and so many of the other
patients train (a share of them, as ever, chooses the epoch), each smaller set a part of
the larger and all with nearly the share of malignant ones. `scripts/benchmark_real
learning_curve` trains on them from two starts.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from usgland.config import SplitSettings, load_config
from usgland.data.manifest import load_manifest
from usgland.data.splits import make_folds

SIZES = (50, 100, 170)
SEED = 0


def main(source: Path, folder: Path) -> None:
    """Writes one manifest a fold and size, which points to the images in place."""
    config = load_config(overrides=["data.ignore_labels=normal"])
    rows = load_manifest(source / "manifest.csv", config.data)
    rows = make_folds(rows, SplitSettings(seed=SEED))
    folder.mkdir(parents=True, exist_ok=True)
    for fold in sorted(rows["fold"].unique()):
        test = rows["fold"] == fold
        order = patients_in_order(rows[~test], seed=int(fold))
        for size in SIZES:
            chosen = rows["patient_id"].isin(order[:size]) & ~test
            part = rows.assign(split=np.where(test, "test", "train"))[test | chosen]
            part = part[["image_path", "mask_path", "patient_id", "label", "split"]]
            part = part.rename(columns={"image_path": "image", "mask_path": "mask"})
            for name in ("image", "mask"):
                part[name] = [str(Path(p).resolve()) if p else "" for p in part[name]]
            part.to_csv(folder / f"{fold}-{size}.csv", index=False)


def patients_in_order(rows: pd.DataFrame, *, seed: int) -> list[str]:
    """Patients such that any first few have nearly the shares of both labels."""
    labels = rows.groupby("patient_id")["label"].max()
    rng = np.random.default_rng((SEED, seed))
    place = pd.Series(0.0, labels.index)
    for label in (0, 1):
        own = labels.index[labels == label]
        place[own] = (rng.permutation(len(own)) + 0.5) / len(own)
    return list(place.sort_values(kind="stable").index)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
