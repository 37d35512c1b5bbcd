"""A PyTorch file as its format says it is, written here byte by byte."""

import pickle
import struct

import numpy as np
import pytest

from usgland.models.torch_file import MAGIC, read_torch_arrays


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def table(
    tensors, kind="FloatStorage", module="torch._utils", name="_rebuild_tensor_v2"
):
    """The pickle of a table: name -> (key, offset, shape, strides)."""
    out = b"\x80\x02}("
    for key, (storage, offset, shape, strides) in tensors.items():
        out += text(key) + f"c{module}\n{name}\n(".encode()
        out += b"(" + text("storage") + f"ctorch\n{kind}\n".encode()
        out += text(storage) + text("cpu") + b"K\x00Nt" + b"Q"
        out += pickle.dumps(offset, 2)[2:-1]
        out += pickle.dumps(shape, 2)[2:-1] + pickle.dumps(strides, 2)[2:-1]
        out += b"\x89}tR"
    return out + b"u."


def torch_file(tensors, storages, **options):
    first = [MAGIC, 1001, {"little_endian": True}]
    content = b"".join(pickle.dumps(part, 2) for part in first)
    content += table(tensors, **options) + pickle.dumps(list(storages), 2)
    for values in storages.values():
        content += struct.pack("<q", len(values)) + values.tobytes()
    return content


VALUES = np.arange(24, dtype="<f4")


def test_tensors_are_read_whole_turned_or_as_parts_of_a_storage():
    tensors = {
        "whole": ("1", 0, (2, 3, 4), (12, 4, 1)),
        "turned": ("1", 0, (4, 3, 2), (1, 4, 12)),
        "part": ("1", 5, (3,), (2,)),
    }
    arrays = read_torch_arrays(torch_file(tensors, {"1": VALUES}))
    expected = VALUES.reshape(2, 3, 4)
    np.testing.assert_array_equal(arrays["whole"], expected)
    np.testing.assert_array_equal(arrays["turned"], expected.transpose(2, 1, 0))
    np.testing.assert_array_equal(arrays["part"], [5, 7, 9])
    assert arrays["turned"].flags.c_contiguous and arrays["whole"].dtype == "float32"


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("torch._utils", "_rebuild_qtensor")],
)
def test_nothing_but_tensors_is_made(module, name):
    content = torch_file(
        {"w": ("1", 0, (2,), (1,))}, {"1": VALUES}, module=module, name=name
    )
    with pytest.raises(ValueError, match=f"it names {module}.{name}"):
        read_torch_arrays(content)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (25,), (1,)),
        (20, (5,), (1,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (0,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(offset, shape, strides):
    content = torch_file({"w": ("1", offset, shape, strides)}, {"1": VALUES})
    with pytest.raises(ValueError, match="a tensor beyond its storage"):
        read_torch_arrays(content)


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 150, -1, -60])
def test_a_file_that_is_cut_or_another_is_refused(cut):
    content = torch_file({"w": ("1", 0, (24,), (1,))}, {"1": VALUES})
    for damaged in (content[:cut], b"PK\3\4" + content, pickle.dumps([1, 2])):
        with pytest.raises(ValueError, match="no readable table of tensors"):
            read_torch_arrays(damaged)
