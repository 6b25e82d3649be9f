"""Great Expectations at the raw boundary, as Dagster asset checks: what dbt's tests cannot see.

Volume (no raw table loses most of its rows between two runs) holds for every table without being declared.
Distribution, drift against the previous run and totals across sources are declared by each system in
`ingestion/<system>/expectations.yml`:

    - name: spend_is_plausible          # the check's name
      table: ad_performance             # the raw table (asset) that it belongs to
      description: ...
      sql: select ... from {raw}.ad_performance group by ...    # an aggregate or a sample, not all rows
      compare: {key: [network], values: [spend]}                 # adds spend_previous and spend_ratio
      expect:
        - {type: expect_column_values_to_be_between, severity: critical, column: spend, min_value: 0}

`severity` is Great Expectations' own: `critical` blocks the build, `warning` and `info` do not. The library
takes 6 s to import, so it is imported inside the check; DuckDB's answer goes to it as a pandas frame, because
its own SQL datasource fails on DuckDB 2.0. Each result is kept in `ops.raw_checks`, the values to compare
with in `ops.raw_baselines`; Data Docs lie in `<data folder>/gx`.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    multi_asset_check,
)

import ingestion
from ingestion.warehouse import QUARANTINE
from orchestration.errors import Problem
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House

PHASE = "check raw data"
VOLUME = "volume"
SEVERITIES = ("critical", "warning", "info")
KEPT_RESULTS = 10  # of each suite, in Data Docs
MIN_VOLUME_RATIO = 0.5
TABLES = """
create schema if not exists ops;
create table if not exists ops.raw_baselines (
    check_name varchar, key varchar, measure varchar, value double, run_id varchar, observed_at timestamp
);
create table if not exists ops.raw_checks (
    run_id varchar, checked_at timestamp, check_name varchar, raw_table varchar, passed boolean,
    severity varchar, failed_expectations varchar, sql varchar
);
"""


@dataclass(frozen=True)
class RawCheck:
    """One declared check on one raw table."""

    system: str
    name: str
    table: str
    sql: str
    expect: Sequence[Mapping[str, Any]]
    description: str = ""
    key: Sequence[str] = ()
    values: Sequence[str] = ()

    @property
    def dataset(self) -> str:
        return f"raw_{self.system}"

    @property
    def asset_key(self) -> AssetKey:
        return AssetKey([self.dataset, self.table])

    @property
    def full_name(self) -> str:
        return f"{self.dataset}.{self.table}.{self.name}"

    def statement(self) -> str:
        return self.sql.replace("{raw}", self.dataset).strip()

    def spec(self) -> AssetCheckSpec:
        return AssetCheckSpec(
            name=self.name,
            asset=self.asset_key,
            description=self.description,
            blocking=any(rule.get("severity", "critical") == "critical" for rule in self.expect),
            metadata={"sql": MetadataValue.md(f"```sql\n{self.statement()}\n```")},
        )


@dataclass
class Outcome:
    """What a check found: `severity` is the worst of the failed expectations' (None: all hold)."""

    passed: bool
    severity: str | None
    failures: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)


def volume_check(system: str, table: str) -> RawCheck:
    """Of one run to the next a raw table may not lose half of its rows: the sign of a wiped or half-read
    source.
    """
    return RawCheck(
        system=system,
        name=VOLUME,
        table=table,
        description=(
            f"Rows now against the run before: fewer than {MIN_VOLUME_RATIO:.0%} of them means that the "
            "source was read by half or wiped."
        ),
        sql=f"select '{table}' as table_name, count(*) as row_count from {{raw}}.\"{table}\"",
        key=("table_name",),
        values=("row_count",),
        expect=(
            {
                "type": "expect_column_values_to_be_between",
                "severity": "critical",
                "column": "row_count_ratio",
                "min_value": MIN_VOLUME_RATIO,
            },
        ),
    )


def declared_checks(system: str, folder: Path | None = None) -> list[RawCheck]:
    """The checks that a system declares in its expectations.yml ([] where it has none)."""
    file = (folder or Path(ingestion.__path__[0]) / system) / "expectations.yml"
    if not file.is_file():
        return []
    checks = []
    for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
        unknown = set(entry) - {"name", "table", "description", "sql", "compare", "expect"}
        missing = {"name", "table", "sql", "expect"} - set(entry)
        if unknown or missing:
            raise Problem(
                f"{file}: check {entry.get('name', '?')} "
                + (
                    f"lacks {', '.join(sorted(missing))}."
                    if missing
                    else f"has unknown keys {', '.join(sorted(unknown))}."
                )
            )
        compare = entry.get("compare") or {}
        checks.append(
            RawCheck(
                system=system,
                name=entry["name"],
                table=entry["table"],
                sql=entry["sql"],
                description=entry.get("description", ""),
                expect=entry["expect"],
                key=tuple(compare.get("key", ())),
                values=tuple(compare.get("values", ())),
            )
        )
    return checks


