"""Adds markers to tests, and prints how many slow tests were left out."""

import pytest

SLOW_LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(items):
    """Mark tests on device "cuda" as cuda, and tests of process groups as distributed and slow."""
    for item in items:
        if hasattr(item, "callspec") and item.callspec.params.get("device") == "cuda":
            item.add_marker("cuda")
        if "in_processes" in item.fixturenames:
            item.add_marker("distributed")
            item.add_marker("slow")


def pytest_deselected(items):
    if not items:  # pytest --last-failed calls this with an empty list
        return
    stash = items[0].config.stash
    slow = sum(item.get_closest_marker("slow") is not None for item in items)
    stash[SLOW_LEFT_OUT] = stash.get(SLOW_LEFT_OUT, 0) + slow


def pytest_terminal_summary(terminalreporter, config):
    number = config.stash.get(SLOW_LEFT_OUT, 0)
    if number and "slow" in config.option.markexpr:
        left_out = f"{number} slow tests were left out; run them with: pytest -m slow"
        terminalreporter.write_line(left_out)
