"""Which systems a data folder has: from the command line into its settings.json, which later runs use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingestion.settings import Paths, connections, project_vars, read_settings, write_settings
from orchestration import transform
from orchestration.errors import Problem

FILES = "files"  # the canonical file drop: a protocol of our own, not a vendor


def choose(paths: Paths, systems: Sequence[str] | None, manifest: Path | None) -> dict[str, Any]:
    """The settings that `--systems` and `--manifest` ask for, checked but not yet written.

    Raises:
        ConfigurationError: an unknown or unconnected system, or a manifest that cannot be used.
    """
    settings = dict(read_settings(paths))
    entries: list[dict[str, Any]] = [dict(entry) for entry in project_vars(paths).get("systems") or []]
    if systems is not None:
        from ingestion.registry import systems as registered

        known = registered()
        for name in systems:
            if name not in known:
                raise Problem(f"There is no system called {name!r}. Known systems: {', '.join(known)}.")
        declared: list[dict[str, Any]] = [dict(entry) for entry in project_vars().get("systems") or []]
        entries += [
            entry for entry in declared if not any(entry["system"] == other["system"] for other in entries)
        ]
    if manifest is not None:
        if systems is not None and FILES not in systems:
            raise Problem(f"--manifest belongs to the system `{FILES}`: add it to --systems.")
        from ingestion.files.manifest import read_manifest

        described = read_manifest(manifest)
        entry = dict(described.entry())
        entries = [other for other in entries if other["system"] != FILES] + [entry]
        settings.update(described.settings())
    if systems is not None:
        missing = [name for name in systems if not any(entry["system"] == name for entry in entries)]
        if missing:
            raise Problem(
                f"System {missing[0]} is not connected. Add it to `systems` in dbt_project/dbt_project.yml"
                + (" or give --manifest." if missing[0] == FILES else ".")
            )
        entries = [entry for entry in entries if entry["system"] in systems]
    settings["systems"] = [
        {**entry, **({"manifest": str(entry["manifest"])} if "manifest" in entry else {})}
        for entry in entries
    ]
    return settings


def record(paths: Paths, systems: Sequence[str] | None, manifest: Path | None) -> None:
    """Write a choice into settings.json; a run without a choice uses what is recorded there."""
    if systems is None and manifest is None:
        _refresh(paths)
        connections(paths)
        transform.variables(paths)
        return
    chosen = choose(paths, systems, manifest)
    before = read_settings(paths)
    write_settings(paths, chosen)
    try:
        connections(paths)
        transform.variables(paths)
    except Exception:
        write_settings(paths, before)
        raise


def _refresh(paths: Paths) -> None:
    """Read a recorded manifest again: it may have gained or lost entities since."""
    for entry in read_settings(paths).get("systems") or []:
        if entry.get("system") == FILES and entry.get("manifest"):
            chosen = choose(paths, None, Path(entry["manifest"]))
            if chosen != read_settings(paths):
                write_settings(paths, chosen)
