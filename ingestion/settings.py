"""Where a run writes, what is connected, and where secrets come from.

- `Paths`: everything under the data folder (`FUNNELHOUSE_DATA_DIR`, default `./data`).
- `project()` / `project_vars()`: dbt_project.yml, the one list of connected systems and of every variable;
  `<data folder>/settings.json` overrides its `vars` for this data folder.
- `Connection`: one entry of that list; its secrets and addresses are read from the environment (or `.env`)
  under dlt's names: `SOURCES__<SYSTEM>__<CONNECTION>__<KEY>` first, then `SOURCES__<SYSTEM>__<KEY>`.

Nothing is read at import.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ingestion.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_FILE = PROJECT_ROOT / "dbt_project" / "dbt_project.yml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Paths:
    """The places of one data folder. `create()` makes the folders, readable by the owner only."""

    data_dir: Path

    @classmethod
    def from_environment(cls, data_dir: str | Path | None = None) -> Paths:
        return cls(Path(data_dir or os.environ.get("FUNNELHOUSE_DATA_DIR") or "data").expanduser().resolve())

    @property
    def warehouse(self) -> Path:
        return self.data_dir / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.data_dir / "published" / "funnelhouse.duckdb"

    @property
    def dlt_dir(self) -> Path:
        return self.data_dir / "dlt"

    @property
    def dagster_home(self) -> Path:
        return self.data_dir / "dagster"

    @property
    def gx_dir(self) -> Path:
        return self.data_dir / "gx"

    @property
    def temp_dir(self) -> Path:
        """Spill space of DuckDB; emptied by nobody but DuckDB."""
        return self.data_dir / "tmp"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "writer.lock"

    @property
    def key_file(self) -> Path:
        return self.data_dir / "pseudonym.key"

    @property
    def settings_file(self) -> Path:
        return self.data_dir / "settings.json"

    def create(self) -> Paths:
        """Make the data folder and its sub-folders with mode 0700. A folder that was there keeps its
        content."""
        folders = (
            self.data_dir,
            self.dlt_dir,
            self.dagster_home,
            self.gx_dir,
            self.temp_dir,
            self.published.parent,
        )
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                if folder == self.data_dir or folder.parent == self.data_dir:
                    folder.chmod(0o700)
            except OSError as error:
                raise ConfigurationError(
                    f"The data folder {folder} cannot be made or entered ({error.strerror}). "
                    "Set FUNNELHOUSE_DATA_DIR to a folder that you own."
                ) from None
        return self


@dataclass(frozen=True)
class Setting:
    """One key that a system reads from the environment. `doctor` lists them; a secret's value is never
    shown."""

    key: str
    default: str | None = None
    secret: bool = False
    required: bool = True
    help: str = ""


@dataclass(frozen=True)
class Connection:
    """One connected system: an entry of the list `systems`.

    `options` holds what else stands in the entry (for `files`: the manifest). `values` overrides the
    environment (tests).
    """

    system: str
    name: str = "main"
    accounts: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def pipeline_name(self) -> str:
        return f"{self.system}__{self.name}"

    @property
    def dataset(self) -> str:
        return f"raw_{self.system}"

    def source_relation(self, account: str) -> str:
        return f"{self.system}:{self.name}:{account}"

    def environment_names(self, key: str) -> tuple[str, str]:
        """The two variables that may hold a key, in the order in which they are asked."""
        system, name = self.system.upper(), re.sub(r"\W", "_", self.name).upper()
        return f"SOURCES__{system}__{name}__{key.upper()}", f"SOURCES__{system}__{key.upper()}"

    def get(self, key: str, default: str | None = None) -> str | None:
        """A setting's value, or the default. An empty value counts as absent."""
        if self.values.get(key):
            return self.values[key]
        for name in self.environment_names(key):
            value = environment_value(name)
            if value:
                return value
        return default

    def require(self, key: str) -> str:
        """A setting's value; one clear line if it is missing."""
        value = self.get(key)
        if not value:
            specific, general = self.environment_names(key)
            raise ConfigurationError(
                f"{self.system}: {key} is not set. Set {general} (or {specific} for connection "
                f"{self.name}) in the "
                "environment or in .env; `funnelhouse doctor` checks it."
            )
        return value


def setting(connection: Connection, declared: Sequence[Setting], key: str) -> str:
    """A setting's value, else the default that its system declares, else an empty text."""
    default = next(entry.default for entry in declared if entry.key == key)
    return connection.get(key, default) or ""


