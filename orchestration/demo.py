"""The simulated company around a run: started in a process of its own, its addresses and clock set as the
environment's.

A data folder that the demo has filled belongs to that company (`demo.json`): another scale, or real accounts,
must not be mixed into it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from ingestion.settings import Paths
from orchestration.errors import Problem

MARKER = "demo.json"
AS_OF = "FUNNELHOUSE_AS_OF"
DEFAULT_AS_OF = "2026-07-01T03:00:00Z"


def claim(paths: Paths, scale: str, seed: int) -> None:
    """Note which company fills this data folder.

    Raises:
        Problem: it holds another company's data, or data that did not come from the demo.
    """
    present = company_in(paths)
    wanted = {"scale": scale, "seed": seed, "as_of": DEFAULT_AS_OF}
    if present == wanted:
        return
    if present is not None:
        raise Problem(
            f"{paths.data_dir} holds the demo at scale {present['scale']} (seed {present['seed']}). "
            "Run that again, remove the folder (`make clean`), or set FUNNELHOUSE_DATA_DIR to another one."
        )
    if paths.warehouse.exists():
        raise Problem(
            f"{paths.data_dir} holds data that did not come from the demo; simulated figures would be mixed "
            "into it. Set FUNNELHOUSE_DATA_DIR to another folder for the demo."
        )
    (paths.data_dir / MARKER).write_text(json.dumps(wanted) + "\n", encoding="utf-8")


def company_in(paths: Paths) -> dict[str, Any] | None:
    """Which company fills this data folder, if it is a demo's."""
    try:
        content: dict[str, Any] = json.loads((paths.data_dir / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


@contextmanager
def company(
    paths: Paths, scale: str, seed: int, console: Console, as_of: str = DEFAULT_AS_OF
) -> Iterator[str]:
    """The sandbox, up for the time of a block; the environment points there, and reports as of the company's
    clock. The dbt project is parsed while it starts: its process leaves one core idle.
    """
    from orchestration import transform
    from sandbox.app import launched
    from sandbox.environment import environment

    drop = paths.data_dir / "drop"
    with console.status(f"Generating the simulated company ({scale}) and starting its API servers …"):
        running = launched(scale=scale, seed=seed, as_of=as_of, drop=drop)
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(running.__enter__)
            transform.prepare(paths)
            base = starting.result()
    try:
        console.print(f"The simulated company ({scale}) answers on {base}; its clock says {as_of}.")
        settings = {**environment(base), "SOURCES__FILES__MANIFEST": str(drop / "manifest.yml"), AS_OF: as_of}
        with transform.variables_set(settings):
            yield base
    finally:
        running.__exit__(None, None, None)


@contextmanager
def company_of(paths: Paths, console: Console) -> Iterator[None]:
    """The company that fills this data folder, if it is a demo's, so that the UI can run its jobs; else
    nothing.
    """
    present = company_in(paths)
    if present is None:
        with nullcontext():
            yield
        return
    with company(paths, present["scale"], int(present["seed"]), console, present["as_of"]):
        yield


def serve(port: int, scale: str, seed: int, as_of: str, drop: Path | None) -> None:
    """Serve the company until interrupted, and say first which settings point there."""
    from sandbox.app import launched
    from sandbox.environment import environment

    with launched(scale=scale, seed=seed, as_of=as_of, port=port, drop=drop) as base:
        print(f"# The simulated company ({scale}) answers on {base}. Settings for .env:")
        settings = {**environment(base), AS_OF: as_of}
        if drop is not None:
            settings["SOURCES__FILES__MANIFEST"] = str(drop.resolve() / "manifest.yml")
        for name, value in settings.items():
            print(f"{name}={value}")
        print("# Stop it with Ctrl-C.", flush=True)
        try:
            import signal

            signal.pause()
        except KeyboardInterrupt:
            print("stopped")


def serve_ui(port: int) -> int:
    """Run `dagster dev` on 127.0.0.1 until interrupted; gives its exit code."""
    command = [sys.executable, "-m", "dagster", "dev", "-m", "orchestration.definitions"]
    command += ["-h", "127.0.0.1", "-p", str(port)]
    from ingestion.settings import PROJECT_ROOT

    try:
        return subprocess.run(command, cwd=PROJECT_ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 0


def print_truth(console: Console, scale: str, seed: int) -> None:
    """Print the true incremental conversions per channel."""
    from rich.table import Table

    from sandbox.truth import truth

    rows = truth(scale, seed)
    table = Table(title=f"True incremental conversions ({scale}, seed {seed})", title_justify="left")
    for name in rows.column_names:
        table.add_column(name, justify="left" if name == rows.column_names[0] else "right")
    for row in rows.to_pylist():
        table.add_row(
            *(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values())
        )
    console.print(table)
