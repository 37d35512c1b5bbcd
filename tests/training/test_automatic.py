"""What `auto` stands for, with GPUs that are named and need not be there."""

import pytest
import tensorflow as tf

from usgland.config import load_config
from usgland.errors import UserError
from usgland.training.automatic import (
    batch_size_of,
    choose_manner,
    settle_batch,
    settle_lesions,
    sharing_gpus,
    unrepeatable_told,
    uses_xla,
)

# How TensorFlow words an error of an operation within a `tf.function`.
IN_A_GRAPH = """Graph execution error:

Detected at node map/while/DenseBincount defined at (most recent call last):
  File "training.py", line 7, in step

{}
\t [[{{{{node map/while/DenseBincount}}}}]] [Op:__inference_step_42]"""
TWO = ["/device:GPU:0", "/device:GPU:1"]


def config_of(*overrides):
    return load_config(None, overrides)


@pytest.mark.parametrize(
    ("overrides", "images", "gpus", "expected"),
    [
        ((), 5000, 1, 64),
        ((), 4999, 1, 16),  # a small set keeps its recipe on a GPU
        ((), 200_000, 0, 16),  # and a processor keeps it for any set
        (("train.batch_size=24",), 5000, 1, 24),
        (("model.inputs=clinical",), 5000, 1, 16),
    ],
)
def test_only_a_large_set_on_a_gpu_has_larger_batches(
    overrides, images, gpus, expected
):
    config = settle_batch(config_of(*overrides), images, gpus=gpus)
    assert config.train.batch_size == expected
    # No other setting of the recipe goes with it.
    changed = config.model_dump()
    changed["train"]["batch_size"] = config_of(*overrides).train.batch_size
    assert changed == config_of(*overrides).model_dump()


def test_what_marks_teach_is_left_out_where_there_are_none():
    config = config_of()
    assert settle_lesions(config, 1) == config
    settled = settle_lesions(config, 0)
    assert not settled.has_lesion_head
    expected = config.model_dump()
    expected["model"]["lesion_head"] = False
    expected["augmentation"]["equalize_size"] = 0
    assert settled.model_dump() == expected


def test_settings_that_nothing_settled_have_the_batches_of_a_small_set():
    assert batch_size_of(config_of()) == 16
    assert batch_size_of(config_of("train.batch_size=7")) == 7


@pytest.mark.parametrize(
    ("batch_size", "devices", "gpus", "expected"),
    [
        (16, "auto", 2, 0),
        (64, "auto", 1, 0),
        (64, "auto", 0, 0),
        (64, "auto", 2, 0),  # each would have 32 images
        (128, "auto", 2, 2),
        (256, "auto", 3, 2),  # three would have 85 and a third
        (192, "auto", 3, 3),
        (16, 2, 2, 2),
        (16, 1, 2, 0),
        (16, 1, 0, 0),
    ],
)
def test_gpus_share_large_batches_or_what_they_are_told_to(
    batch_size, devices, gpus, expected
):
    config = config_of(f"train.batch_size={batch_size}", f"train.devices={devices}")
    names = [f"/device:GPU:{number}" for number in range(gpus)]
    assert sharing_gpus(config, names) == names[:expected]


def test_more_gpus_than_there_are_is_an_error():
    with pytest.raises(UserError, match=r"at most the 2 GPUs .* Received: 4. `usgland"):
        sharing_gpus(config_of("train.devices=4", "train.batch_size=64"), TWO)
    with pytest.raises(
        UserError, match=r"expected 1, as there is no GPU .* Received: 2\. `usg"
    ):
        sharing_gpus(config_of("train.devices=2"), [])


def test_a_batch_that_cannot_be_shared_out_is_an_error_with_the_nearest_that_can():
    config = config_of("train.devices=2", "train.batch_size=17")
    with pytest.raises(UserError, match=r"multiple of train.devices=2.*17.*is 16"):
        sharing_gpus(config, TWO)
    config = config_of("train.devices=2", "train.batch_size=1")
    with pytest.raises(UserError, match=r"Received: 1. The nearest is 2"):
        sharing_gpus(config, TWO)


