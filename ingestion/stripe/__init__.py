"""Stripe: customers, subscriptions, invoices with their lines, charges, refunds and credit notes."""

from ingestion.stripe.source import SYSTEM

__all__ = ["SYSTEM"]