def build_checks(system: str, tables: Sequence[str]) -> AssetChecksDefinition:
    """All checks of one system's raw tables, as one step."""
    # a quarantine may well become smaller: that is what a replay is for
    checks = [volume_check(system, table) for table in tables if table != QUARANTINE]
    checks += [check for check in declared_checks(system) if check.table in tables]
    by_key = {AssetCheckKey(check.asset_key, check.name): check for check in checks}

    @multi_asset_check(
        name=f"check_raw_{system}",
        specs=[check.spec() for check in checks],
        can_subset=True,
        pool=WRITER_POOL,
    )
    def check_raw(context: AssetCheckExecutionContext, house: House) -> Iterator[AssetCheckResult]:
        paths = house.enter(context)
        selected = [check for key, check in by_key.items() if key in context.selected_asset_check_keys]
        suite, run_id = Validator.of(paths.gx_dir), context.run.run_id
        with house.warehouse() as connection:
            connection.execute(TABLES)
            for number, (check, outcome) in enumerate(run_checks(selected, connection, suite, run_id), 1):
                report(PHASE, check.full_name, number, len(selected))
                yield _result(check, outcome, suite.docs_index)
            suite.write_docs()
        report(PHASE, f"{system}: {len(selected)} checks", finished=True)

    return check_raw


def run_checks(
    checks: Sequence[RawCheck], connection: Any, validator: "Validator", run_id: str
) -> Iterator[tuple[RawCheck, Outcome]]:
    """Run the checks of one system, keep their results, and keep the values of those that passed as the next
    run's baseline. The volumes of all tables go through one suite: a validation costs 50 ms, whatever its
    rows.
    """
    volumes = [check for check in checks if check.name == VOLUME]
    yield from _run_together(volumes, connection, validator, run_id)
    for check in checks:
        if check.name != VOLUME:
            yield from _run_together([check], connection, validator, run_id)


def _run_together(
    checks: Sequence[RawCheck], connection: Any, validator: "Validator", run_id: str
) -> Iterator[tuple[RawCheck, Outcome]]:
    """Checks with the same expectations, held against their frames put together."""
    if not checks:
        return
    measured = [connection.execute(check.statement()).df() for check in checks]
    frames = [
        _with_previous(check, connection, frame.copy()) if check.values else frame
        for check, frame in zip(checks, measured, strict=True)
    ]
    first = checks[0]
    name = first.full_name if first.name != VOLUME else f"{first.dataset}.{VOLUME}"
    outcomes = validator.validate(name, frames, first.expect)
    for check, outcome, values in zip(checks, outcomes, measured, strict=True):
        _keep(check, outcome, values, connection, run_id)
        yield check, outcome


def _keep(check: RawCheck, outcome: Outcome, measured: Any, connection: Any, run_id: str) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    if check.values and outcome.severity != "critical":
        connection.execute("delete from ops.raw_baselines where check_name = ?", [check.full_name])
        rows = [
            [check.full_name, _key(record, check.key), measure, float(record[measure]), run_id, now]
            for record in measured.to_dict("records")
            for measure in check.values
            if record[measure] is not None and record[measure] == record[measure]
        ]
        if rows:
            connection.executemany("insert into ops.raw_baselines values (?, ?, ?, ?, ?, ?)", rows)
    connection.execute(
        "insert into ops.raw_checks values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            run_id,
            now,
            check.name,
            f"{check.dataset}.{check.table}",
            outcome.passed,
            outcome.severity,
            json.dumps(outcome.failures),
            check.statement(),
        ],
    )


def _key(record: Mapping[str, Any], columns: Sequence[str]) -> str:
    return json.dumps([str(record[column]) for column in columns])


def _with_previous(check: RawCheck, connection: Any, frame: Any) -> Any:
    """Add `<value>_previous` and `<value>_ratio`; both empty where the previous run has no such value."""
    stored = {
        (key, measure): value
        for key, measure, value in connection.execute(
            "select key, measure, value from ops.raw_baselines where check_name = ?", [check.full_name]
        ).fetchall()
    }
    keys = [_key(record, check.key) for record in frame.to_dict("records")]
    for measure in check.values:
        before = [stored.get((key, measure)) for key in keys]
        now = frame[measure].tolist()
        frame[f"{measure}_previous"] = [float("nan") if value is None else value for value in before]
        frame[f"{measure}_ratio"] = [
            float("nan") if not old or new is None else float(new) / old
            for new, old in zip(now, before, strict=True)
        ]
    return frame


