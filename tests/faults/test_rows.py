"""docs/faults.md says where each row is held; this holds it to that."""

from __future__ import annotations

import re

from ingestion.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "tests" / "faults"
PROMISED = {f"{row:02}" for row in range(1, 18)} | {"22", "23"}


def test_every_row_of_the_page_has_tests_where_it_says_and_every_test_a_row() -> None:
    page = (PROJECT_ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d\d) \|(.*)$", page, re.MULTILINE))
    tests = {
        file.name: set(re.findall(r"row_(\d\d)", " ".join(re.findall(r"def (test_\w+)", file.read_text()))))
        | set(re.findall(r"_and_(\d\d)_", file.read_text()))
        for file in FOLDER.glob("test_*.py")
    }
    assert set(rows) >= PROMISED
    for row, text in rows.items():
        *_, core, every_system, whole_line, _ = text.split("|")
        named = set(re.findall(r"`(test_\w+\.py)`", core))
        if every_system.strip():
            named.add("test_systems.py")
        if whole_line.strip():
            named.add("test_whole_line.py")
        assert named == {file for file, found in tests.items() if row in found}, row
