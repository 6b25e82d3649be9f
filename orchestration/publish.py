"""The asset at the end of the line: the published file. It exists only when every blocking check before it
has passed.
"""

from collections.abc import Sequence
from datetime import timedelta

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    Failure,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    asset,
)

from ingestion.errors import FunnelhouseError
from orchestration import outlets, publication, transform
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House

KEY = AssetKey(["published", "funnelhouse"])
PHASE = "publish"


def build_publish_asset(marts: Sequence[AssetKey]) -> AssetsDefinition:
    """The published file as an asset downstream of all marts."""

    @asset(
        key=KEY,
        deps=list(marts),
        group_name="published",
        kinds={"duckdb"},
        pool=WRITER_POOL,
        description=(
            "The read-only DuckDB file that BI tools open: schemas core, attribution, funnel, retention, "
            "trust. Swapped in by one atomic rename after all blocking checks have passed; readers are "
            "never blocked."
        ),
        freshness_policy=FreshnessPolicy.time_window(
            fail_window=timedelta(hours=30), warn_window=timedelta(hours=26)
        ),
    )
    def published_funnelhouse(context: AssetExecutionContext, house: House) -> MaterializeResult:
        paths = house.enter(context)
        try:
            with house.warehouse() as connection:
                done = publication.publish(
                    connection,
                    paths.published,
                    outlets.configured(paths),
                    on_table=lambda name, number, total: report(PHASE, name, number, total),
                    descriptions=transform.descriptions(paths),
                )
        except FunnelhouseError as error:
            raise Failure(description=str(error), allow_retries=False) from error
        report(PHASE, f"{len(done.rows)} tables, {done.bytes / 1e6:.1f} MB", finished=True)
        return MaterializeResult(
            metadata={
                "path": MetadataValue.path(str(done.path)),
                "tables": len(done.rows),
                "dagster/row_count": sum(done.rows.values()),
                "megabytes": round(done.bytes / 1e6, 2),
                "rows": MetadataValue.md(
                    "| table | rows |\n|---|---:|\n"
                    + "\n".join(f"| {name} | {rows:,} |" for name, rows in done.rows.items())
                ),
            }
        )

    return published_funnelhouse
