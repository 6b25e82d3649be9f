"""How the tests share two processes: a file's tests stay together, and so do those on the built warehouse."""

from __future__ import annotations

import pytest

BUILT_ONCE = {"built", "published"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        uses_built = BUILT_ONCE & set(getattr(item, "fixturenames", ()))
        group = "built warehouse" if uses_built else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
