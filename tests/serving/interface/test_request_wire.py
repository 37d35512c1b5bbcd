"""Messages of gRPC that say more of themselves than they hold."""

import pytest

from usgland.serving.interface.picture_headers import area_of
from usgland.serving.interface.request_wire import WireTensor, _Budget, _tensor
from usgland.serving.interface.status import RequestError


def test_a_number_is_no_text():
    # string_val (8) as a number: as bytes, that many zeros.
    message = b"\x08\x07\x40\xff\xff\xff\xff\x0f"
    with pytest.raises(RequestError, match="damaged|Expected"):
        _tensor(_Budget(), memoryview(message))
    assert isinstance(_tensor(_Budget(), memoryview(b"\x42\x02ab")), WireTensor)


def test_a_header_is_not_searched_byte_by_byte():
    jpeg = (
        b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08\x00\x07\x00\x09" + bytes(9)
    )
    assert area_of(jpeg) == 63
    assert area_of(b"\xff\xd8" + bytes(2**20)) == 0
    assert area_of(b"\xff\xd8" + b"\xff" * 2**20) == 0
