"""The arrays of a PyTorch file, read without PyTorch and without running what it holds.

Such a file is a pickle, which can name any function to be called. Here it may only name
those that a table of tensors needs, and each of them is ours.
"""

import collections
import io
import pickle
from typing import Any

import numpy as np

# First of the pickles in a file as `torch.save` wrote it before version 1.6.
MAGIC = 0x1950A86A20F9469CFC6C
PICKLES = 3  # of what follows: version, machine and the table itself
TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def read_torch_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Reads the table of tensors that `torch.save` wrote before version 1.6.

    Raises:
        ValueError: If it is none, is cut, or names anything else than tensors.
    """
    stream = io.BytesIO(content)
    try:
        if _Tensors(stream).load() != MAGIC:
            raise ValueError("no file of torch.save before version 1.6")
        *_, table = (_Tensors(stream).load() for _ in range(PICKLES))
        keys = _Tensors(stream).load()
        storages = {}
        types = {tensor.key: tensor.dtype for tensor in table.values()}
        for key in keys:
            count = int.from_bytes(stream.read(8), "little")
            dtype = np.dtype(types[key])
            data = stream.read(count * dtype.itemsize)
            storages[key] = np.frombuffer(data, dtype, count)
        return {name: tensor.array(storages) for name, tensor in table.items()}
    except (
        pickle.UnpicklingError,
        *(AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError),
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"no readable table of tensors ({reason})") from error


class _Tensor:
    """Where in which storage a tensor lies."""

    def __init__(
        self,
        storage: tuple[str, str],
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
    ):
        self.dtype, self.key = storage
        self.offset, self.shape, self.strides = offset, shape, strides

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        values = storages[self.key]
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((side - 1) * step for side, step in steps)
        inside = min(self.offset, *self.strides, 0) >= 0 and last < len(values)
        if not inside or min(self.shape, default=1) < 1:
            raise ValueError("a tensor beyond its storage")
        strides = [step * values.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(
            values[self.offset :], self.shape, strides, writeable=False
        )
        return np.ascontiguousarray(view)


class _Tensors(pickle.Unpickler):
    """Makes nothing but tables and `_Tensor`s."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, dtype, key, *_ = pid  # the word "storage", then where the values lie
        return dtype, key
