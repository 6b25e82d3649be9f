"""Klaviyo: campaigns, flows, profiles, and what recipients did with their mail."""

from ingestion.klaviyo.source import SYSTEM

__all__ = ["SYSTEM"]
