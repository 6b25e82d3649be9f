"""Google Ads: daily performance at ad level, by the REST interface of the Google Ads API."""

from ingestion.google_ads.source import SYSTEM

__all__ = ["SYSTEM"]
