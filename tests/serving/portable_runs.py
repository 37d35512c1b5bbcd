"""Small classifiers with a form, and a run of one, for the tests of LiteRT and ONNX."""

import csv
import hashlib
import io
import json

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from tests.explanation.networks import SIZE, classifier
from usgland.config import dump_config, load_config
from usgland.models.answers import answer_files

ENCODING = [
    {
        "name": "age_years",
        "kind": "number",
        "indicator": True,
        "low": 1.0,
        "high": 100.0,
        "mean": 50.0,
        "deviation": 10.0,
    },
    {
        "name": "bmi_kg_m2",
        "kind": "number",
        "indicator": False,
        "low": 10.0,
        "high": 80.0,
        "mean": 25.0,
        "deviation": 4.0,
    },
    {
        "name": "shape",
        "kind": "category",
        "indicator": True,
        "spellings": {"Oval": "Oval", "irregular": "irregular", "jagged": "irregular"},
        "words": ["Oval", "irregular"],
        "shares": [0.25, 0.75],
    },
    {
        "name": "margin",
        "kind": "category",
        "indicator": False,
        "spellings": {"sharp": "sharp", "blurred": "blurred", "none": "none"},
        "words": ["sharp", "blurred", "none"],
        "shares": [0.5, 0.5, 0.0],  # Nobody had the last one: it counts as missing.
    },
]
NAN = float("nan")
# Forms that can be used, empty and odd ones among them.
FORMS = [
    (54.0, 31.0, "irregular", "sharp"),
    (54.0, 31.0, "jagged", "blurred"),
    (1.0, 80.0, "Oval", "none"),
    (99.5, 10.0, "oval", ""),
    (NAN, 22.0, "", "sharp"),
    (33.0, NAN, "irregular", ""),
    (NAN, NAN, "", ""),
    (NAN, NAN, "", "none"),
]
# With one value that cannot.
REFUSED = [
    (0.5, 31.0, "irregular", "sharp"),
    (54.0, 80.5, "irregular", "sharp"),
    (float("inf"), 31.0, "irregular", "sharp"),
    (54.0, 31.0, "iregular", "sharp"),
    (54.0, 31.0, "irregular", "IRREGULAR"),
]
KINDS = ("float32", "float32", object, object)


def form(values):
    """Columns of some forms, as arrays."""
    columns = zip(*values, strict=True)
    return {
        column["name"]: np.array(list(values), kind)
        for column, values, kind in zip(ENCODING, columns, KINDS, strict=True)
    }


def encode_png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def images(count, seed=0):
    """PNG files of differing size and brightness."""
    rng = np.random.default_rng(seed)
    return [
        encode_png(
            rng.integers(0, 100 + 150 * i // count, (70 + i, 90 - i)).astype("uint8")
        )
        for i in range(count)
    ]


def logits_of(model, inputs):
    """By Keras, from the files on: it reads the images itself."""
    answered = answer_files(model, tf.nest.map_structure(tf.constant, inputs))
    return answered.logit.numpy().astype("float64")[:, 0]


def spread(model, contents):
    """Makes the logits of these images differ by about one, around zero."""
    logits = logits_of(model, contents)
    head = model.get_layer("logit")
    head.kernel.assign(head.kernel / logits.std())
    head.bias.assign([-logits.mean() / logits.std()])


def make_run(folder):
    """A run directory as `usgland fit` leaves it: 4 images a role, clearly apart."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        label = number % 2
        role = ("train", "val", "test")[number // 4]
        # Stripes, for malignant: no grey stretch removes them.
        grey = rng.integers(60, 120, (60, 80)).astype("uint8")
        if label:
            grey[::4] = 255
        name = f"case{number}.png"
        (folder / name).write_bytes(encode_png(grey))
        rows.append((name, f"P{number}", "", label, role, ""))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "patient_id", "label"))
        writer.writerows(
            (row[0], row[1], ("benign", "malignant")[row[3]]) for row in rows
        )
    run = folder / "run"
    run.mkdir()
    config = load_config(
        None,
        [
            f"data.manifest={folder / 'manifest.csv'}",
            f"preprocessing.image_size={SIZE}",
            "model.weights=null",
        ],
    )
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    model = classifier()
    files = np.array([(folder / row[0]).read_bytes() for row in rows], object)
    if logits_of(model, files[1::2]).mean() < logits_of(model, files[::2]).mean():
        kernel = model.get_layer("logit").kernel
        kernel.assign(-kernel)
    spread(model, files)
    threshold = {"threshold": 0.4, "method": "half", "n_images": 4, "n_patients": 4}
    (run / "threshold.json").write_text(json.dumps(threshold), encoding="utf-8")
    model.save(run / "model.keras")
    table = pd.DataFrame(
        rows, columns=["image", "patient_id", "group_id", "label", "role", "fold"]
    )
    table["sha256"] = [hashlib.sha256(file).hexdigest() for file in files]
    table.to_csv(run / "splits.csv", index=False)
    return run
