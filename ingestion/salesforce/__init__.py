"""Salesforce: leads, contacts, accounts, opportunities with their histories, campaign members, activities."""

from ingestion.salesforce.source import SYSTEM

__all__ = ["SYSTEM"]
