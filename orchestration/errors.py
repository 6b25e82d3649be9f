"""What a person reads when a run cannot go on: one clear line, with the remedy in it.

Everything that is expected to go wrong outside the code is a `FunnelhouseError` (ingestion's own classes, or
`Problem` here) and is printed without a traceback.
"""

from __future__ import annotations

from ingestion.errors import FunnelhouseError


class Problem(FunnelhouseError):
    """An expected failure of building, auditing, publishing or of the command line."""


def one_line(error: BaseException, limit: int = 400) -> str:
    """The text of an error on one line; an error without text gives its class name."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
