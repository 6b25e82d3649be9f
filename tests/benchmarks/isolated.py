"""A few of the project's models by themselves, over made-up inputs of any size.

What belongs here: a throw-away dbt project that holds the real models under test, with views over the schema
`bench` in the place of everything they read; and the job that runs them, for `measure`. What dbt itself costs
(about two seconds of CPU) counts on our side.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestration.transform import close_connections
from tests.unit.dbt.project import Project


def make_project(
    folder: Path, models: tuple[str, ...], inputs: Mapping[str, str], left_out: tuple[str, ...] = ()
) -> Project:
    """Lay out a project of these models, without those of a folder whose names start with one of `left_out`.

    `inputs`: model that is only read -> its schema; its rows are those of bench.<model>.
    """
    project = Project(folder, models=models, left_out=(*inputs, *left_out))
    for name, schema in inputs.items():
        stub = folder / "fixture_models" / f"{name}.sql"
        stub.write_text(
            f"{{{{ config(materialized='view', schema='{schema}') }}}}\nselect * from bench.{name}\n"
        )
    return project


def load(project: Project, inputs: Mapping[str, str], seeds: tuple[str, ...]) -> None:
    """Load seeds and make the views over the inputs, and let go of the warehouse for other processes."""
    project.dbt("seed", "-s", *seeds)
    project.dbt("run", "-s", *inputs)
    close_connections()


def prepare_models(folder: str, selection: tuple[str, ...], memory_limit: str = "8GB") -> Callable[[], None]:
    """The job that builds these models from nothing, in a project that `make_project` has laid out."""
    os.environ |= {
        "FUNNELHOUSE_WAREHOUSE": f"{folder}/w.duckdb",
        "FUNNELHOUSE_TEMP_DIR": f"{folder}/spill",
        "FUNNELHOUSE_MEMORY_LIMIT": memory_limit,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    from dbt.cli.main import dbtRunner

    places = ["--project-dir", folder, "--profiles-dir", folder, "--target-path", f"{folder}/target"]
    places += ["--log-path", f"{folder}/logs", "--quiet"]
    parsed = dbtRunner().invoke(["parse", *places])
    if not parsed.success:
        raise RuntimeError(str(parsed.exception))
    # dbt marks what it has compiled in a manifest, so each run gets its own.
    manifests = [copy.deepcopy(parsed.result) for _ in range(4)]

    def build() -> None:
        result = dbtRunner(manifest=manifests.pop()).invoke(
            ["run", "--full-refresh", "-s", *selection, *places]
        )
        if not result.success:
            failed = [
                f"{entry.node.name}: {entry.message}"
                for entry in getattr(result.result, "results", [])
                if entry.status == "error"
            ]
            raise RuntimeError("; ".join(failed) or str(result.exception))

    return build
