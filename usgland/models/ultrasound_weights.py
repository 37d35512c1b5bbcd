"""Starting weights that have seen ultrasound, and which images they have seen.

The file is a part of the package where it was made: scripts/make_ultrasound_weights.py
trains it on BUSI and BrEaST. It holds digests of their images, so that no run that
starts from it is scored on one.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from usgland.config import ULTRASOUND, BackboneName, Config
from usgland.data.sources import ancestry
from usgland.errors import UserError
from usgland.files import write_whole
from usgland.models.weights import read_arrays
from usgland.table_files import show_some

NETWORK: BackboneName = "squeezenet1_1"
# What the preprocessing is that they were trained behind, and how the file is made up.
VERSION = 1
FILE = Path(__file__).parent / "ultrasound_squeezenet1_1.npz"
CAUTION = (
    "model.weights=ultrasound has learned from BUSI and BrEaST. Their files are known "
    "and refused; other copies of their images, as in BreastMNIST, are not known, and "
    "figures on them would be false"
)
MADE_BY = "python scripts/make_ultrasound_weights.py"
ABOUT, DIGESTS = "about/version", "about/image_digests"


def ultrasound_arrays(name: BackboneName) -> dict[str, np.ndarray]:
    """The weights as `{"layer/variable": array}`, float32.

    Raises:
        UserError: If they are of another network or version, or not there.
    """
    if name != NETWORK:
        raise UserError(
            f"`model.weights`: there are ultrasound weights of {NETWORK} alone; use "
            f"it, imagenet, a path or null. Received: 'ultrasound' for {name}"
        )
    arrays = _read()
    layers = {key for key in arrays if not key.startswith("about/")}
    return {key: arrays[key].astype("float32") for key in layers}


def check_unlearned(
    config: Config,
    rows: pd.DataFrame,
    purpose: str = "model.weights: validation and test images",
) -> None:
    """Refuses to score a run that began with these weights on images they know.

    So does a run that began with the weights of such a run.

    Args:
        config: Of the run.
        rows: Manifest rows that it is to be scored on, with `sha256` if images are
            looked at.
        purpose: What the rows are for, as the subject of the error.
    """
    began = any(each.model.weights == ULTRASOUND for each in ancestry(config))
    if not began or "sha256" not in rows:
        return
    known = np.isin(short_digests(rows["sha256"]), _read()[DIGESTS])
    seen = rows.loc[known, "image"]
    if len(seen):
        raise UserError(
            f"{purpose}: expected images that the ultrasound weights have not learned "
            f"from (BUSI and BrEaST). Received {len(seen)} that they have: "
            f"{show_some(seen.to_list())}; start from imagenet"
        )


def short_digests(sha256: pd.Series) -> np.ndarray:
    """The first 64 bits of each digest, which no two of a million images share."""
    return np.array([int(text[:16], 16) for text in sha256], "uint64")


def write_ultrasound_weights(
    arrays: dict[str, np.ndarray], sha256: pd.Series, path: Path
) -> None:
    """Writes weights in half precision, with the digests of the images they know."""
    halves = {key: array.astype("float16") for key, array in arrays.items()}
    about = {
        ABOUT: np.array(VERSION),
        DIGESTS: np.unique(short_digests(sha256)),
    }
    with write_whole(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **halves, **about)


def _read() -> dict[str, np.ndarray]:
    if not FILE.exists():
        raise UserError(
            f"model.weights=ultrasound: expected {FILE}. Received: no such file, as "
            f"this package came without; `{MADE_BY}` makes it from BUSI and BrEaST, or "
            "use imagenet"
        )
    arrays = read_arrays(FILE)
    version = int(arrays[ABOUT]) if ABOUT in arrays and DIGESTS in arrays else None
    if version != VERSION:
        raise UserError(
            f"model.weights=ultrasound: expected version {VERSION} of {FILE}. "
            f"Received: {version}; make it again by `{MADE_BY}`, or use imagenet"
        )
    return arrays
