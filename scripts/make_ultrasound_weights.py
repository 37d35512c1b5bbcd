"""Makes the weights of `model.weights: ultrasound` from BUSI and BrEaST.

    python scripts/make_ultrasound_weights.py [--data ../shared/data] [--epochs 30]

Trains SqueezeNet 1.1 from ImageNet by the default recipe on the de-duplicated images of
BUSI and all of BrEaST, those without a lesion for its map alone, and keeps the backbone
in half precision, under 2 MB, in the package, with a card. Nothing is left to test on:
what the weights are worth is measured with BUSI's alone, see `learning_curve` in
scripts/benchmark_real. About 850 images; half an hour on two cores, or less. The run
lands in runs/ultrasound, and goes on where it was if it is there.
"""

import argparse
import hashlib
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland import __version__
from usgland.config import load_config
from usgland.data.sources import manifest_rows
from usgland.data.splits import make_splits, splits_table
from usgland.files import write_text
from usgland.models.backbones import backbone_layers, model_arrays
from usgland.models.ultrasound_weights import (
    FILE,
    NETWORK,
    VERSION,
    write_ultrasound_weights,
)
from usgland.steps.models import load_model
from usgland.training.fit import fit_run, prepare_run

SOURCES = ("busi", "breast_usg")
COLUMNS = ("image", "mask", "patient_id", "group_id", "label")
MOST_BYTES = 2_000_000
CARD = """# SqueezeNet 1.1 that has seen ultrasound

The starting weights of `model.weights: ultrasound`, in half precision, without the last
layer: made by `python scripts/make_ultrasound_weights.py` of usgland {version} (file
version {file_version}), {epochs} epochs of the default recipe from ImageNet, on
{images} images. For research only; they diagnose nothing.

**They have learned from every image of these two sets.** Whatever starts from them must
not be scored on those images, nor on sets made of them (BreastMNIST is made of BUSI):
`fit` and `cv` refuse the files as they stand there, by their digests, and cannot know
other copies.

- BUSI: Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A. Dataset of breast ultrasound images.
  Data in Brief 2020;28:104863, doi 10.1016/j.dib.2019.104863. CC BY 4.0.
- BrEaST: Pawlowska A, Cwierz-Pienkowska A, Domalik A, et al. Curated benchmark dataset
  for ultrasound based breast lesion analysis. Sci Data 2024;11:148,
  doi 10.1038/s41597-024-02984-z. CC BY 4.0.
- ImageNet weights: the authors' SqueezeNet 1.1, BSD-2-Clause.

The images were changed: scaled, stretched in grey, augmented, and learned from. The
weights may be used under the licence of usgland, with the attribution above.
"""


def main(data: Path, run: Path, epochs: int, output: Path, more: list[str]) -> None:
    """Trains, unless the run is there, and writes the weights and their card."""
    manifest = run.with_suffix(".csv")
    rows = pd.concat([rows_of(data / source, source) for source in SOURCES])
    manifest.parent.mkdir(parents=True, exist_ok=True)
    rows[rows["taught"]][list(COLUMNS)].to_csv(manifest, index=False)
    config = load_config(
        overrides=[
            f"data.manifest={manifest}",
            "data.no_lesion_labels=normal",
            "split.test_fraction=0",
            "split.val_fraction=0",  # The last epoch is kept.
            f"train.epochs={epochs}",
            *more,
        ]
    )
    checked = make_splits(manifest_rows(config, None), config.split)
    if not run.exists():
        prepare_run(run, config, splits_table(checked))
    fit_run(run, checked, Console())  # Nobody needs a threshold of it.
    layers = set(backbone_layers(NETWORK, 1.0))
    arrays = {
        name: array
        for name, array in model_arrays(load_model(run)).items()
        if name.partition("/")[0] in layers
    }
    # All of both sets: what was left out is near to what was not.
    digests = rows["image"].map(
        lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
    )
    write_ultrasound_weights(arrays, digests, output)
    size = output.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"Expected at most {MOST_BYTES} bytes. Received: {size}")
    card = CARD.format(
        version=__version__,
        file_version=VERSION,
        epochs=epochs,
        images=int(rows["taught"].sum()),
    )
    write_text(output.with_suffix(".md"), card)
    print(f"{output}: {size:,} bytes, {len(digests)} digests")


def rows_of(folder: Path, source: str) -> pd.DataFrame:
    """The rows of a set, with whether they are learned from; patients are its own."""
    rows = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    for name in ("image", "mask"):
        paths = [str((folder / path).resolve()) if path else "" for path in rows[name]]
        rows[name] = paths
    rows["taught"] = rows.get("keep", pd.Series("1", rows.index)).eq("1")
    for name in ("patient_id", "group_id"):
        values = rows.get(name, pd.Series("", rows.index))
        rows[name] = values.where(values == "", f"{source}-" + values)
    return rows[[*COLUMNS, "taught"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--run", type=Path, default=Path("runs/ultrasound"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=FILE)
    parser.add_argument("--set", action="append", default=[], dest="more")
    args = parser.parse_args()
    main(args.data, args.run, args.epochs, args.output, args.more)
