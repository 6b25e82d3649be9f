"""LinkedIn Ads: what was shown, clicked and paid on LinkedIn."""

from ingestion.linkedin_ads.source import SYSTEM

__all__ = ["SYSTEM"]
