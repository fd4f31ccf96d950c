"""The order of the tests: what takes longest begins first, so that no process waits for another's last test."""

from collections import Counter

import pytest


@pytest.hookimpl(trylast=True)  # after tests were deselected
def pytest_collection_modifyitems(items):
    """Puts first the files whose tests have the most time, then those of most long tests, then the runs of `tests`."""
    patience, long = {}, Counter()
    for item in items:
        given = item.get_closest_marker("timeout")
        patience[item.path] = max(patience.get(item.path, 0), given.args[0] if given else 0)
        long[item.path] += item.get_closest_marker("long") is not None
    items.sort(key=lambda item: (-patience[item.path], -long[item.path], len(item.path.parts)))
