"""The state between two epochs, all that `--resume` needs, in one file."""

import json
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from usgland.errors import UserError
from usgland.files import write_whole

Weights = list[np.ndarray]
# What a damaged file raises; TypeError: its record is not ours.
DAMAGED = (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error)


@dataclass
class State:
    """Where training stands after some epochs.

    Attributes:
        epoch: Epochs done, which is the number of the next one.
        history: One row an epoch.
        best_epoch: The epoch whose weights are kept so far, or None.
        best_score: Its value of the monitored metric.
        seconds: Time spent training, all attempts together.
        weights: Lists of arrays: `model`, `optimizer`, `average` and `best`.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float | None = None
    seconds: float = 0.0
    weights: dict[str, Weights] = field(default_factory=dict)


def save_state(state: State, folder: Path) -> None:
    """Writes the state, then drops the one before."""
    path = folder / f"epoch-{state.epoch:05d}.npz"
    record = {k: v for k, v in asdict(state).items() if k != "weights"}
    arrays = {
        f"{group}/{i:05d}": array
        for group, weights in state.weights.items()
        for i, array in enumerate(weights)
    }
    with write_whole(path) as temporary:
        np.savez(
            temporary, allow_pickle=False, record=np.array(json.dumps(record)), **arrays
        )
    for other in folder.glob("epoch-*.npz"):
        if other != path:
            other.unlink()


def load_state(folder: Path) -> State:
    """Reads the newest state; a new one where there is none.

    Raises:
        UserError: If the file is corrupt.
    """
    paths = sorted(folder.glob("epoch-*.npz"))
    if not paths:
        return State()
    try:
        # NumPy leaves a file that it opened itself open if it is damaged.
        with paths[-1].open("rb") as file, np.load(file) as arrays:
            state = State(**json.loads(str(arrays["record"])))
            for name in sorted(arrays.files):
                group, slash, _ = name.partition("/")
                if slash:
                    state.weights.setdefault(group, []).append(arrays[name])
    except DAMAGED as error:
        raise UserError(
            f"Expected a checkpoint in {paths[-1]}. Received a damaged file; delete it "
            "to start this run again from its first epoch"
        ) from error
    return state
