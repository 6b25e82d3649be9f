"""Google Analytics 4: the event-level export from a bucket, and the Data API's own counts beside it."""

from ingestion.ga4.source import SYSTEM

__all__ = ["SYSTEM"]
