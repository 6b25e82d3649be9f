"""Meta Ads: what was shown, clicked and paid on Facebook and Instagram."""

from ingestion.meta_ads.source import SYSTEM

__all__ = ["SYSTEM"]
