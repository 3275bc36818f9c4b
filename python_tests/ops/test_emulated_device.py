"""The emulated CUDA device detects memory faults and missing barriers."""

import ctypes

import pytest
from emulated import BACKWARD, FORWARD, LIBRARY, RANDOM, device

pytestmark = pytest.mark.skipif(not LIBRARY, reason="needs REID_EXT_EMULATED")


@pytest.fixture(name="device")
def emulated_device():
    return device()


def launched(fault):
    """Return the error text, empty without an error, and the values that the kernel wrote."""
    library, out = ctypes.CDLL(LIBRARY), (ctypes.c_int * 256)()
    library.emulated_fault.restype = ctypes.c_char_p
    return library.emulated_fault(fault.encode(), out).decode(), list(out)


@pytest.mark.parametrize("order", [FORWARD, BACKWARD, RANDOM])
@pytest.mark.parametrize(
    "fault, error",
    [
        ("half at barrier", "128 threads of a block have returned, thread 0 waits for them"),
        ("two barriers", "some threads wait at"),
        ("lane leaves", "threads of a block have returned, thread 0 waits for them"),
        ("half a warp", "a shuffle must be of a full warp"),
        ("too much shared", "more shared memory than available"),
        ("empty grid", "invalid configuration argument"),
        ("large block", "invalid configuration argument"),
        ("no guard", "without a device guard"),
        ("other stream", "another stream than torch's current one"),
        ("not checked", "the launch before this one was not checked"),
    ],
)
def test_emulated_device_raises_for_a_fault(fault, error, order, device):
    device.set(order)
    assert error in launched(fault)[0]


@pytest.mark.parametrize("order", [FORWARD, BACKWARD, RANDOM])
def test_emulated_device_gives_one_result_without_a_fault(order, device):
    device.set(order)
    assert launched("none") == ("", [*range(1, 256), 0])


def test_emulated_device_detects_a_missing_barrier(device):
    results = []
    for order in (FORWARD, BACKWARD):
        device.set(order)
        results.append(launched("no barrier")[1])
    assert results[0] != results[1]
    assert -1 in results[0]  # the initial value of shared memory
