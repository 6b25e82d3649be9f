"""The documentation holds: its queries run on what was published, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT

PAGES = sorted(
    page
    for page in (
        *PROJECT_ROOT.glob("*.md"),
        *PROJECT_ROOT.glob("docs/*.md"),
        *PROJECT_ROOT.glob("*/*/README.md"),
    )
    if ".venv" not in page.parts
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
QUERY = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


def queries(page: Path) -> list[str]:
    """The SQL blocks of a page that are for the published file: templates of models are not."""
    return [text for text in QUERY.findall(page.read_text(encoding="utf-8")) if "{{" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if queries(page)], ids=lambda page: str(page.relative_to(PROJECT_ROOT))
)
def test_queries_run_on_the_published_file(page: Path, published: duckdb.DuckDBPyConnection) -> None:
    for query in queries(page):
        assert published.execute(query).description, query
