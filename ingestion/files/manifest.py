"""The manifest: which files hold which entity, and how our columns are made from theirs. Read, typed,
checked; nothing is opened here.

Every error names the file, the key and the remedy.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import yaml

from ingestion.errors import ConfigurationError
from ingestion.files.places import Place, matches
from ingestion.settings import canonical_entities

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
OWN_ENTITIES = ("control_totals", "quarantined_records")
"""Entities that staging derives from what was loaded; no file brings them."""

_TOP = {
    "version",
    "name",
    "currency",
    "time_zone",
    "reporting_currency",
    "reporting_time_zone",
    "as_of",
    "entities",
}
_OPTIONS = {"decimal_separator", "thousands_separator", "date_format", "timestamp_format", "time_zone"}
_GROUP = _OPTIONS | {
    "path",
    "format",
    "encoding",
    "delimiter",
    "quote",
    "currency",
    "null_values",
    "columns",
    "filter",
}
_COLUMN = _OPTIONS | {"column", "value", "sql", "format"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_ALLOWED_IN_SQL = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "LAMBDA",
    "LAMBDA_REF",
    "OPERATOR",
    "POSITIONAL_REFERENCE",
    "TYPE",
}


@dataclass(frozen=True)
class Reading:
    """How text becomes numbers and times."""

    decimal_separator: str = "."
    thousands_separator: str = ""
    date_format: str | None = None
    timestamp_format: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True)
class Mapped:
    """Where one of our columns comes from: exactly one of their column, a constant, an expression."""

    reading: Reading
    column: str | None = None
    value: str | None = None
    sql: str | None = None
    uses: tuple[str, ...] = ()
    """Their columns that it needs."""


@dataclass(frozen=True)
class Filter:
    when: str
    reason: str
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Files of one entity with one shape."""

    entity: str
    number: int
    pattern: str
    format: str | None
    encoding: str
    delimiter: str | None
    quote: str
    null_values: tuple[str, ...]
    columns: Mapping[str, Mapped]
    filters: tuple[Filter, ...]
    fingerprint: str
    """A digest of this part of the manifest: a change of it reads the files again."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Their columns that the mapping and the filters need, in order, each once."""
        names = [name for mapped in self.columns.values() for name in mapped.uses]
        names += [name for rule in self.filters for name in rule.uses]
        return tuple(dict.fromkeys(names))

    def format_of(self, name: str) -> str:
        """csv, jsonl or parquet, of a file of that name."""
        return self.format or FORMATS[_extension(name)]

    def delimiter_of(self, name: str) -> str:
        return self.delimiter or ("\t" if _extension(name) == ".tsv" else ",")


@dataclass(frozen=True)
class Manifest:
    file: Path
    name: str
    groups: tuple[Group, ...]
    reporting_currency: str | None = None
    reporting_time_zone: str | None = None
    as_of: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def entities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group.entity for group in self.groups))

    def entry(self, connection: str = "main") -> dict[str, Any]:
        """This manifest as an entry of the list `systems`."""
        return {
            "system": "files",
            "connection": connection,
            "accounts": [self.name],
            "entities": [*self.entities, *OWN_ENTITIES],
            "manifest": str(self.file),
        }

    def settings(self) -> dict[str, Any]:
        """The settings of a run that the manifest decides."""
        settings: dict[str, Any] = {}
        if self.reporting_currency:
            settings["reporting_currency"] = self.reporting_currency
        if self.reporting_time_zone:
            settings["reporting_time_zone"] = self.reporting_time_zone
        if self.as_of:
            settings["as_of"] = self.as_of.strftime("%Y-%m-%d %H:%M:%S")
        return settings

    def groups_of(self, entity: str) -> list[Group]:
        """The groups of files that bring an entity."""
        return [group for group in self.groups if group.entity == entity]

    def files_of(self, entity: str) -> list[tuple[str, Place, Group]]:
        """(slice, file, group) of one entity, sorted by slice. The slice is the file's path below its glob's
        fixed folder's parent, so that it does not depend on where the drop lies."""
        found: dict[str, tuple[Place, Group]] = {}
        for group in self.groups_of(entity):
            for name, file in matches(self.file, group.pattern):
                if group.format is None and _extension(file.name) not in FORMATS:
                    raise ConfigurationError(
                        f"{self.file}: entities.{entity}: {file.name} has no known extension. Add "
                        "`format` (csv, jsonl, parquet)."
                    )
                if name in found:
                    name = f"{name}#{group.number + 1}"
                if name in found:
                    raise ConfigurationError(
                        f"{self.file}: entities.{entity}: two files are called {name}. Rename one of them."
                    )
                found[name] = (file, group)
        return [(name, *found[name]) for name in sorted(found)]


