"""PostHog: product events through the query API."""

from ingestion.posthog.source import SYSTEM

__all__ = ["SYSTEM"]
