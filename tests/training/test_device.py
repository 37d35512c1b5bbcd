"""What is computed on, in which precision, and what is said of a full memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland import machine, nvidia
from usgland.config import Config, load_config
from usgland.errors import UserError
from usgland.machine import automatic_precision
from usgland.training import device

H200 = {"device_name": "NVIDIA H200", "compute_capability": (9, 0)}
T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
OOM = (
    "Graph execution error:\n\nOOM when allocating tensor with shape[16,64,55,55] and "
    "type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"
)


@pytest.fixture
def gpus(monkeypatch):
    """Makes TensorFlow see cards of these details."""

    def see(*details):
        cards = list(range(len(details)))
        for name in ("get_visible_devices", "list_physical_devices"):
            monkeypatch.setattr(tf.config, name, lambda kind: cards)
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda card: details[card]
        )

    return see


@pytest.fixture
def processor(monkeypatch):
    """Makes a processor with or without bfloat16, and `auto` mean what it does."""

    def make(*, bfloat16, cores=2):
        monkeypatch.setattr(machine, "has_bfloat16", lambda: bfloat16)
        monkeypatch.setattr(machine, "usable_cores", lambda: cores)
        monkeypatch.setattr(machine, "automatic_precision", automatic_precision)

    return make


def test_the_first_line_names_the_cards_or_the_cores(gpus, processor):
    processor(bfloat16=True)
    assert device.describe_device("float32") == "CPU, 2 cores, float32"
    assert device.describe_device("mixed_bfloat16") == "CPU, 2 cores, bfloat16"
    processor(bfloat16=False, cores=1)
    assert device.describe_device("float32") == "CPU, 1 core, float32"
    assert device.describe_device("mixed_bfloat16") == (
        "CPU, 1 core, bfloat16, which this processor imitates slowly"
    )
    gpus(H200)
    assert device.describe_device("float32") == "1 x NVIDIA H200, float32"
    gpus(H200, T4, H200)
    assert device.describe_device("mixed_float16") == (
        "1 x NVIDIA H200 (of 3 GPUs), float16"
    )


def test_auto_is_the_precision_that_the_hardware_has(gpus, processor):
    auto = Config()
    assert auto.train.precision == "auto"
    processor(bfloat16=True)
    assert device.taken_precision(auto) == "mixed_bfloat16"
    form = load_config(None, ["model.inputs=clinical"])
    assert device.taken_precision(form) == "float32"
    fixed = load_config(None, ["train.precision=float32"])
    assert device.taken_precision(fixed) == "float32"
    gpus(T4)
    assert device.taken_precision(auto) == "float32"
    gpus(H200)
    assert device.taken_precision(auto) == "mixed_bfloat16"
    gpus({})  # of a GPU that says nothing
    assert device.taken_precision(auto) == "float32"
    settled = device.settle_precision(fixed)
    assert settled == fixed


def idle_cards(monkeypatch, **changes):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cards = nvidia.Cards(("NVIDIA H200",), "550.54.15", nodes=1, on_bus=1)
    monkeypatch.setattr(nvidia, "read_cards", lambda: cards._replace(**changes))


def test_an_idle_card_is_one_warning_with_what_mends_it(monkeypatch, capsys, gpus):
    monkeypatch.setattr(nvidia, "missing_cuda_packages", lambda: ("nvidia-x-cu12",))
    idle_cards(monkeypatch)
    said = []
    device.show_device(said.append, "mixed_bfloat16")
    assert len(said) == 1 and said[0].startswith("CPU, ")
    assert capsys.readouterr().err == (
        "Warning: 1 x NVIDIA H200 idle: CUDA's libraries are not installed "
        "(nvidia-x-cu12). To mend it: `bash scripts/install --gpu`\n"
    )
    gpus(H200)
    device.show_device(said.append)
    assert said[1] == "1 x NVIDIA H200, float32"
    assert capsys.readouterr().err == ""


def test_a_card_that_was_hidden_as_the_advice_says_needs_no_warning(monkeypatch):
    idle_cards(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES=-1" in device.ROOM_ADVICE
    assert device.idle_warning() is None
    idle_cards(monkeypatch, visible="9")
    assert "hides it" in device.idle_warning()


def test_a_tensorflow_without_cuda_is_the_reason(monkeypatch):
    idle_cards(monkeypatch)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"cuda_version": "12"})
    assert "was built without CUDA" in device.idle_warning()


def test_float32_is_not_rounded_to_tf32():
    device.open_devices()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_full_memory_is_one_line_with_what_to_do():
    expected = (
        r"^Expected room for a tensor of shape\[16,64,55,55\] in the memory of the "
        "machine. Received: it is full. Do this$"
    )
    with (
        pytest.raises(UserError, match=expected),
        device.memory_errors_told(lambda: "Do this"),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, OOM)
    with (
        pytest.raises(UserError, match="it is full. End other programs that use it"),
        device.memory_errors_told(),
    ):
        raise tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of")


def test_tensorflow_itself_says_so_of_a_tensor_that_is_too_large():
    with pytest.raises(UserError, match="room for a tensor of shape"):  # noqa: SIM117
        with device.memory_errors_told():
            tf.zeros((1 << 20, 1 << 20, 1 << 8))


@pytest.mark.parametrize(
    "words",
    ["CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED", "Out of memory"],
)
def test_what_the_libraries_of_cuda_call_a_full_memory_is_one(words):
    assert device.is_out_of_memory(tf.errors.InternalError(None, None, words))


def test_a_process_that_must_repeat_stays_so():
    device.prepare_devices(0)
    device.prepare_devices(0, deterministic=False)
    assert device.must_repeat()


def test_other_errors_of_tensorflow_stay_what_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError), device.memory_errors_told():
        raise tf.errors.InvalidArgumentError(None, None, "no such shape")


def test_the_batch_size_to_try_is_half_of_the_present_one(tmp_path):
    assert device.batch_advice(16, tmp_path) == (
        "Repeat the command with --set train.batch_size=8"
    )
    assert device.batch_advice(1, tmp_path) == (
        "Repeat the command with a smaller preprocessing.image_size or model.backbone"
    )
    assert "train.batch_size=9" in device.batch_advice(18, tmp_path, devices=3)
    assert "train.batch_size=6" in device.batch_advice(15, tmp_path, devices=3)
    assert "a smaller preprocessing" in device.batch_advice(3, tmp_path, devices=3)
    (tmp_path / "epoch-00001.npz").touch()
    assert device.batch_advice(3, tmp_path) == (
        "The epochs before are kept: end other programs that use the memory, then add "
        "--resume; or start a new run with --set train.batch_size=1"
    )


class Hungry(keras.Model):
    """Answers 0 to a batch, and has no memory for more than some cases."""

    most = 5

    def _resolve_auto_jit_compile(self):
        return True  # as Keras decides on a GPU

    def call(self, inputs):
        return keras.ops.zeros((keras.ops.shape(inputs)[0], 1))

    def predict(self, dataset, verbose):
        sizes = [len(keras.tree.flatten(batch)[0]) for batch in dataset]
        if max(sizes) > self.most:
            raise tf.errors.ResourceExhaustedError(None, None, OOM)
        return np.concatenate([np.zeros((size, 1)) for size in sizes])


def test_prediction_takes_smaller_batches_where_the_memory_is_small(monkeypatch):
    from usgland.training.predict import apply_network

    network, inputs = Hungry(), np.zeros((40, 3), "float32")
    assert apply_network(network, inputs).shape == (40, 1)
    assert network.jit_compile is False
    monkeypatch.setattr(Hungry, "most", 0)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        apply_network(network, inputs)