def read_manifest(path: str | Path) -> Manifest:
    """Read and check a manifest; read again when the file, or a variable that it uses, has changed."""
    file = Path(path).expanduser().resolve()
    if file.is_dir():
        file = file / "manifest.yml"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The manifest {file} cannot be read ({error.strerror}). Give the path of a manifest.yml."
        ) from None
    missing = [name for name in _VARIABLE.findall(text) if not os.environ.get(name)]
    if missing:
        raise ConfigurationError(
            f"{file}: the environment variable {missing[0]} is not set. Set it to the folder of the files."
        )
    return _read(file, _VARIABLE.sub(lambda match: os.environ[match[1]], text))


@lru_cache(maxsize=8)
def _read(file: Path, text: str) -> Manifest:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where is not None else ""
        raise ConfigurationError(f"{file} is no valid YAML{line}. Correct it.") from None
    return _Reader(file).manifest(document)


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.entities = canonical_entities()

    def fail(self, key: str, what: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(f"{self.file}: {key}: {what}. {remedy}")

    def manifest(self, document: Any) -> Manifest:
        content = self._mapping("the manifest", document, _TOP)
        if content.get("version") != 1:
            raise self.fail("version", f"is {content.get('version')!r}", "Write `version: 1`.")
        name = str(content.get("name", "drop"))
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
            raise self.fail("name", f"{name!r} is no name", "Use letters, digits, '_', '-' and '.'.")
        entities = self._mapping("entities", content.get("entities"), set(self.entities) - set(OWN_ENTITIES))
        if not entities:
            raise self.fail("entities", "is empty", "List at least one entity.")
        groups = []
        for entity, parts in entities.items():
            for number, part in enumerate(parts if isinstance(parts, list) else [parts]):
                groups.append(self._group(entity, number, part, content))
        return Manifest(
            file=self.file,
            name=name,
            groups=tuple(groups),
            reporting_currency=self._currency("reporting_currency", content.get("reporting_currency")),
            reporting_time_zone=self._zone("reporting_time_zone", content.get("reporting_time_zone")),
            as_of=self._moment(content.get("as_of")),
            raw=content,
        )

    def _group(self, entity: str, number: int, part: Any, top: Mapping[str, Any]) -> Group:
        key = f"entities.{entity}[{number}]"
        content = self._mapping(key, part, _GROUP)
        definition = self.entities[entity]
        pattern = content.get("path")
        if not isinstance(pattern, str) or not pattern:
            raise self.fail(f"{key}.path", "is missing", "Give a glob such as orders/*.csv.")
        if content.get("format") not in (None, "csv", "jsonl", "parquet"):
            raise self.fail(
                f"{key}.format", f"{content['format']!r} is unknown", "Use csv, jsonl or parquet."
            )
        encoding = str(content.get("encoding", "utf-8"))
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise self.fail(
                f"{key}.encoding", f"{encoding!r} is unknown", "Use utf-8, latin-1, cp1252 …"
            ) from None
        for name in ("delimiter", "quote"):
            if len(str(content.get(name, ","))) > 1:
                raise self.fail(f"{key}.{name}", "has more than one character", "Give one character.")
        zone = self._zone(f"{key}.time_zone", content.get("time_zone", top.get("time_zone")))
        reading = self._reading(key, {**content, "time_zone": zone}, Reading())
        currency = self._currency(f"{key}.currency", content.get("currency", top.get("currency")))
        columns = self._columns(entity, key, content.get("columns"), reading)
        if currency and "currency" in definition["columns"] and "currency" not in columns:
            columns["currency"] = Mapped(reading, value=currency)
        own_key = definition["key"][0] if len(definition["key"]) == 1 else None
        for name in definition["required"]:
            if name not in columns and name != own_key:
                remedy = "Map it" + (", or give `currency`." if name == "currency" else ".")
                raise self.fail(f"{key}.columns", f"the required column {name} is not mapped", remedy)
        filters = []
        for position, rule in enumerate(content.get("filter") or []):
            where = f"{key}.filter[{position}]"
            rule = self._mapping(where, rule, {"when", "reason"})
            if not rule.get("when") or not rule.get("reason"):
                raise self.fail(
                    where, "needs `when` and `reason`", "Every left-out record has a stated reason."
                )
            filters.append(
                Filter(str(rule["when"]), str(rule["reason"]), self._uses(where, str(rule["when"])))
            )
        nulls = content.get("null_values", [""])
        if not isinstance(nulls, list):
            raise self.fail(f"{key}.null_values", "is no list", 'Write for instance ["", "n/a"].')
        fingerprint = hashlib.sha256(
            json.dumps(
                [content, top.get("currency"), top.get("time_zone"), definition], sort_keys=True, default=str
            ).encode()
        ).hexdigest()
        return Group(
            entity=entity,
            number=number,
            pattern=pattern,
            format=content.get("format"),
            encoding=encoding,
            delimiter=content.get("delimiter"),
            quote=str(content.get("quote", '"')),
            null_values=tuple(str(value) for value in nulls),
            columns=columns,
            filters=tuple(filters),
            fingerprint=fingerprint,
        )

    def _columns(self, entity: str, key: str, content: Any, reading: Reading) -> dict[str, Mapped]:
        known = set(self.entities[entity]["columns"])
        columns = {}
        for name, target in self._mapping(f"{key}.columns", content, known).items():
            where = f"{key}.columns.{name}"
            if isinstance(target, dict):
                target = self._mapping(where, target, _COLUMN)
                given = [kind for kind in ("column", "value", "sql") if target.get(kind) is not None]
                if len(given) != 1:
                    raise self.fail(where, "needs exactly one of column, value, sql", "Give one.")
                own = dict(target)
                if "format" in own:
                    own["date_format"] = own["timestamp_format"] = own.pop("format")
                own_reading = self._reading(where, own, reading)
                if given == ["value"]:
                    value = target["value"]
                    text = str(value).lower() if isinstance(value, bool) else str(value)
                    columns[name] = Mapped(own_reading, value=text)
                elif given == ["sql"]:
                    sql = str(target["sql"])
                    columns[name] = Mapped(own_reading, sql=sql, uses=self._uses(where, sql))
                else:
                    columns[name] = Mapped(
                        own_reading, column=str(target["column"]), uses=(str(target["column"]),)
                    )
            elif isinstance(target, str) and target:
                columns[name] = Mapped(reading, column=target, uses=(target,))
            else:
                raise self.fail(
                    where, f"{target!r} is no column", "Name their column, or give {value: …} or {sql: …}."
                )
        return columns

    def _reading(self, key: str, content: Mapping[str, Any], default: Reading) -> Reading:
        values = {name: content[name] for name in _OPTIONS if content.get(name) is not None}
        for name in ("decimal_separator", "thousands_separator"):
            if name in values and len(str(values[name])) != 1:
                raise self.fail(f"{key}.{name}", "must be one character", "Correct it.")
        if "time_zone" in values:
            self._zone(f"{key}.time_zone", values["time_zone"])
        return Reading(**{**default.__dict__, **{name: str(value) for name, value in values.items()}})

    def _uses(self, key: str, sql: str) -> tuple[str, ...]:
        """The columns that an expression names; refuses everything that is more than an expression over one
        record."""
        with duckdb.connect(":memory:") as con:
            row = con.execute("select json_serialize_sql(?)", [f"select {sql}"]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
        if tree.get("error"):
            raise self.fail(
                key, f"is no SQL expression ({tree.get('error_message', 'syntax')})", "Correct it."
            )
        statements = tree["statements"]
        node = statements[0]["node"] if len(statements) == 1 else {}
        if (
            node.get("type") != "SELECT_NODE"
            or len(node["select_list"]) != 1
            or node["from_table"]["type"] != "EMPTY"
            or node["where_clause"]
            or node["group_expressions"]
            or node["modifiers"]
        ):
            raise self.fail(
                key, "is more than one expression", "Give one expression over the columns of one record."
            )
        names: dict[str, None] = {}
        for part in _parts(node["select_list"][0]):
            if part["class"] not in _ALLOWED_IN_SQL:
                raise self.fail(
                    key,
                    f"uses {part['class'].lower()}",
                    "Only expressions over the columns of one record are allowed.",
                )
            if part["class"] == "COLUMN_REF":
                names[part["column_names"][0]] = None
        parameters = {
            name
            for part in _parts(node["select_list"][0])
            if part["class"] == "LAMBDA"
            for inner in _parts(part.get("lhs") or {})
            for name in inner.get("column_names", [])
        }
        return tuple(
            name for name in names if name not in parameters and name.lower() not in ("_line", "_file")
        )

    def _mapping(self, key: str, content: Any, known: set[str]) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self.fail(key, "is missing or no mapping", f"It may hold: {', '.join(sorted(known))}.")
        for name in content:
            if name not in known:
                raise self.fail(key, f"{name!r} is unknown", f"Known here: {', '.join(sorted(known))}.")
        return content

    def _currency(self, key: str, value: Any) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z]{3}", str(value)):
            raise self.fail(key, f"{value!r} is no currency code", "Use three capitals such as EUR.")
        return value

    def _zone(self, key: str, value: Any) -> str | None:
        if value is not None:
            try:
                ZoneInfo(str(value))
            except (KeyError, ValueError, OSError):
                raise self.fail(
                    key, f"{value!r} is no time zone", "Use a name such as Europe/Amsterdam."
                ) from None
        return value

    def _moment(self, value: Any) -> datetime | None:
        if value is None:
            return None
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            raise self.fail(
                "as_of", f"{value!r} is no time", "Write for instance 2026-07-01T03:00:00Z."
            ) from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every expression node of a serialised statement."""
    if isinstance(node, dict):
        if isinstance(node.get("class"), str):
            yield node
        for child in node.values():
            yield from _parts(child)
    elif isinstance(node, list):
        for child in node:
            yield from _parts(child)


def _extension(name: str) -> str:
    return PurePath(name.lower().removesuffix(".gz")).suffix
