"""HubSpot: CRM records with the history of their properties, associations, merges and deletions."""

from ingestion.hubspot.source import SYSTEM

__all__ = ["SYSTEM"]
