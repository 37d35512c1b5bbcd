"""Messages of gRPC that say more of themselves than they hold."""

import pytest

from usgland.serving.interface.request_wire import WireTensor, _Budget, _tensor
from usgland.serving.interface.status import RequestError


def test_a_number_is_no_text():
    # string_val (8) as a number: as bytes, that many zeros.
    message = b"\x08\x07\x40\xff\xff\xff\xff\x0f"
    with pytest.raises(RequestError, match="damaged|Expected"):
        _tensor(_Budget(9), memoryview(message))
    assert isinstance(_tensor(_Budget(9), memoryview(b"\x42\x02ab")), WireTensor)
