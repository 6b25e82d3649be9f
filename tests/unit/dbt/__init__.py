"""Tests of the dbt project on small worlds of their own: no ingestion, no network."""
