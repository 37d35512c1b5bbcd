"""The state between two epochs: exact, whole, and named when it is damaged."""

import math
import zipfile

import numpy as np
import pytest

from usgland.errors import UserError
from usgland.training.checkpoint import State, load_state, save_state


def state_of(epoch, score=0.1):
    return State(
        epoch=epoch,
        history=[{"epoch": 0, "loss": 1 / 3, "auc": math.nan}],
        best_epoch=0,
        best_score=score,
        seconds=1.5,
        weights={
            "model": [np.float32([[1, 2], [3, 1e-30]]), np.uint32([7, 8])],
            "optimizer": [np.int64(3), *(np.full(1, i) for i in range(12))],
            "average": [],
        },
    )


def damaged(path, how):
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "no archive":
        path.write_bytes(b"once upon a time " * 100)
    elif how == "a byte changed":
        middle = content.index(np.float32([1, 2]).tobytes())
        path.write_bytes(content[:middle] + b"\xff" + content[middle + 1 :])
    elif how == "another record":
        np.savez(path, record=np.array('{"epochs": 3}'))
    elif how == "no record":
        np.savez(path, weights=np.ones(3))
    elif how == "an archive of text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("record.npy", "text")


def test_a_state_is_read_back_to_the_last_digit_in_its_order(tmp_path):
    state = state_of(1)
    save_state(state, tmp_path / "checkpoint")
    again = load_state(tmp_path / "checkpoint")
    assert again.epoch == 1 and again.best_epoch == 0 and again.seconds == 1.5
    assert repr(again.history) == repr(state.history)
    for group in ("model", "optimizer"):
        for saved, read in zip(state.weights[group], again.weights[group], strict=True):
            np.testing.assert_array_equal(saved, read)
            assert np.asarray(saved).dtype == read.dtype


def test_a_best_score_that_is_undefined_stays_undefined(tmp_path):
    save_state(state_of(1, math.nan), tmp_path)
    assert math.isnan(load_state(tmp_path).best_score)


def test_where_nothing_was_saved_training_begins(tmp_path):
    assert load_state(tmp_path / "none") == State()


def test_only_the_newest_state_is_kept(tmp_path):
    for epoch in (9, 10, 11):
        save_state(state_of(epoch), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00011.npz"]
    assert load_state(tmp_path).epoch == 11


def test_of_two_states_the_newer_counts(tmp_path):
    # A process that was killed before it dropped the older file leaves both.
    save_state(state_of(100), tmp_path / "other")
    save_state(state_of(99), tmp_path)
    (tmp_path / "other" / "epoch-00100.npz").rename(tmp_path / "epoch-00100.npz")
    assert load_state(tmp_path).epoch == 100


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "cut short",
        "no archive",
        "a byte changed",
        "another record",
        "no record",
        "an archive of text",
    ],
)
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path, how):
    save_state(state_of(3), tmp_path)
    path = tmp_path / "epoch-00003.npz"
    damaged(path, how)
    with pytest.raises(UserError, match=f"Expected a checkpoint in {path}. Received a"):
        load_state(tmp_path)
    with pytest.raises(UserError, match="delete it to start this run again from its"):
        load_state(tmp_path)
