"""Where a publication goes besides the published file, by configuration: Parquet files, PostgreSQL.

They are written after the published file, from the same audited candidate. One that fails keeps what it had,
and the run says so; `funnelhouse publish` tries again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ingestion.settings import Paths, environment_value, read_settings
from orchestration.errors import Problem, one_line
from orchestration.publication import candidate_tables, flush, quoted

PARQUET = "FUNNELHOUSE_PUBLISH_PARQUET"
KEPT_EDITIONS = 2  # the newest, and the one before for readers that are still in it

OnTable = Callable[[str, int, int], None]


class Outlet(Protocol):
    """One place to publish to."""

    @property
    def name(self) -> str: ...

    def check(self) -> str:
        """Whether it can be published to, in words.

        Raises:
            Problem: it cannot, and what to do.
        """
        ...

    def write(self, connection: Any, run_id: str, on_table: OnTable) -> None:
        """Replace what is there by the candidate's marts, all of it or nothing.

        Raises:
            Problem: it could not be done; what was there is still there.
        """
        ...


@dataclass(frozen=True)
class Parquet:
    """`<folder>/<schema>/<table>.parquet`; the folder is a link that one atomic rename points at a new
    edition.
    """

    folder: Path
    name: str = "Parquet"

    def check(self) -> str:
        """See `Outlet.check`."""
        return f"{self.name} ({self.folder})"

    def write(self, connection: Any, run_id: str, on_table: OnTable = lambda *_: None) -> None:
        """See `Outlet.write`."""
        parent = self.folder.parent
        edition = parent / f"{self.folder.name}-{time.time_ns()}-{run_id[:8]}"
        tables = candidate_tables(connection)
        try:
            for number, (schema, table) in enumerate(tables, 1):
                on_table(f"{self.name}: {schema}.{table}", number, len(tables))
                path = edition / schema / f"{table}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                connection.execute(
                    f"""copy "{schema}"."{table}" to '{quoted(path)}' (format parquet, compression zstd)"""
                )
                flush(path)
            link = parent / f".publishing-{os.getpid()}.link"
            link.unlink(missing_ok=True)
            link.symlink_to(edition.name)
            link.replace(self.folder)
            flush(parent)
        except Exception as error:
            shutil.rmtree(edition, ignore_errors=True)
            raise Problem(f"the files of the run before stay: {one_line(error)}") from error
        editions = sorted(path for path in parent.glob(f"{self.folder.name}-*") if path.is_dir())
        for old in editions[:-KEPT_EDITIONS]:
            shutil.rmtree(old, ignore_errors=True)


def configured(paths: Paths) -> list[Outlet]:
    """The outlets that the environment and the data folder's settings name.

    Raises:
        Problem: a setting cannot be used.
    """
    found: list[Outlet] = []
    wanted = (environment_value(PARQUET) or "").strip().lower() in ("1", "true", "yes")
    if wanted or read_settings(paths).get("publish_parquet"):
        found.append(Parquet(paths.published.parent / "parquet"))
    from orchestration.postgres import from_environment

    postgres = from_environment(paths)
    return [*found, postgres] if postgres else found
