"""files: bring any system by CSV, JSONL or Parquet and a manifest. See README.md beside this file."""

from ingestion.files.source import make_system

SYSTEM = make_system()
