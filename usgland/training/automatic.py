"""What `auto` stands for in the settings of training, by machine and training set."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import tensorflow as tf

from usgland.config import Config
from usgland.errors import UserError

# A recipe is never changed for speed where training takes minutes anyway.
SMALL_BATCH, LARGE_BATCH = 16, 64  # images
LARGE_SET = 5000  # training images
PREDICTED_AT_ONCE = 256  # images, on a GPU


class Manner(NamedTuple):
    """How a run is computed on this machine.

    Attributes:
        shared: The GPUs that share each batch; empty where one device has it.
        xla: Whether XLA compiles the steps, which then do not repeat to the digit.
        line: What a GPU changes, to be shown; None where it changes nothing.
    """

    shared: list[str]
    xla: bool
    line: str | None


def usable_gpus() -> list[str]:
    """Names of the GPUs that TensorFlow computes on, e.g. `/device:GPU:0`."""
    return [gpu.name for gpu in tf.config.list_logical_devices("GPU")]


def predicted_at_once(of_processor: int) -> int:
    """Cases of a batch of validation or prediction, on which no result depends."""
    return PREDICTED_AT_ONCE if usable_gpus() else of_processor


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


def settle_lesions(config: Config, marked: int) -> Config:
    """The settings of a new run, without what only marks of lesions teach if none is.

    Args:
        config: Gives `model.lesion_head` and `augmentation.equalize_size`.
        marked: Images that say where their lesion is.
    """
    if marked:
        return config
    model = config.model.model_copy(update={"lesion_head": False})
    augmentation = config.augmentation.model_copy(update={"equalize_size": 0.0})
    return config.model_copy(update={"model": model, "augmentation": augmentation})


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
        most = 1 if config.train.xla is True else min(len(gpus), size // LARGE_BATCH)
        number = max((n for n in range(1, most + 1) if size % n == 0), default=1)
        return gpus[:number] if number > 1 else []
    if asked > 1 and config.train.xla is True:
        raise UserError(
            "train.devices: expected 1 beside train.xla=true, as XLA compiles steps "
            f"of one GPU. Received: {asked}. Leave one of the two out"
        )
    if asked > max(1, len(gpus)):
        few = f"at most the {len(gpus)} GPUs that TensorFlow can use here"
        none = "1, as there is no GPU that TensorFlow can use here"
        raise UserError(
            f"train.devices: expected {few if gpus else none}. Received: {asked}. "
            "`usgland doctor` says what it sees"
        )
    if size % asked:
        raise UserError(
            f"train.batch_size: expected a multiple of train.devices={asked}, so that "
            f"each has as many images. Received: {size}. The nearest is "
            f"{max(1, round(size / asked)) * asked}"
        )
    return gpus[:asked] if asked > 1 else []


def sharing_scope(
    gpus: Sequence[str],
) -> Callable[[], AbstractContextManager[object]]:
    """Makes contexts in which a model is built, and trained, on all of some GPUs.

    Gradients are added up on the first of them, in a fixed order and without a library
    of the driver's. Without GPUs a context changes nothing.
    """
    if not gpus:
        return contextlib.nullcontext
    add = tf.distribute.ReductionToOneDevice(gpus[0])
    return tf.distribute.MirroredStrategy(gpus, cross_device_ops=add).scope


def uses_xla(
    config: Config, gpus: list[str], *, shared: bool = False, repeating: bool = False
) -> bool:
    """Whether XLA compiles the steps; `auto` asks for it where it pays and works.

    XLA lacks operations that repeat: never where the process is bound to these.
    """
    if repeating:
        return False
    if config.train.xla != "auto":
        return config.train.xla
    large = batch_size_of(config) >= LARGE_BATCH
    return large and not shared and bool(gpus) and _xla_works(gpus[0])


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


def choose_manner(
    config: Config, gpus: list[str], *, repeating: bool = False
) -> Manner:
    """How a run with these settings is computed on this machine.

    Args:
        config: Gives `train`.
        gpus: Those of this machine; see `usable_gpus`.
        repeating: Whether an earlier run of this process had to give the same digits
            twice, to which TensorFlow then binds the rest of the process.

    Raises:
        UserError: As of `sharing_gpus`.
    """
    shared = sharing_gpus(config, gpus)
    xla = uses_xla(config, gpus, shared=bool(shared), repeating=repeating)
    size, parts = batch_size_of(config), []
    if shared or (gpus and size >= LARGE_BATCH):
        parts.append(f"batches of {size}")
    if shared:
        parts.append(f"each shared by {len(shared)} GPUs")
    if xla:
        parts.append(
            "steps compiled by XLA (two runs differ in their last digits; "
            "train.xla=false prevents it)"
        )
    elif (
        parts and not shared and config.train.xla == "auto"
    ) or config.train.xla is True:
        reason = "as a run before it in this process must repeat"
        parts.append(
            f"without XLA, {reason if repeating else 'which does not work here'}"
        )
    return Manner(shared, xla, f"Training: {', '.join(parts)}" if parts else None)


@contextlib.contextmanager
def unrepeatable_told() -> Iterator[None]:
    """Makes one line of the error of an operation that does not repeat on a GPU."""
    try:
        yield
    except tf.errors.UnimplementedError as error:
        # Of one within a graph, lines on where it stands come first.
        lines = [
            x.strip() for x in str(error).splitlines() if "determinis" in x.lower()
        ]
        if not lines:
            raise
        raise UserError(
            "Expected operations that give the same digits in every run. Received one "
            f"that does not on this GPU: {lines[0]:.200} Start a new "
            "run with --set train.xla=true: two runs then differ in their last digits"
        ) from error
