"""Where files lie: local folders, and every place that fsspec knows by a URL (s3://, gs://, file://, memory://).

What belongs here: finding the files of a glob and opening one as a stream of its plain bytes. What is in them
is read elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import fsspec  # type: ignore[import-untyped]
import pyarrow as pa

from ingestion.errors import ConfigurationError

DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}
"""What must be installed for a protocol that fsspec does not serve itself."""
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "generation")
"""What a store says of an object, of which one change means that the content has changed."""
_WILDCARDS = set("*?[")
_BLOCK = 1 << 20


class Place(Protocol):
    """One file."""

    @property
    def name(self) -> str:
        """Its own name, without folders."""

    def open(self) -> pa.NativeFile:
        """Its plain bytes: a .gz file is unpacked. Raises OSError."""

    def version(self) -> str:
        """A text that changes with the content."""


@dataclass(frozen=True)
class LocalFile:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def open(self) -> pa.NativeFile:
        return pa.input_stream(str(self.path), compression=_compression(self.name))

    def version(self) -> str:
        with self.path.open("rb") as stream:
            return _digest(stream)


@dataclass(frozen=True)
class RemoteFile:
    store: Any
    path: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    def open(self) -> pa.NativeFile:
        stream = pa.PythonFile(self.store.open(self.path, "rb"), mode="r")
        compression = _compression(self.name)
        return pa.CompressedInputStream(stream, compression) if compression else stream

    def version(self) -> str:
        """What the store says of the object; where it says nothing, a digest of its bytes."""
        info = self.store.info(self.path)
        for name in VERSIONS:
            if info.get(name):
                return f"{name}:{info[name]}"
        with self.store.open(self.path, "rb") as stream:
            return _digest(stream)


def matches(manifest: Path, pattern: str) -> list[tuple[str, Place]]:
    """(name, file) of a glob, sorted. Below the manifest's folder the name is the path from there; elsewhere
    the path from the first folder with a wildcard on, or the file's name.

    Raises:
        ConfigurationError: the URL's protocol is unknown, lacks its driver, or the store refuses to list it.
    """
    if "://" in pattern and not pattern.startswith("file://"):
        return _remote(manifest, pattern)
    whole = manifest.parent / Path(pattern.removeprefix("file://")).expanduser()  # absolute stays absolute
    fixed = Path(*_fixed(whole.parts))
    rest = Path(*whole.parts[len(fixed.parts) :])
    found: list[tuple[str, Place]] = []
    for file in sorted(fixed.glob(str(rest))):
        if file.is_file() and not file.name.startswith("."):
            base = manifest.parent if file.is_relative_to(manifest.parent) else fixed
            found.append((file.relative_to(base).as_posix(), LocalFile(file)))
    return found


def missing_folder(manifest: Path, pattern: str) -> Path | None:
    """The local folder in which the glob looks, where it is not there: a share that is not mounted."""
    if "://" in pattern and not pattern.startswith("file://"):
        return None
    parts = (manifest.parent / Path(pattern.removeprefix("file://")).expanduser()).parts
    folder = Path(*_fixed(parts))
    return None if folder.is_dir() else folder


def _remote(manifest: Path, pattern: str) -> list[tuple[str, Place]]:
    protocol = pattern.split("://", 1)[0]
    try:
        store, path = fsspec.core.url_to_fs(pattern)
        listed = sorted(store.glob(path)) if _WILDCARDS & set(path) else [path] if store.exists(path) else []
        files = [
            name for name in listed if not PurePosixPath(name).name.startswith(".") and store.isfile(name)
        ]
    except ImportError:
        driver = DRIVERS.get(protocol)
        remedy = f"Install it: pip install {driver}." if driver else "Install fsspec's driver for it."
        raise ConfigurationError(
            f"{manifest}: path {pattern.split('?')[0]}: {protocol}:// needs "
            f"{driver or 'a driver'}, which is not installed. {remedy}"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{manifest}: path {pattern.split('?')[0]}: {_line(error)}.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{manifest}: path {pattern.split('?')[0]} cannot be listed ({_line(error)}). Check the address "
            "and the store's own credentials in the environment."
        ) from None
    fixed = "/".join(_fixed(path.split("/")))
    return [(name[len(fixed) :].lstrip("/"), RemoteFile(store, name)) for name in files]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _fixed(parts: Sequence[str]) -> list[str]:
    """The folders before the first wildcard."""
    fixed = []
    for part in parts[:-1]:
        if _WILDCARDS & set(part):
            break
        fixed.append(part)
    return fixed


def _compression(name: str) -> str | None:
    return "gzip" if name.lower().endswith(".gz") else None


def _digest(stream: Any) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
