"""Writes the images of a BreastMNIST .npz as PNG files with a manifest.

The official split goes into the column `split`. MedMNIST codes malignant as 0; the
words in `label` come from that. `seen` is 1 for a test image whose lesion, by
`group_id`, also stands in train or val: the official split leaks, see the README of
the data.

One training image, train_115, is left out: test_076 is the same picture under the
other label, and a manifest with both is refused.

    python scripts/breastmnist_manifest.py ../shared/data/breastmnist FOLDER [SIDE]

SIDE is 28 or 128 pixels, 128 by default.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

LEFT_OUT = "images/train_115.png"
FILES = {28: "breastmnist.npz", 128: "breastmnist_128_remade.npz"}


def main(source: Path, folder: Path, side: int = 128) -> None:
    """Writes FOLDER/images and FOLDER/manifest.csv."""
    rows = pd.read_csv(source / "manifest.csv", dtype=str)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    with np.load(source / FILES[side]) as arrays:
        for split, number, name in zip(
            rows["split"], rows["index"].astype(int), rows["image"], strict=True
        ):
            label = int(arrays[f"{split}_labels"][number, 0])
            row = rows[(rows["split"] == split) & (rows["index"] == str(number))]
            if (label == 0) != (row["label"].iloc[0] == "malignant"):
                raise SystemExit(f"{name}: the label differs from the manifest's")
            pixels = arrays[f"{split}_images"][number]
            cv2.imwrite(str(images / Path(name).name), pixels)
    known = set(rows.loc[rows["split"] != "test", "group_id"])
    rows["seen"] = (rows["split"].eq("test") & rows["group_id"].isin(known)).astype(int)
    columns = ["image", "patient_id", "label", "split", "seen", "group_id"]
    # Named `group_id` it would, rightly, be refused: groups stand in two roles.
    rows = rows.loc[rows["image"] != LEFT_OUT, columns]
    rows.rename(columns={"group_id": "lesion_group"}).to_csv(
        folder / "manifest.csv", index=False
    )
    print(f"Wrote {folder / 'manifest.csv'} with {len(rows)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
