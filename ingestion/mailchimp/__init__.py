"""Mailchimp: campaigns, whom they were sent to, and what the recipients did."""

from ingestion.mailchimp.source import SYSTEM

__all__ = ["SYSTEM"]
