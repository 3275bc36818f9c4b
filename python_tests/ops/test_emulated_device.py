"""The emulated CUDA device finds the faults that it is there for."""

import ctypes

import pytest
from emulated import BACKWARD, FORWARD, LIBRARY, RANDOM, device

pytestmark = pytest.mark.skipif(not LIBRARY, reason="needs REID_EXT_EMULATED")


@pytest.fixture(name="device")
def emulated_device():
    return device()


def launched(fault):
    """The error, or nothing, and what the kernel wrote."""
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
def test_fault_is_an_error(fault, error, order, device):
    device.set(order)
    assert error in launched(fault)[0]


@pytest.mark.parametrize("order", [FORWARD, BACKWARD, RANDOM])
def test_kernel_without_fault_has_one_result(order, device):
    device.set(order)
    assert launched("none") == ("", [*range(1, 256), 0])


def test_missing_barrier_shows_between_orders(device):
    results = []
    for order in (FORWARD, BACKWARD):
        device.set(order)
        results.append(launched("no barrier")[1])
    assert results[0] != results[1]
    assert -1 in results[0]  # what shared memory begins as
