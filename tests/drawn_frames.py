"""Pictures with enough in them to be known again, and tables of them."""

import cv2
import numpy as np
import pandas as pd
from PIL import Image


def draw_frame(seed, height=240, width=320):
    """Speckle of two sizes with a dark oval: nothing of a patient."""
    rng = np.random.default_rng(seed)

    def speckle(pixels):
        noise = rng.normal(size=(height, width)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), pixels)
        return smooth / smooth.std()

    values = speckle(12) + 0.8 * speckle(2)
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0.3, 0.7, 2) * (height, width)
    values[((y - centre[0]) / 45) ** 2 + ((x - centre[1]) / 60) ** 2 < 1] -= 2
    return np.clip(110 + 40 * values, 0, 255).astype(np.uint8)


def write_table(folder, pictures, **columns):
    """Writes pictures, but for None, and a table of them; gives the table's path."""
    (folder / "images").mkdir(exist_ok=True)
    names = [f"images/{number:03d}.png" for number in range(len(pictures))]
    for image, picture in zip(names, pictures, strict=True):
        if picture is not None:
            Image.fromarray(picture).save(folder / image)
    table = {"image": names, "patient_id": [f"p{n}" for n in range(len(names))]}
    path = folder / "manifest.csv"
    pd.DataFrame({**table, **columns}).to_csv(path, index=False)
    return path
