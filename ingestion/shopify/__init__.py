"""Shopify: orders, refunds, customers, costs and abandoned checkouts, by the GraphQL Admin API."""

from ingestion.shopify.source import SYSTEM

__all__ = ["SYSTEM"]
