"""The line as Dagster runs it: load, check, build, audit, publish; and what stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
import yaml
from dagster import DagsterRunStatus, FreshnessPolicy

from ingestion.errors import Unauthorized, WarehouseBusy
from ingestion.settings import PROJECT_ROOT, Paths, write_settings
from ingestion.warehouse import writer_lock
from orchestration import pipeline, resources, runner, runs, transform
from orchestration.cli import main as cli_main
from orchestration.definitions import build_defs
from tests.unit.orchestration.conftest import Shop


def published_orders(paths: Paths) -> list[tuple[object, ...]]:
    with duckdb.connect(str(paths.published), read_only=True) as reader:
        return reader.execute(
            "select order_id, cast(amount as double) from core.fct_orders order by 1"
        ).fetchall()


def warehouse_rows(paths: Paths, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(paths.warehouse), read_only=True) as reader:
        return reader.execute(sql).fetchall()


def test_a_run_publishes_and_a_failing_audit_leaves_the_published_file_untouched(
    shop: Shop, paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runner.execute(paths, "daily_run")
    assert first.success, first.failures
    assert published_orders(paths) == [(1, 10.0), (2, 20.0)]
    assert (first.warned, first.failed) == (1, 0)  # dbt's warn severity is a warning here, not an error
    assert {check.name for check in first.failed_checks} == {"orders_have_labels"}
    with runs.open_instance(paths) as instance:
        run = instance.get_run_by_id(first.run_id)
        assert run is not None
        assert run.status is DagsterRunStatus.SUCCESS
        events = instance.all_logs(first.run_id)
        checks = {
            (".".join(event.dagster_event.asset_check_evaluation_data.asset_key.path)): None
            for event in events
            if event.dagster_event and event.dagster_event.event_type_value == "ASSET_CHECK_EVALUATION"
        }
        # A singular test that reads two models is a check too, and so is the volume of each raw table.
        assert {"core.fct_orders", "raw_shop.orders", "raw_shop.visits"} <= set(checks)
        metadata = {
            ".".join(event.dagster_event.asset_key.path): event.dagster_event.materialization.metadata
            for event in events
            if event.dagster_event and event.dagster_event.event_type_value == "ASSET_MATERIALIZATION"
        }
    assert metadata["core.fct_orders"]["dagster/row_count"].value == 2
    lineage = metadata["core.fct_orders"]["dagster/column_lineage"].value.deps_by_column
    assert [dep.asset_key.to_user_string() for dep in lineage["amount"]] == ["intermediate/int_orders"]
    assert metadata["raw_shop.orders"]["rows_loaded"].value == 2

    mark = warehouse_rows(paths, "select max(batch_mark) from ops.publications")
    content = paths.published.read_bytes()
    shop.orders.append({"order_id": 3, "amount": "5000"})
    monkeypatch.setattr(sys, "argv", ["funnelhouse", "run"])
    with pytest.raises(SystemExit) as left:
        cli_main()
    assert left.value.code == 1
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert "error: Audit amounts_are_small failed: 1 row(s)" in err
    assert "5000" in err  # the row itself
    assert "amounts_are_small.sql" in err  # where to look
    assert "What to do" in err
    assert paths.published.read_bytes() == content
    assert warehouse_rows(paths, "select max(batch_mark) from ops.publications") == mark
    with runs.open_instance(paths) as instance:
        failed = instance.get_runs(limit=1)[0]
        assert failed.status is DagsterRunStatus.FAILURE
        begun = {
            event.step_key
            for event in instance.all_logs(failed.run_id)
            if event.dagster_event and event.dagster_event.event_type_value == "STEP_START"
        }
    assert begun == {"load_shop", "check_raw_shop", "build_and_audit"}

    shop.orders[-1] = {"order_id": 3, "amount": "50"}
    mended = runner.execute(paths, "daily_run")
    assert mended.success, mended.failures
    assert published_orders(paths) == [(1, 10.0), (2, 20.0), (3, 50.0)]


def test_a_source_that_loses_half_its_rows_stops_before_the_build(
    shop: Shop, paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner.execute(paths, "daily_run").success
    builds = warehouse_rows(paths, "select count(*) from ops.builds")
    with duckdb.connect(str(paths.warehouse)) as warehouse:  # as a wiped source would leave it
        warehouse.execute("delete from raw_shop.visits where true")
        warehouse.execute("delete from raw_shop._slices where true")
    monkeypatch.setattr(shop, "read_visits", lambda context: iter(()))
    system = shop.system()
    monkeypatch.setattr("ingestion.registry.systems", lambda: {"shop": system})
    monkeypatch.setattr(sys, "argv", ["funnelhouse", "run"])
    with pytest.raises(SystemExit) as left:
        cli_main()
    assert left.value.code == 1
    _, err = capfd.readouterr()
    assert "error: Check volume of raw_shop.visits failed" in err
    assert "count(*)" in err
    assert warehouse_rows(paths, "select count(*) from ops.builds") == builds
    checks = warehouse_rows(
        paths,
        "select passed, severity from ops.raw_checks where raw_table = 'raw_shop.visits' order by checked_at",
    )
    assert checks[-1] == (False, "critical")
    assert (paths.gx_dir / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html").is_file()


def test_a_source_error_is_one_line(
    shop: Shop, paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = Unauthorized("shop", "the token was refused (401).", "Check SOURCES__SHOP__TOKEN.")
    shop.error = error
    monkeypatch.setattr(sys, "argv", ["funnelhouse", "run"])
    started = time.monotonic()
    with pytest.raises(SystemExit) as left:
        cli_main()
    assert left.value.code == 1
    assert time.monotonic() - started < 30  # no retry policy keeps a person waiting
    _, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.strip()]
    assert lines == [f"error: {error}"]


def test_a_full_quarantine_is_one_line(
    shop: Shop, paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.orders = [{"order_id": 1, "amount": "10"}, *({"order_id": "x", "amount": "?"} for _ in range(9))]
    monkeypatch.setattr(sys, "argv", ["funnelhouse", "run"])
    with pytest.raises(SystemExit) as left:
        cli_main()
    assert left.value.code == 1
    _, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "quarantine" in lines[0].lower()
    assert not paths.published.exists()


def test_a_backfill_passes_its_bounds_and_then_publishes(
    shop: Shop, paths: Paths, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline.run_once(paths, run_tests=False)
    monkeypatch.setattr(
        sys,
        "argv",
        ["funnelhouse", "backfill", "--system", "shop", "--from", "2026-06-01", "--to", "2026-06-02"],
    )
    with pytest.raises(SystemExit) as left:
        cli_main()
    out, err = capfd.readouterr()
    assert left.value.code in (0, None), err
    bounds = shop.bounds[-1]
    assert (str(bounds.date_from), str(bounds.date_to)) == ("2026-06-01", "2026-06-02")
    assert warehouse_rows(paths, "select count(*) from raw_shop.visits") == [(2,)]
    assert "Published" in out


def test_run_once_does_the_same_without_dagster(shop: Shop, paths: Paths) -> None:
    first = pipeline.run_once(paths)
    assert first.is_full_refresh
    assert published_orders(paths) == [(1, 10.0), (2, 20.0)]
    second = pipeline.run_once(paths, run_tests=False)
    assert not second.is_full_refresh
    assert published_orders(paths) == [(1, 10.0), (2, 20.0)]
    assert len(warehouse_rows(paths, "select * from ops.publications")) == 2
    shop.orders.append({"order_id": 3, "amount": "5000"})
    with pytest.raises(transform.BuildFailed, match="amounts_are_small"):
        pipeline.run_once(paths)
    assert published_orders(paths) == [(1, 10.0), (2, 20.0)]


def test_definitions_are_complete(shop: Shop, paths: Paths) -> None:
    definitions = build_defs(paths)
    jobs = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert {"daily_run", "build_and_publish", "run_shop", "backfill_shop"} <= jobs
    graph = definitions.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert keys == {
        "raw_shop/orders",
        "raw_shop/visits",
        "raw_shop/_slices",
        "raw_shop/_quarantine",
        "seeds/labels",
        "staging/stg_shop__orders",
        "intermediate/int_orders",
        "core/fct_orders",
        "published/funnelhouse",
    }  # nothing phantom: no dlt parents, no sources without an asset
    groups = {node.key.to_user_string(): node.group_name for node in graph.asset_nodes}
    assert groups["raw_shop/orders"] == "raw_shop"
    assert groups["core/fct_orders"] == "core"
    assert groups["intermediate/int_orders"] == "intermediate_orders"
    pools = {pool for node in graph.asset_nodes for pool in node.pools}
    assert pools == {resources.WRITER_POOL}
    policies = [node.freshness_policy for node in graph.asset_nodes if node.key.path[0] == "raw_shop"]
    assert all(isinstance(policy, FreshnessPolicy) for policy in policies)


def test_building_definitions_opens_no_warehouse(shop: Shop, paths: Paths) -> None:
    build_defs(paths)
    assert not paths.warehouse.exists()
    assert not paths.key_file.exists()


def test_a_busy_warehouse_is_said_at_once_and_a_killed_holder_frees_it(paths: Paths) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2]);"
        "from pathlib import Path; from ingestion.settings import Paths;"
        "from ingestion.warehouse import writer_lock\n"
        "with writer_lock(Paths(Path(sys.argv[1]))):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(paths.data_dir), str(PROJECT_ROOT)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(WarehouseBusy), resources.locked(paths):
            pass
        command = [sys.executable, "-m", "orchestration.cli", "run"]
        refused = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, timeout=60)
        assert refused.returncode == 1
        assert len(refused.stderr.strip().splitlines()) == 1
        assert refused.stderr.startswith("error: ")
        assert "Traceback" not in refused.stderr + refused.stdout
    finally:
        holder.kill()
        holder.wait()
    with resources.locked(paths), writer_lock(paths):  # free again, and free to its own process
        assert resources.holds_lock(paths)
    assert not resources.holds_lock(paths)


def test_a_dead_run_is_failed_and_its_slot_freed(paths: Paths) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mark = runs.process_mark(process.pid)
    assert runs.is_alive(mark)
    with runs.open_instance(paths) as instance:
        from dagster import job, op

        @op
        def nothing() -> None:
            return None

        @job
        def some_job() -> None:
            nothing()

        def claim(tag: str) -> str:
            run = instance.create_run_for_job(
                some_job, status=DagsterRunStatus.STARTED, tags={runs.PROCESS_TAG: tag}
            )
            return run.run_id

        alive, dying = claim(runs.process_mark()), claim(mark)
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(resources.WRITER_POOL)
        assert storage.claim_concurrency_slot(resources.WRITER_POOL, dying, "load").is_claimed
        process.kill()
        process.wait()
        assert not runs.is_alive(mark)
        assert runs.fail_dead_runs(instance) == [dying]
        statuses = {run_id: instance.get_run_by_id(run_id).status for run_id in (alive, dying)}
        assert statuses == {alive: DagsterRunStatus.STARTED, dying: DagsterRunStatus.FAILURE}
        info = storage.get_concurrency_info(resources.WRITER_POOL)
        assert (info.claimed_slots, info.limit) == ([], 1)


def test_the_instance_is_quiet_and_limits_the_pool(paths: Paths) -> None:
    file = runs.install_instance(paths)
    settings = yaml.safe_load(file.read_text())
    assert settings["telemetry"] == {"enabled": False}
    assert settings["concurrency"]["pools"]["default_limit"] == 1
    assert settings["run_monitoring"]["enabled"]
    assert settings["run_retries"]["enabled"]
    with runs.open_instance(paths) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("no_such_setting", 1, "unknown"),
        ("session_gap_minutes", "30; drop table x", "must be like"),
        ("session_gap_minutes", True, "must be like"),
        ("reporting_currency", "EUR'; --", "not allowed"),
        ("reporting_currency", "euro", "ISO code"),
        ("reporting_time_zone", "Mars/Olympus", "no time zone"),
    ],
)
def test_settings_are_checked_before_they_reach_sql(
    shop: Shop, paths: Paths, key: str, value: object, message: str
) -> None:
    write_settings(paths, {key: value})
    with pytest.raises(transform.Problem, match=message):
        transform.variables(paths)


def test_the_manifest_is_prepared_once_and_outside_the_checkout(shop: Shop, paths: Paths) -> None:
    before = {path for path in transform.PROJECT_DIR.rglob("*") if path.is_file()}
    manifest = transform.prepare(paths)
    first = manifest.stat().st_mtime_ns
    assert transform.prepare(paths).stat().st_mtime_ns == first
    write_settings(paths, {"session_gap_minutes": 45})
    transform.prepare(paths)
    assert json.loads(manifest.read_text())["metadata"]["project_name"] == "funnelhouse"
    assert manifest.stat().st_mtime_ns != first
    assert {path for path in transform.PROJECT_DIR.rglob("*") if path.is_file()} == before


def test_moment_of_run(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(paths, {"as_of": "2026-01-02T03:04:05+01:00"})
    assert resources.moment_of_run(paths).isoformat() == "2026-01-02T02:04:05"
    monkeypatch.setenv("FUNNELHOUSE_AS_OF", "2026-07-01T03:00:00Z")
    assert resources.moment_of_run(paths).isoformat() == "2026-07-01T03:00:00"
    monkeypatch.setenv("FUNNELHOUSE_AS_OF", "tomorrow")
    with pytest.raises(transform.Problem, match="no ISO date"):
        resources.moment_of_run(paths)


def test_process_marks_tell_processes_apart() -> None:
    assert runs.process_mark() == runs.process_mark(os.getpid())
    assert not runs.is_alive(f"{os.getpid()}:1")
    assert Path(PROJECT_ROOT, "dagster.yaml").is_file()


def test_the_docs_are_one_page_before_and_after_a_run(shop: Shop, paths: Paths) -> None:
    bare = transform.write_docs(paths).read_text(encoding="utf-8")
    assert "fct_orders" in bare
    assert not paths.warehouse.exists()
    pipeline.run_once(paths)
    page = transform.write_docs(paths)
    assert page == paths.data_dir / "docs" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "fct_orders" in text
    assert "DECIMAL(19,4)" in text  # from the warehouse
    assert "<script src=" not in text.lower()
