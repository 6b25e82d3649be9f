"""A vendor's name stands in its own folders and in the list of systems: nowhere else, so that it can be taken
out again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ingestion.registry import systems
from ingestion.settings import PROJECT_ROOT

PROTOCOLS = {"files"}  # of our own; no vendor
VENDORS = sorted(set(systems()) - PROTOCOLS)
NAME = re.compile(rf"(?<![a-z])({'|'.join(VENDORS)})(?![a-z])", re.IGNORECASE)
SEARCHED = (
    "ingestion",
    "orchestration",
    "dashboard",
    "scripts",
    "dbt_project/models",
    "dbt_project/macros",
    "dbt_project/tests",
)
HOMES = ("ingestion/{}/", "dbt_project/models/staging/{}/")
TEXTS = {".py", ".sql", ".yml", ".yaml", ".md", ".sh", ".toml", ".csv"}


def foreign_names(path: Path) -> list[str]:
    """The lines of a file that name a vendor which is not at home there."""
    place = path.relative_to(PROJECT_ROOT).as_posix()
    at_home = {name for name in VENDORS for home in HOMES if place.startswith(home.format(name))}
    return [
        f"{place}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if {found.lower() for found in NAME.findall(line)} - at_home
    ]


def test_nothing_else_names_a_vendor() -> None:
    files = [
        path
        for folder in SEARCHED
        for path in (PROJECT_ROOT / folder).rglob("*")
        if path.suffix in TEXTS and not {"target", "logs", "__pycache__"} & set(path.parts)
    ]
    assert len(files) > 300
    assert [line for path in files for line in foreign_names(path)] == []


def test_the_project_parses_without_any_vendors_staging(tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    for name in VENDORS:
        shutil.rmtree(project / "models" / "staging" / name)
    command = [sys.executable, "-m", "dbt.cli.main", "parse", "--project-dir", str(project)]
    command += ["--profiles-dir", str(project), "--target-path", str(tmp_path / "target")]
    command += ["--log-path", str(tmp_path / "logs"), "--vars", json.dumps({"systems": []})]
    quiet = {"FUNNELHOUSE_WAREHOUSE": str(tmp_path / "w.duckdb"), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    parsed = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stdout[-3000:]
    nodes = json.loads((tmp_path / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    models = {node["name"] for node in nodes.values() if node["resource_type"] == "model"}
    assert "fct_touchpoints" in models
    assert not [name for name in models if NAME.search(name)]
