"""Dagster assets, checks, schedules and the command line over ingestion/ and dbt_project/.

The plain functions of a run (build, audit, publish) stand in `transform`, `ledger` and `publish` and know no
Dagster; `pipeline` joins them for tests and scripts. One file per Dagster concept holds the rest. Nothing
here names a vendor: systems come from ingestion's registry and the list of connected systems.
"""
