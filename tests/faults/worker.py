"""A process that loads the toy system and dies where it is told: each load in a forked child of a warm
parent.

Reads one JSON command per line: {"folder", "data", "kill", "days"}; answers one line with the child's exit
status (negative: its signal).
kill: null; {"after": seconds}; {"job": n} = right after the n-th load job's commit, before dlt notes it;
{"file_size": bytes} = no file may grow beyond that, as on a full disk.
days: null, or [first, last]: a backfill of these days of the ads. A load waits for the lock where another one
holds it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from dlt.common.destination.client import RunnableLoadJob

from ingestion.settings import Paths
from ingestion.sources import Bounds
from ingestion.warehouse import load, writer_lock
from tests.faults.toy import AS_OF, CONNECTION, system_of


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(command: dict[str, Any]) -> None:
    kill = command["kill"] or {}
    if "after" in kill:
        threading.Timer(kill["after"], die).start()
    if "job" in kill:
        release, done = RunnableLoadJob._release, []

        def counting(self: RunnableLoadJob, next_state: Any) -> None:
            done.append(self)
            if len(done) == kill["job"]:
                die()
            release(self, next_state)

        RunnableLoadJob._release = counting  # type: ignore[method-assign]
    if "file_size" in kill:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kill["file_size"], resource.RLIM_INFINITY))
    paths = Paths.from_environment(Path(command["folder"]))
    bounds = Bounds(*map(date.fromisoformat, command["days"])) if command.get("days") else None
    tables = ["ads"] if bounds else None
    with writer_lock(paths, wait=60):
        load(paths, CONNECTION, tables, system=system_of(command["data"]), as_of=AS_OF, bounds=bounds)


def warm_up() -> None:
    """Import here what a load imports on its way, once instead of in every child.

    No load runs in this process itself: its threads would not survive a fork.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "modules"
        child = os.fork()
        if child == 0:
            work({"folder": f"{folder}/data", "data": {}, "kill": None})
            names.write_text("\n".join(sys.modules))
            os._exit(0)
        os.waitpid(child, 0)
        for name in names.read_text().splitlines():
            with suppress(ImportError):  # made by another module, not found by its name
                importlib.import_module(name)


def main() -> None:
    warm_up()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                work(json.loads(line))
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
