"""Parts of documentation pages that commands write: what stands between two marker lines."""

from __future__ import annotations

from pathlib import Path


def replace_between(page: Path, begin: str, end: str, content: str) -> None:
    """Replace what stands between two marker lines of a page.

    Raises:
        ValueError: the page lacks one of them.
    """
    before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{page} lacks the markers {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
