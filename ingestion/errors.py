"""The errors of ingestion. Each one's text is a single line for a person: the system, what happened, what to
do.

No error here ever holds a token, a query secret or a clear e-mail address: texts pass through
`privacy.redact` where they quote a foreign one.
"""

from __future__ import annotations


class FunnelhouseError(Exception):
    """An expected failure. The command line prints its text as one line and exits with 1, without a
    traceback."""


class ConfigurationError(FunnelhouseError):
    """A setting is missing or wrong."""


class WarehouseBusy(FunnelhouseError):
    """Another process holds the writer lock."""


class QuarantineFull(FunnelhouseError):
    """More records were refused than `quarantine_max_share` allows."""


class SourceError(FunnelhouseError):
    """A source system could not be read whole."""

    def __init__(self, system: str, what: str, remedy: str = "") -> None:
        self.system, self.what, self.remedy = system, what, remedy
        super().__init__(f"{system}: {what}" + (f" {remedy}" if remedy else ""))


class Unauthorized(SourceError):
    """401 or 403: the credentials were refused."""


class Unreachable(SourceError):
    """The host could not be reached, or never answered well within the set number of tries."""


class BadAnswer(SourceError):
    """The answer is not what the protocol promises: wrong type, no data, a repeated page, another origin."""


class RequestRefused(SourceError):
    """The system refused the request (a 4xx that no repetition cures)."""

    def __init__(self, system: str, what: str, remedy: str = "", status: int = 400, body: str = "") -> None:
        self.status, self.body = status, body
        super().__init__(system, what, remedy)