def environment_value(name: str) -> str | None:
    """A variable of the environment, else of `.env`. An empty value counts as absent."""
    return os.environ.get(name) or read_dotenv().get(name) or None


def read_dotenv(folder: Path | None = None) -> dict[str, str]:
    """The variables of `.env` in the working directory, else in the project's root. The environment always
    wins."""
    for place in [folder] if folder else [Path.cwd(), PROJECT_ROOT]:
        file = place / ".env"
        if file.is_file():
            return _parse_dotenv(file, file.stat().st_mtime_ns)
    return {}


@lru_cache(maxsize=8)
def _parse_dotenv(file: Path, _mtime: int) -> dict[str, str]:
    values = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.lstrip().startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")
    return values


def project() -> dict[str, Any]:
    """dbt_project.yml as it is, read again when it has changed."""
    return _read_project(DBT_PROJECT_FILE, DBT_PROJECT_FILE.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_project(file: Path, _mtime: int) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def canonical_entities() -> dict[str, dict[str, Any]]:
    """The canonical inputs: entity -> key, time, required, columns (the one definition, in
    dbt_project.yml)."""
    entities: dict[str, dict[str, Any]] = project()["vars"]["canonical_entities"]
    return entities


def read_settings(paths: Paths) -> dict[str, Any]:
    """`settings.json` of this data folder ({} if there is none)."""
    try:
        content = json.loads(paths.settings_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigurationError(
            f"{paths.settings_file} is no valid JSON ({error}). Correct it, or remove it to start "
            "from dbt_project.yml."
        ) from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{paths.settings_file} must hold one JSON object. Correct or remove it.")
    return content


def write_settings(paths: Paths, settings: Mapping[str, Any]) -> None:
    """Replace `settings.json` as a whole, by an atomic rename."""
    paths.create()
    temporary = paths.settings_file.with_suffix(".json.new")
    temporary.write_text(json.dumps(settings, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    temporary.replace(paths.settings_file)


def project_vars(paths: Paths | None = None) -> dict[str, Any]:
    """The variables of a run: those of dbt_project.yml, overridden by this data folder's settings."""
    variables = dict(project()["vars"])
    if paths is not None:
        variables.update(read_settings(paths))
    return variables


def settings_hash(settings: Mapping[str, Any]) -> str:
    """A short digest of settings: a publication with another one needs a full refresh."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def connections(paths: Paths | None = None, systems: Sequence[str] | None = None) -> list[Connection]:
    """The connected systems of this data folder, in the list's order; `systems` narrows them by name.

    Raises ConfigurationError with the known names where a name is unknown or an entry is malformed.
    """
    found = list(_entries(project_vars(paths).get("systems") or []))
    if systems is None:
        return found
    from ingestion.registry import (
        systems as registered,  # the registry imports the systems, which import this module
    )

    known = registered()
    for name in systems:
        if name not in known:
            raise ConfigurationError(
                f"There is no system called {name!r}. Known systems: {', '.join(sorted(known))}."
            )
        if not any(connection.system == name for connection in found):
            raise ConfigurationError(
                f"System {name} is not connected. Add it to `systems` in dbt_project.yml (or in the "
                "data folder's "
                "settings.json)."
            )
    return [connection for connection in found if connection.system in systems]


def _entries(entries: Any) -> Iterator[Connection]:
    if not isinstance(entries, list):
        raise ConfigurationError(
            "`systems` must be a list of entries with system, connection, accounts, entities."
        )
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if not isinstance(entry, dict) or not _NAME.fullmatch(str(entry.get("system", ""))):
            raise ConfigurationError(f"An entry of `systems` has no valid `system`: {entry!r}.")
        name = str(entry.get("connection", "main"))
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{entry['system']}: the connection {name!r} may only hold a-z, 0-9 and _, and "
                "starts with a letter."
            )
        if (entry["system"], name) in seen:
            raise ConfigurationError(f"{entry['system']}: the connection {name} stands twice in `systems`.")
        seen.add((entry["system"], name))
        known = {"system", "connection", "accounts", "entities"}
        yield Connection(
            system=entry["system"],
            name=name,
            accounts=tuple(str(account) for account in entry.get("accounts") or ()),
            entities=tuple(entry.get("entities") or ()),
            options={key: value for key, value in entry.items() if key not in known},
        )
