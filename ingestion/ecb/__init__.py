"""The European Central Bank's euro reference rates."""

from ingestion.ecb.source import SYSTEM

__all__ = ["SYSTEM"]