@pytest.mark.parametrize(
    ("xla", "batch_size", "gpus", "expected"),
    [
        ("auto", 64, ["/device:CPU:0"], True),  # this processor stands for a GPU
        ("auto", 16, ["/device:CPU:0"], False),
        ("auto", 64, [], False),
        ("true", 16, [], True),
        ("false", 64, ["/device:CPU:0"], False),
    ],
)
def test_xla_is_taken_where_it_pays_and_works(xla, batch_size, gpus, expected):
    config = config_of(f"train.xla={xla}", f"train.batch_size={batch_size}")
    assert uses_xla(config, gpus) is expected


def test_xla_without_its_libraries_is_left_out(monkeypatch):
    def fail(values):
        raise tf.errors.InternalError(None, None, "libdevice not found")

    monkeypatch.setattr("usgland.training.automatic.tf.exp", fail)
    assert not uses_xla(config_of("train.batch_size=64"), ["/device:CPU:0"])


@pytest.mark.parametrize("xla", ["auto", "true"])
def test_xla_is_off_in_a_process_that_is_bound_to_what_repeats(xla):
    config = config_of("train.batch_size=64", f"train.xla={xla}")
    assert choose_manner(config, ["/device:CPU:0"]).xla
    manner = choose_manner(config, ["/device:CPU:0"], repeating=True)
    assert not manner.xla
    assert manner.line == (
        "Training: batches of 64, without XLA, as a run before it in this process must "
        "repeat"
    )
    off = config_of("train.batch_size=64", "train.xla=false")
    line = choose_manner(off, ["/device:CPU:0"], repeating=True).line
    assert line == "Training: batches of 64"


def test_xla_and_shared_batches_exclude_one_another():
    config = config_of("train.devices=2", "train.batch_size=64", "train.xla=true")
    with pytest.raises(
        UserError, match=r"beside train.xla=true, .* Received: 2. Leave"
    ):
        sharing_gpus(config, TWO)
    manner = choose_manner(config_of("train.batch_size=128", "train.xla=true"), TWO)
    assert (manner.shared, manner.xla) == ([], True)
    manner = choose_manner(config_of("train.batch_size=128"), TWO)
    assert (manner.shared, manner.xla) == (TWO, False)


def test_one_line_says_what_a_gpu_changes_and_a_small_set_needs_none(monkeypatch):
    small, large = config_of(), config_of("train.batch_size=64")
    assert choose_manner(small, TWO) == ([], False, None)
    assert choose_manner(large, []) == ([], False, None)
    assert choose_manner(large, ["/device:CPU:0"]).line == (
        "Training: batches of 64, steps compiled by XLA (two runs differ in their last "
        "digits; train.xla=false prevents it)"
    )
    two = choose_manner(config_of("train.batch_size=128"), TWO)
    assert two.line == "Training: batches of 128, each shared by 2 GPUs"
    off = choose_manner(config_of("train.batch_size=64", "train.xla=false"), TWO)
    assert off.line == "Training: batches of 64"
    monkeypatch.setattr("usgland.training.automatic._xla_works", lambda device: False)
    without = choose_manner(large, TWO)
    assert without.line == (
        "Training: batches of 64, without XLA, which does not work here"
    )


def test_an_operation_that_does_not_repeat_becomes_one_line():
    message = "Determinism is not yet supported in GPU implementation of DenseBincount."
    expected = f"on this GPU: {message} Start a new run with --set train.xla=true"
    with pytest.raises(UserError, match=expected) as caught, unrepeatable_told():
        raise tf.errors.UnimplementedError(None, None, IN_A_GRAPH.format(message))
    assert "\n" not in str(caught.value)
    with pytest.raises(tf.errors.UnimplementedError), unrepeatable_told():
        raise tf.errors.UnimplementedError(None, None, "no complex numbers")
