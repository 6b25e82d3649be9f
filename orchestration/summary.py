"""What a run prints when it is over: the figures from the published file, or what failed and what to do.

Read-only queries on the published marts, as any BI tool would ask them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingestion.errors import FunnelhouseError
from ingestion.settings import Paths, project_vars
from orchestration.publication import SCHEMAS
from orchestration.runner import RunOutcome

MODELS = ("first_touch", "last_non_direct", "position_based")
CONVERSION_TYPE = "purchase"  # bookings, billings and MRR are never added up: billings stand here
RETENTION_MONTHS = (0, 1, 2, 3, 6, 12)
SAMPLE_ROWS = 5


def print_summary(console: Console, paths: Paths, outcome: RunOutcome) -> None:
    """The closing tables of a run that succeeded."""
    currency = str(project_vars(paths)["reporting_currency"])
    console.print()
    console.print(_layers(paths))
    published = duckdb.connect(str(paths.published), read_only=True)
    try:
        for table in (
            _channels(published, currency),
            _funnels(published),
            _retention(published),
            standing(published, currency),
        ):
            if table is not None:
                console.print(table)
    finally:
        published.close()
    checks = f"[green]{outcome.passed} passed[/green]"
    checks += f", [yellow]{outcome.warned} warned[/yellow]" if outcome.warned else ", 0 warned"
    console.print(
        f"Checks: {checks}, {outcome.failed} failed. Run {outcome.run_id[:8]} in {outcome.seconds:.0f} s."
    )
    for check in outcome.failed_checks:
        console.print(
            f"  [yellow]warned[/yellow] {escape(check.asset)}: {escape(check.name)}", highlight=False
        )
    size = paths.published.stat().st_size / 1e6
    console.print(f"Published: {paths.published} ({size:.1f} MB, read-only, opens with DuckDB 1.2 or newer)")
    console.print("Where to look next:")
    console.print("  make dev                 the run, its lineage and its checks on http://127.0.0.1:3000")
    console.print(
        f"  python -c \"import duckdb; duckdb.connect('{paths.published}', read_only=True)"
        ".sql('from core.fct_touchpoints limit 5').show()\"",
        soft_wrap=True,
    )
    docs = paths.gx_dir / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
    if docs.is_file():
        console.print(f"  {docs}   what Great Expectations saw in the raw data", soft_wrap=True)


def print_failures(console: Console, errors: Console, paths: Paths, outcome: RunOutcome) -> None:
    """One line a cause; for a failed audit also which rows, where to look and what to do."""
    expected = [failure for failure in outcome.failures if failure.step]
    blocking = [check for check in outcome.failed_checks if check.blocking and check.is_raw]
    for failure in expected:
        if failure.step.startswith("check_raw_") and blocking:
            continue
        note = "" if failure.expected else f" (unexpected, in step {failure.step}; --verbose shows where)"
        errors.print(f"error: {escape(failure.message)}{note}", soft_wrap=True)
        for node in failure.nodes[:5]:
            _print_failed_node(errors, paths, node)
    for check in blocking:
        errors.print(
            f"error: Check {check.name} of {check.asset} failed: {escape(check.description)}. "
            "Nothing was built; the published file is unchanged. "
            "Look at the source, or at the rows that this finds in warehouse.duckdb:",
            soft_wrap=True,
        )
        errors.print(f"  {escape(' '.join(check.sql.split()))}", soft_wrap=True)
    if not expected and not blocking:
        errors.print("error: The run failed; `make dev` shows where.", soft_wrap=True)
    console.print(f"Run {outcome.run_id[:8]} failed. `make dev` shows it; the published file is unchanged.")


def _print_failed_node(errors: Console, paths: Paths, node: dict[str, Any]) -> None:
    if not node["is_audit"]:
        if node["sql_file"]:
            errors.print(f"  SQL: {node['sql_file']}", soft_wrap=True)
        return
    rows = sample(paths, Path(node["sql_file"])) if node["sql_file"] else None
    title = f"{node['name']}: {node['rows']} row(s), the first {SAMPLE_ROWS}"
    if node["description"]:
        title += f". {node['description']}"
    if rows is not None and rows[1]:
        table = Table(title=escape(title), title_justify="left")
        for column in rows[0]:
            table.add_column(column, overflow="fold")
        for row in rows[1]:
            table.add_row(*(escape(str(value)) for value in row))
        errors.print(table)
    errors.print(f"  All rows: run {node['sql_file']} on {paths.warehouse}", soft_wrap=True)
    errors.print(
        "  What to do: mend the source or the rule, then `funnelhouse run`. What is loaded stays "
        "loaded; only the publication waits.",
        soft_wrap=True,
    )


def sample(paths: Paths, sql_file: Path) -> tuple[list[str], list[tuple[Any, ...]]] | None:
    """The first rows that a failed test found."""
    if not sql_file.is_file():
        return None
    try:
        with duckdb.connect(str(paths.warehouse), read_only=True) as warehouse:
            sql = sql_file.read_text(encoding="utf-8").rstrip().rstrip(";")
            result = warehouse.execute(f"select * from (\n{sql}\n) limit {SAMPLE_ROWS}")
            return [column[0] for column in result.description], result.fetchall()
    except duckdb.Error:
        return None


def _layers(paths: Paths) -> Table:
    table = Table(title="Rows per layer", title_justify="left")
    for column in ("layer", "tables", "rows"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    with duckdb.connect(str(paths.warehouse), read_only=True) as warehouse:
        counts = layer_rows(warehouse)
    for layer, tables, rows in counts:
        table.add_row(layer, f"{tables:,}", f"{rows:,}")
    return table


def layer_rows(warehouse: Any) -> list[tuple[str, int, int]]:
    """(layer, tables, rows) from raw to the published schemas; exact counts."""
    found: dict[str, list[tuple[str, str]]] = {}
    for schema, name in warehouse.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
        " and not internal order by 1, 2"
    ).fetchall():
        if schema.startswith("raw_") and not schema.endswith("_staging") and not name.startswith("_"):
            found.setdefault("raw", []).append((schema, name))
        elif schema in ("seeds", "intermediate", *SCHEMAS):
            found.setdefault(schema, []).append((schema, name))
    return [
        (
            layer,
            len(found[layer]),
            sum(
                warehouse.execute(f'select count(*) from "{schema}"."{name}"').fetchone()[0]
                for schema, name in found[layer]
            ),
        )
        for layer in ("raw", "seeds", "intermediate", *SCHEMAS)
        if layer in found
    ]


def _has(published: Any, schema: str, table: str) -> bool:
    return bool(
        published.execute(
            "select count(*) from information_schema.tables where table_schema = ? and table_name = ?",
            [schema, table],
        ).fetchone()[0]
    )


def _channels(published: Any, currency: str) -> Table | None:
    if not _has(published, "attribution", "attribution_channels"):
        return None
    columns = ", ".join(
        f"coalesce(sum(conversions) filter (where model = '{model}'), 0),"
        f" coalesce(sum(value) filter (where model = '{model}'), 0)"
        for model in MODELS
    )
    rows = published.execute(
        f"""
        select channel, coalesce(sum(spend) filter (where model = '{MODELS[0]}'), 0) as all_spend, {columns}
        from attribution.attribution_channels
        where date_basis = 'conversion' and conversion_type = '{CONVERSION_TYPE}'
        group by channel order by all_spend desc, 4 desc, channel
        """
    ).fetchall()
    table = Table(
        title=f"Spend, purchases and billed revenue by channel ({currency}), under three attribution models",
        title_justify="left",
    )
    table.add_column("channel")
    table.add_column("spend", justify="right")
    for model in MODELS:
        table.add_column(f"{model.replace('_', ' ')}\npurchases", justify="right")
        table.add_column("\nrevenue", justify="right")
    totals = [0.0] * (1 + 2 * len(MODELS))
    for channel, *figures in rows:
        if any(figures):
            totals = [total + float(figure) for total, figure in zip(totals, figures, strict=True)]
            table.add_row(escape(str(channel)), *_figures(figures))
    table.add_section()
    table.add_row("all", *_figures(totals))
    return table


def _figures(figures: Sequence[Any]) -> list[str]:
    """Spend, then conversions and value by turns."""
    return [
        f"{float(figure):,.1f}" if index % 2 == 1 else f"{float(figure):,.0f}"
        for index, figure in enumerate(figures)
    ]


def _funnels(published: Any) -> Table | None:
    if not _has(published, "funnel", "funnel_stage_conversion"):
        return None
    rows = published.execute(
        """
        select funnel, stage, stage_order, sum(entered), sum(advanced), bool_or(conversion_rate is not null)
        from funnel.funnel_stage_conversion
        where segment = 'all' and period_grain = 'month'
        group by funnel, stage, stage_order order by funnel, stage_order
        """
    ).fetchall()
    table = Table(title="Funnels: who entered each stage, and who went on", title_justify="left")
    for column in ("funnel", "stage", "entered", "went on", "rate"):
        table.add_column(column, justify="left" if column in ("funnel", "stage") else "right")
    previous = None
    for funnel, stage, _, entered, advanced, has_next in rows:
        if previous not in (None, funnel):
            table.add_section()
        table.add_row(
            funnel if funnel != previous else "",
            stage,
            f"{entered:,.0f}",
            f"{advanced:,.0f}" if has_next else "",
            f"{advanced / entered:.1%}" if has_next and entered else "",
        )
        previous = funnel
    return table


def _retention(published: Any) -> Table | None:
    if not _has(published, "retention", "retention_cohorts"):
        return None
    rows = published.execute(
        f"""
        select basis, periods_since, sum(active), sum(cohort_size)
        from retention.retention_cohorts
        where segment = 'all' and period_grain = 'month' and is_complete and basis <> 'revenue'
            and periods_since in ({", ".join(map(str, RETENTION_MONTHS))})
        group by basis, periods_since
        """
    ).fetchall()
    rates = {(basis, month): active / size for basis, month, active, size in rows if size}
    table = Table(
        title="Retention: share of a monthly cohort that is active again after …", title_justify="left"
    )
    table.add_column("basis")
    for month in RETENTION_MONTHS:
        table.add_column(f"{month} month{'' if month == 1 else 's'}", justify="right")
    for basis in sorted({basis for basis, _ in rates}):
        cells = [rates.get((basis, month)) for month in RETENTION_MONTHS]
        table.add_row(basis, *("" if rate is None else f"{rate:.1%}" for rate in cells))
    return table


def standing(published: Any, currency: str) -> Table | None:
    """Where the company stands: the worst leak, the forecast, retention of revenue, payback."""
    found = [
        line
        for tables, ask in (
            ("funnel.funnel_bottlenecks", _worst_leak),
            ("funnel.sales_forecast", _forecast),
            ("retention.churn", _revenue_retention),
            ("retention.channel_economics", _payback),
        )
        if _has(published, *tables.split(".")) and (line := ask(published, currency)) is not None
    ]
    if not found:
        return None
    table = Table(title=f"Where the company stands ({currency})", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column()
    for line in found:
        table.add_row(*(escape(cell) for cell in line))
    return table


def _worst_leak(published: Any, currency: str) -> tuple[str, str, str] | None:
    row = published.execute(
        """
        select funnel, stage, next_stage, conversion_rate, benchmark, benchmark_source,
            expected_wins_per_month, expected_value_per_month
        from funnel.funnel_bottlenecks
        where segment = 'all' and expected_value_per_month > 0
        order by expected_value_per_month desc, funnel, stage limit 1
        """
    ).fetchone()
    if row is None:
        return None
    funnel, stage, following, rate, benchmark, source, wins, value = row
    return (
        "worst leak",
        f"{stage} → {following}",
        f"{funnel}: {rate:.1%} go on, {benchmark:.1%} is the {source.replace('_', ' ')}; closing the gap is"
        f" worth {wins:,.1f} wins and {value:,.0f} {currency} a month",
    )


def _forecast(published: Any, currency: str) -> tuple[str, str, str] | None:
    row = published.execute(
        """
        select period_start, period_end, expected_amount, expected_low, expected_high, won_to_date,
            date_diff('month', period_start, forecast_date)
        from funnel.sales_forecast
        where is_current and segment = 'all' and period_grain = 'fiscal_quarter' and horizon = 0
        """
    ).fetchone()
    if row is None:
        return None
    start, end, expected, low, high, won, months_in = row
    # Held against forecasts that were made as early in their quarter.
    periods, *errors, held = published.execute(
        """
        select count(*),
            sum(abs(error)) / nullif(sum(actual_amount), 0),
            sum(abs(error_naive_crm)) / nullif(sum(actual_amount), 0),
            sum(abs(error_naive_last_period)) / nullif(sum(actual_amount), 0),
            avg(case when is_within_interval then 1.0 else 0.0 end)
        from funnel.sales_forecast
        where actual_amount is not null and error_naive_last_period is not null
            and segment = 'all' and period_grain = 'fiscal_quarter' and horizon = 0
            and date_diff('month', period_start, forecast_date) = ?
        """,
        [months_in],
    ).fetchone()
    detail = f"between {low:,.0f} and {high:,.0f} {currency}, {won:,.0f} of it won"
    if periods and None not in errors:
        own, crm, last = errors
        detail += (
            f"; {periods:,} past forecasts, made as early, were {own:.0%} off (stage probabilities {crm:.0%},"
            f" last quarter again {last:.0%}), {held:.0%} within their interval"
        )
    return f"bookings of {start:%b} to {end:%b %Y}", f"{expected:,.0f}", detail


def _revenue_retention(published: Any, currency: str) -> tuple[str, str, str] | None:
    row = published.execute(
        """
        select month, net_revenue_retention_12m, gross_revenue_retention_12m, closing_mrr
        from retention.churn
        where is_complete and net_revenue_retention_12m is not null order by month desc limit 1
        """
    ).fetchone()
    if row is None:
        return None
    month, net, gross, mrr = row
    return (
        "net revenue retention",
        f"{net:.1%}",
        f"twelve months to {month:%B %Y}; gross {gross:.1%}; MRR {mrr:,.0f} {currency}",
    )


def _payback(published: Any, currency: str) -> tuple[str, str, str] | None:
    """All channels together; of quarters that are old enough to tell, else of the latest."""
    row = published.execute(
        """
        select period_start, is_mature, sum(loaded_cost) / sum(new_customers) as cac,
            sum(gross_margin_to_date) / sum(customer_months) as margin
        from retention.channel_economics
        where period_grain = 'fiscal_quarter' and date_basis = 'conversion' and model = 'linear'
        group by period_start, is_mature
        having sum(new_customers) > 0 and sum(loaded_cost) > 0 and sum(gross_margin_to_date) > 0
        order by is_mature desc, period_start desc limit 1
        """
    ).fetchone()
    if row is None:
        return None
    start, mature, cac, margin = row
    young = "" if mature else " (too young to be sure)"
    return (
        "payback",
        f"{float(cac) / float(margin):.1f} months",
        f"customers of the quarter from {start}{young}: {cac:,.0f} {currency} to win one, media and all other"
        f" costs; {margin:,.0f} {currency} gross margin a month",
    )


def print_status(console: Console, paths: Paths) -> None:
    """The last publication, what is loaded, the last runs."""
    if not paths.warehouse.is_file():
        console.print(
            f"{paths.data_dir}: nothing has been run here yet. `make demo` or `funnelhouse run` begins."
        )
        return
    if paths.published.is_file():
        console.print(f"Published: {paths.published} ({paths.published.stat().st_size / 1e6:.1f} MB)")
    try:
        warehouse = duckdb.connect(str(paths.warehouse), read_only=True)
    except duckdb.IOException:
        console.print("A run is in progress (the warehouse is open for writing).")
        return
    try:
        _print_publications(console, warehouse)
        console.print(_layers(paths))
        _print_raw(console, warehouse)
    finally:
        warehouse.close()
    _print_runs(console, paths)


def _print_publications(console: Console, warehouse: Any) -> None:
    if not _has(warehouse, "ops", "publications"):
        console.print("Nothing has been published yet.")
        return
    rows = warehouse.execute(
        "select run_id, published_at, as_of from ops.publications order by published_at desc limit 1"
    ).fetchall()
    for run_id, published_at, as_of in rows:
        console.print(
            f"Last publication: {published_at:%Y-%m-%d %H:%M} UTC, as of {as_of} (run {run_id[:8]})"
        )
    build = warehouse.execute(
        "select run_id, started_at, passed_at, published_at from ops.builds"
        " order by build_number desc limit 1"
    ).fetchone()
    if build and build[3] is None:
        state = "passed its checks but is not published" if build[2] else "did not pass its checks"
        console.print(
            f"[yellow]The build of {build[1]:%Y-%m-%d %H:%M} UTC (run {build[0][:8]}) {state}.[/yellow]"
        )


def _print_raw(console: Console, warehouse: Any) -> None:
    table = Table(title="Raw tables", title_justify="left")
    for column in ("table", "rows", "last load (UTC)", "quarantined"):
        table.add_column(column, justify="left" if column == "table" else "right")
    schemas = warehouse.execute(
        "select distinct table_schema from information_schema.tables"
        " where starts_with(table_schema, 'raw_') and not ends_with(table_schema, '_staging') order by 1"
    ).fetchall()
    for (schema,) in schemas:
        refused = dict(
            warehouse.execute(f'select resource, count(*) from "{schema}"._quarantine group by 1').fetchall()
        )
        names = warehouse.execute(
            "select table_name from information_schema.tables"
            " where table_schema = ? and not starts_with(table_name, '_') order by 1",
            [schema],
        ).fetchall()
        for (name,) in names:
            rows, newest = warehouse.execute(
                "select count(*), to_timestamp(try_cast(max(_dlt_load_id) as double))"
                f' from "{schema}"."{name}"'
            ).fetchone()
            table.add_row(
                f"{schema}.{name}",
                f"{rows:,}",
                "" if newest is None else f"{newest:%Y-%m-%d %H:%M}",
                str(refused.get(name, 0)),
            )
    console.print(table)


def _print_runs(console: Console, paths: Paths) -> None:
    from orchestration import runs

    table = Table(title="Last runs", title_justify="left")
    for column in ("run", "job", "status", "started (UTC)", "seconds"):
        table.add_column(column)
    import datetime as dt

    with runs.open_instance(paths) as instance:
        for record in instance.get_run_records(limit=5):
            started = record.start_time
            table.add_row(
                record.dagster_run.run_id[:8],
                record.dagster_run.job_name,
                record.dagster_run.status.value.lower(),
                "" if started is None else f"{dt.datetime.fromtimestamp(started, dt.UTC):%Y-%m-%d %H:%M}",
                "" if started is None or record.end_time is None else f"{record.end_time - started:.0f}",
            )
    console.print(table)


def print_quarantine(console: Console, paths: Paths, system: str | None, limit: int) -> None:
    """The refused records, newest first."""
    from ingestion.quarantine import list_records
    from ingestion.settings import connections

    connections(paths, [system] if system else None)
    if not paths.warehouse.is_file():
        raise FunnelhouseError("Nothing has been loaded yet, so nothing has been refused.")
    records = list_records(paths, system, limit)
    table = Table(title=f"Quarantine: {len(records)} record(s)", title_justify="left")
    if not records:
        console.print("The quarantine is empty.")
        return
    names = ("last_seen_at", "source_relation", "resource", "reason", "payload")
    for name in names:
        table.add_column(name, overflow="fold", max_width=60)
    for entry in records:
        values = entry if isinstance(entry, dict) else vars(entry)
        table.add_row(*(escape(str(values.get(name, ""))[:200]) for name in names))
    console.print(table)
