"""What `auto` stands for in the settings of training, by machine and training set."""

import tensorflow as tf

from usgland.config import Config
from usgland.errors import UserError

# A recipe is never changed for speed where training takes minutes anyway.
SMALL_BATCH, LARGE_BATCH = 16, 64  # images
LARGE_SET = 5000  # training images
PREDICTED_AT_ONCE = {"CPU": 32, "GPU": 256}  # images; no result depends on them


def usable_gpus() -> list[str]:
    """Names of the GPUs that TensorFlow computes on, e.g. `/device:GPU:0`."""
    return [gpu.name for gpu in tf.config.list_logical_devices("GPU")]


def settle_batch(config: Config, images: int, *, gpus: int) -> Config:
    """The settings of a new run, which keeps its batch size wherever it is resumed.

    The learning rate and the moving average count in steps and stay as they are: a set
    of this size has more steps an epoch, of the larger batch, than those that the rate
    was chosen on.

    Args:
        config: Its `train.batch_size` may be `auto`.
        images: In the training part.
        gpus: That TensorFlow computes on.
    """
    if config.train.batch_size != "auto":
        return config
    large = gpus > 0 and images >= LARGE_SET and config.model.inputs != "clinical"
    size = LARGE_BATCH if large else SMALL_BATCH
    train = config.train.model_copy(update={"batch_size": size})
    return config.model_copy(update={"train": train})


def batch_size_of(config: Config) -> int:
    """Images a step; of settings that nothing has settled, those of a small set."""
    size = config.train.batch_size
    return SMALL_BATCH if size == "auto" else size


def sharing_gpus(config: Config, gpus: list[str]) -> list[str]:
    """The GPUs that share the batches of a run; none where there is no more than one.

    Args:
        config: Gives `train.devices` and the batch size.
        gpus: Those of this machine; see `usable_gpus`.

    Raises:
        UserError: If there are fewer than asked for, or a batch cannot be shared out.
    """
    size, asked = batch_size_of(config), config.train.devices
    if asked == "auto":
        most = len(gpus) if size >= LARGE_BATCH else 1
        asked = max((n for n in range(1, most + 1) if size % n == 0), default=1)
    elif asked > max(1, len(gpus)):
        raise UserError(
            f"train.devices: expected at most the {len(gpus)} GPUs that TensorFlow can "
            f"use here. Received: {asked}. `usgland doctor` says what it sees"
        )
    elif size % asked:
        raise UserError(
            f"train.batch_size: expected a multiple of train.devices={asked}, so that "
            f"each has as many images. Received: {size}. The nearest is "
            f"{max(1, round(size / asked)) * asked}"
        )
    return gpus[:asked] if asked > 1 else []


def uses_xla(config: Config, gpus: list[str]) -> bool:
    """Whether XLA compiles the steps; `auto` asks for it where it pays and works."""
    if config.train.xla != "auto":
        return config.train.xla
    return bool(gpus) and batch_size_of(config) >= LARGE_BATCH and _xla_works(gpus[0])


def _xla_works(device: str) -> bool:
    """Whether XLA finds its compiler and libraries, which wheels of CUDA may lack."""

    @tf.function(jit_compile=True)
    def small(values):
        return tf.reduce_sum(tf.exp(values))

    try:
        with tf.device(device):
            small(tf.zeros(8)).numpy()
    except tf.errors.OpError:
        return False
    return True


def describe_automatic(
    config: Config, gpus: list[str], *, xla: bool, shared: int
) -> str | None:
    """One line on what a GPU changes in training; None where it changes nothing."""
    size, parts = batch_size_of(config), []
    if gpus and size >= LARGE_BATCH:
        parts.append(f"batches of {size}")
    if shared > 1:
        parts.append(f"shared by {shared} GPUs")
    if xla:
        parts.append(
            "steps compiled by XLA (two runs differ in their last digits; "
            "train.xla=false prevents it)"
        )
    elif gpus and size >= LARGE_BATCH and config.train.xla == "auto":
        parts.append("without XLA, which does not work here")
    return f"Training in {', '.join(parts)}" if parts else None