class Validator:
    """Great Expectations over pandas frames, with its files in one folder."""

    @staticmethod
    @lru_cache(maxsize=1)
    def of(folder: Path) -> "Validator":
        """The one of this process: its start costs 0.2 s beside the import."""
        return Validator(folder)

    def __init__(self, folder: Path) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self.folder = folder
        self._gx = gx
        self._context = gx.get_context(mode="file", project_root_dir=str(folder))
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_or_update_pandas("raw")

    @property
    def docs_index(self) -> Path:
        return self.folder / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"

    def validate(self, name: str, frames: Sequence[Any], rules: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Hold frames with the same columns against one suite of expectations; an outcome for each of them.
        Several frames are told apart by their rows: then only expectations of single rows are meant.
        """
        import pandas as pd
        from great_expectations.expectations.registry import get_expectation_impl

        suite = self._gx.ExpectationSuite(name=name)
        for rule in rules:
            arguments = {key: value for key, value in rule.items() if key != "type"}
            arguments.setdefault("severity", "critical")
            suite.add_expectation(get_expectation_impl(rule["type"])(**arguments))
        suite = self._context.suites.add_or_update(suite)
        if name in self._source.get_asset_names():
            asset = self._source.get_asset(name)
            batch = asset.get_batch_definition("frame")
        else:
            asset = self._source.add_dataframe_asset(name)
            batch = asset.add_batch_definition_whole_dataframe("frame")
        definition = self._context.validation_definitions.add_or_update(
            self._gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        found = definition.run(
            batch_parameters={"dataframe": pd.concat(frames, ignore_index=True)},
            result_format="SUMMARY" if len(frames) == 1 else "COMPLETE",
        )
        failed = [result for result in found.results if not result.success]
        if len(frames) == 1:
            return [_outcome(frames[0], [(result, _seen(result)) for result in failed])]
        outcomes, start = [], 0
        for frame in frames:
            rows = range(start, start := start + len(frame))
            outcomes.append(
                _outcome(frame, [(result, seen) for result in failed if (seen := _seen(result, rows))])
            )
        return outcomes

    def write_docs(self) -> None:
        """Write the Data Docs anew, over the newest results of each suite."""
        results = self.folder / "gx" / "uncommitted" / "validations"
        for suite in results.glob("*/__none__") if results.is_dir() else ():
            for old in sorted(suite.iterdir())[:-KEPT_RESULTS]:
                for file in sorted(old.rglob("*"), reverse=True):
                    file.unlink() if file.is_file() else file.rmdir()
                old.rmdir()
        self._context.build_data_docs()


def _outcome(frame: Any, failed: Sequence[tuple[Any, Any]]) -> Outcome:
    severities = [
        str(getattr(level := result.expectation_config.severity, "value", level)) for result, _ in failed
    ]
    return Outcome(
        passed=not failed,
        severity=min(severities, key=SEVERITIES.index, default=None),
        failures=[_sentence(result, seen) for result, seen in failed],
        rows=[
            {column: str(value) for column, value in record.items()}
            for record in frame.head(10).to_dict("records")
        ],
    )


def _seen(result: Any, rows: range | None = None) -> Any:
    """What a failed expectation found, in some rows or in all; nothing: it does not fail in those rows."""
    raised = result.exception_info and result.exception_info.get("raised_exception")
    if raised or (rows is not None and "unexpected_index_list" not in result.result):
        return "nothing, it could not be evaluated"
    if rows is None:
        return result.result.get("partial_unexpected_list") or result.result.get("observed_value")
    at = zip(result.result["unexpected_index_list"], result.result["unexpected_list"], strict=True)
    return [value for row, value in at if row in rows]


def _sentence(result: Any, seen: Any) -> str:
    """One failed expectation as a person reads it."""
    config = result.expectation_config
    arguments = {
        key: value for key, value in config.kwargs.items() if key not in {"batch_id"} and value is not None
    }
    return f"{config.type}({', '.join(f'{k}={v}' for k, v in arguments.items())}): found {seen}"


def _result(check: RawCheck, outcome: Outcome, docs: Path) -> AssetCheckResult:
    columns = list(outcome.rows[0]) if outcome.rows else []
    table = "\n".join(
        [
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
            *("| " + " | ".join(row.values()) + " |" for row in outcome.rows),
        ]
    )
    return AssetCheckResult(
        passed=outcome.passed,
        check_name=check.name,
        asset_key=check.asset_key,
        severity=AssetCheckSeverity.ERROR if outcome.severity == "critical" else AssetCheckSeverity.WARN,
        description="; ".join(outcome.failures) or None,
        metadata={
            "failed": MetadataValue.text("; ".join(outcome.failures) or "nothing"),
            "sql": MetadataValue.text(check.statement()),
            "rows": MetadataValue.md(table),
            "data_docs": MetadataValue.path(str(docs)),
        },
    )
