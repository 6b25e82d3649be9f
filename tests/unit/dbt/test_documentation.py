"""What the marts' documentation promises: nothing said twice, owners for all, exposures that are true."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import yaml

from ingestion.settings import PROJECT_ROOT, project
from orchestration.publication import SCHEMAS

MARTS = PROJECT_ROOT / "dbt_project" / "models" / "marts"
DASHBOARD = PROJECT_ROOT / "dashboard"


def entries(kind: str) -> list[dict[str, Any]]:
    """All entries of a kind in the marts' yml files."""
    files = sorted(MARTS.rglob("*.yml"))
    return [entry for file in files for entry in (yaml.safe_load(file.read_text()) or {}).get(kind, [])]


def test_no_column_is_described_twice_in_the_same_words() -> None:
    places = defaultdict(list)
    for model in entries("models"):
        for column in model.get("columns", []):
            text = " ".join(str(column.get("description", "")).split())
            if text and "doc(" not in text:
                places[column["name"], text].append(model["name"])
    twice = {key: models for key, models in places.items() if len(models) > 1}
    assert twice == {}, "use a doc block (models/marts/_marts__docs.md)"


def test_every_folder_of_marts_has_an_owner() -> None:
    groups = {group["name"]: group["owner"]["name"] for group in entries("groups")}
    folders = project()["models"]["funnelhouse"]["marts"]
    assert {schema: folders[schema]["+group"] in groups for schema in SCHEMAS} == dict.fromkeys(SCHEMAS, True)
    assert {exposure["owner"]["name"] for exposure in entries("exposures")} <= set(groups.values())


def test_each_page_of_the_dashboard_is_an_exposure_with_all_that_it_reads() -> None:
    declared = {
        exposure["name"].removeprefix("dashboard_"): set(re.findall(r"ref\('(\w+)'\)", str(exposure)))
        for exposure in entries("exposures")
    }
    pages: dict[str, str] = defaultdict(str)
    for folder in ("views", "queries"):
        for file in (DASHBOARD / folder).glob("[a-z]*.py"):
            pages[file.stem] += file.read_text()
    assert pages
    assert set(pages) <= set(declared)
    table = re.compile(rf"\b(?:{'|'.join(SCHEMAS)})\.([a-z_]+)\b")
    marts = {file.stem for file in MARTS.rglob("*.sql")}
    missing = {name: (set(table.findall(text)) & marts) - declared[name] for name, text in pages.items()}
    assert {name: tables for name, tables in missing.items() if tables} == {}
