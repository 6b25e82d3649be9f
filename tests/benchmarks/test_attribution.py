"""Attribution of millions of touches beside marketing-attribution-models on the same touches.

The library computes five of our six heuristics (it has no last non-direct) and gives sums by channel. Beside
it runs the SQL of fct_attribution, summed by channel over the six models: the engine leaves out what others
would need. Our side starts from the paths that the warehouse keeps, and once more from the touches, as the
library does. What it costs to write the whole table, all ten models with a row for each touch, stands beside.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.transform import close_connections
from tests.benchmarks.harness import Row, measure, record
from tests.benchmarks.isolated import load, make_project, prepare_models
from tests.unit.dbt.project import Project

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

TOUCHES = int(os.environ.get("FUNNELHOUSE_BENCH_TOUCHES", "10_000_000"))
MODELS = (
    "intermediate/attribution",
    "marts/attribution/attribution_markov_channels.sql",
    "marts/attribution/fct_attribution.sql",
)
INPUTS = {
    "fct_touchpoints": "core",
    "int_conversion_windows": "intermediate",
    "int_changed_conversions": "intermediate",
    "int_changed_persons": "intermediate",
    "int_person_accounts": "intermediate",
}
PATHS_AND_MARKOV = ("+attribution_markov_channels",)
MARKOV = ("int_markov_transitions", "int_markov_removals", "attribution_markov_channels")
CREDITS = ("int_conversion_touches", "fct_attribution")
SIX = ("first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay")
SHARED = {
    "first_touch": "run_first_click",
    "last_touch": "run_last_click",
    "linear": "run_linear",
    "position_based": "run_position_based",
    "time_decay": "run_time_decay",
}


def make_touches(warehouse: Path, parquet: Path, touches: int, converting: float) -> None:
    """So many touches of persons with one to twenty of them, in twelve channels, all within one month.

    A share of the persons converts with the last touch. No two touches of a person are at the same moment.
    """
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("set timezone = 'UTC'; create schema if not exists bench")
        connection.execute(
            f"""
            create or replace table bench.fct_touchpoints as
            with persons as (
                select
                    i,
                    'p' || i as person_id,
                    least(20, 1 + floor(-ln((hash(i) % 999983 + 1) / 999984.0) * 3.5))::bigint as touch_count,
                    timestamp '2026-05-01' + to_seconds((hash(i, 'a') % 864000)::bigint) as first_at
                from range({touches // 4}) as persons(i)
            ),
            touches as (
                select i, person_id, first_at, unnest(range(touch_count)) as step from persons
            )
            select
                md5(person_id || '-' || step) as touchpoint_id,
                person_id,
                cast(null as varchar) as account_id,
                first_at + to_seconds((step * 40000 + hash(i, step, 'b') % 36000)::bigint) as occurred_at,
                cast(first_at + to_seconds((step * 40000)::bigint) as date) as occurred_on,
                ['Paid Search', 'Direct', 'Organic Search', 'Paid Social', 'Email', 'Display', 'Referral',
                 'Affiliates', 'Paid Video', 'Organic Social', 'AI Assistant', 'Cross-network'][
                    1 + floor(pow((hash(i, step) % 1000003) / 1000003.0, 1.7) * 12)::bigint] as channel,
                'c' || (hash(i, step, 'c') % 50) as campaign_id,
                false as is_direct,
                true as is_credit_eligible
            from touches
            limit {touches}
            """
        )
        connection.execute("update bench.fct_touchpoints set is_direct = true where channel = 'Direct'")
        connection.execute(
            f"""
            create or replace table bench.int_conversion_windows as
            select
                md5(person_id) as conversion_id, 'purchase' as conversion_type, 'person' as touch_scope,
                person_id as scope_id, max(occurred_at) - interval 30 days as window_from,
                cast(null as timestamp) as cycle_from, max(occurred_at) as converted_at,
                cast(max(occurred_at) as date) as converted_on, cast(1 as decimal(19, 4)) as value,
                cast(null as timestamp) as lead_created_at, cast(null as timestamp) as opportunity_created_at,
                cast(null as timestamp) as closed_at, 'w' as window_hash
            from bench.fct_touchpoints
            where hash(person_id) % 1000 < {int(converting * 1000)}
            group by person_id
            """
        )
        for name, columns in (
            ("int_changed_conversions", "'' as conversion_id"),
            ("int_changed_persons", "'' as person_id"),
            ("int_person_accounts", "'' as person_id, '' as account_id"),
        ):
            connection.execute(f"create or replace table bench.{name} as select {columns} where false")
        connection.execute(
            "copy (select person_id, channel, occurred_at,"
            " occurred_at = max(occurred_at) over (partition by person_id)"
            " and person_id in (select scope_id from bench.int_conversion_windows) as is_conversion"
            f" from bench.fct_touchpoints) to '{parquet}' (format parquet)"
        )


def prepare_library(parquet: str, methods: tuple[str, ...]) -> Callable[[], dict[str, Any]]:
    """marketing-attribution-models: from a frame of touches to the results of these methods."""
    import polars
    from mam.core import MAM

    frame = polars.read_parquet(parquet)

    def run() -> dict[str, Any]:
        library = MAM(
            frame,
            "session",
            channels_colname="channel",
            journey_with_conv_colname="is_conversion",
            datetime_colname="occurred_at",
            user_id_colname="person_id",
        )
        found: dict[str, Any] = {}
        for method in methods:
            result = getattr(library, method)()
            if method == "run_markov":
                found[method] = result.metadata["removal_effect"]["removal_effect"].to_dict()
            else:
                content = result.to_dict()
                found[method] = dict(zip(content["channels"], content["attribution"], strict=True))
        return found

    return run


def prepare_sums(folder: str, from_touches: bool) -> Callable[[], dict[str, dict[str, float]]]:
    """The six models summed by channel, with the SQL that dbt compiled from fct_attribution.

    From touches: int_conversion_touches is made first, with its own compiled SQL.
    """
    compiled = Path(folder) / "target" / "compiled" / "funnelhouse" / "models"
    attribution = (compiled / "marts" / "attribution" / "fct_attribution.sql").read_text()
    paths = (compiled / "intermediate" / "attribution" / "int_conversion_touches.sql").read_text()
    connection = duckdb.connect(f"{folder}/w.duckdb")
    connection.execute("set timezone = 'UTC'; set memory_limit = '8GB'")
    sums = ", ".join(f"sum(credit_{model})" for model in SIX)

    def run() -> dict[str, dict[str, float]]:
        if from_touches:
            connection.execute(f"create or replace table intermediate.int_conversion_touches as {paths}")
        rows = connection.execute(f"select channel, {sums} from ({attribution}) group by channel").fetchall()
        return {channel: dict(zip(SIX, values, strict=True)) for channel, *values in rows}

    return run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    return make_project(folder, MODELS, INPUTS, left_out=("int_attribution_daily",))


def _prepared(project: Project, tmp_path: Path, converting: float) -> Path:
    parquet = tmp_path / "touches.parquet"
    make_touches(project.warehouse, parquet, TOUCHES, converting)
    load(project, INPUTS, seeds=("conversion_types",))
    return parquet


def _millions(count: int) -> str:
    return f"{count / 1e6:g} M"


def test_credits_of_converters(project: Project, tmp_path: Path) -> None:
    parquet = _prepared(project, tmp_path, converting=1.0)
    folder = str(project.folder)
    project.dbt("compile", "--quiet", "-s", *CREDITS)
    close_connections()
    measure(prepare_models, folder, PATHS_AND_MARKOV, warm=0)  # credit_markov needs the fits; not measured
    theirs = measure(prepare_library, str(parquet), tuple(SHARED.values()))
    table = measure(prepare_models, folder, CREDITS)
    ours = measure(prepare_sums, folder, False)
    whole = measure(prepare_sums, folder, True)
    for model, method in SHARED.items():
        expected = pytest.approx(theirs.result[method], rel=1e-6)
        assert {channel: sums[model] for channel, sums in ours.result.items()} == expected
        assert {channel: sums[model] for channel, sums in whole.result.items()} == expected
    touches = f"{_millions(TOUCHES)} touches of converters"
    library = "CPU over marketing-attribution-models' five, equal to 1e-6"
    for key, what, side, target, note in (
        ("1 six", "six heuristic models", ours, None, "from kept paths; theirs from touches"),
        ("2 six from touches", "six heuristic models", whole, 1 / 3, "both from touches"),
        ("3 ten as a table", "all ten models", table, None, "paths made, a row a touch, written to disk"),
    ):
        record(
            Row(
                f"attribution {key}",
                f"{what} of {touches}: {library}",
                f"{side.cpu_seconds:.1f} s CPU, {side.peak_mb:,.0f} MB",
                f"{theirs.cpu_seconds:.1f} s CPU, {theirs.peak_mb:,.0f} MB",
                side.cpu_seconds / theirs.cpu_seconds,
                target=target,
                note=note,
            )
        )


def test_markov_removal_effects(project: Project, tmp_path: Path) -> None:
    parquet = _prepared(project, tmp_path, converting=0.3)
    folder = str(project.folder)
    theirs = measure(prepare_library, str(parquet), ("run_markov",))
    whole = measure(prepare_models, folder, PATHS_AND_MARKOV)
    ours = measure(prepare_models, folder, MARKOV)
    given = dict(project.rows("select channel, removal_effect from attribution.attribution_markov_channels"))
    assert given == pytest.approx(theirs.result["run_markov"], abs=1e-9)
    touches = f"{_millions(TOUCHES)} touches"
    library = "marketing-attribution-models', equal to 1e-9"
    for key, side, cpu_target, memory_target, note in (
        ("1 effects", ours, None, None, "from kept paths; theirs from touches"),
        ("2 with paths", whole, 1 / 5, 1 / 5, "both from touches"),
    ):
        record(
            Row(
                f"markov {key} CPU",
                f"Markov removal effects of {touches}: CPU over {library}",
                f"{side.cpu_seconds:.1f} s CPU",
                f"{theirs.cpu_seconds:.1f} s CPU",
                side.cpu_seconds / theirs.cpu_seconds,
                target=cpu_target,
                note=note,
            )
        )
        record(
            Row(
                f"markov {key} memory",
                "the same: peak memory",
                f"{side.peak_mb:,.0f} MB",
                f"{theirs.peak_mb:,.0f} MB",
                side.peak_mb / theirs.peak_mb,
                target=memory_target,
                note=note,
            )
        )
