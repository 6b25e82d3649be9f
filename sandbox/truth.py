"""The answer key: what each channel truly adds, by running the company again with that channel switched off.

What belongs here: the counterfactual runs and their table. Every run uses the same random numbers, so
that the difference to the base run is the channel's own contribution: conversions of the window that
would not have happened without it (or, where a conversion only moves in time, not within the window). A
visit through a channel that is off happens through another door, without that channel's effect; an
offline touch does not happen. No dbt model may read this.

Contributions of channels do not add up to the whole: part of the conversions needs none of them, and two
channels can both be necessary for one conversion.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from sandbox.company import facts
from sandbox.company.frames import Floats, Ints
from sandbox.company.journeys import Outcome, behave
from sandbox.company.people import World, build

CONVERSION_TYPES = ("lead", "mql", "sql", "pql", "opportunity", "won", "purchase", "trial", "subscription")
SCHEMA = pa.schema(
    [
        ("channel", pa.string()),
        ("conversion_type", pa.string()),
        ("conversions", pa.int64()),
        ("conversions_without", pa.int64()),
        ("incremental_conversions", pa.int64()),
        ("incremental_share", pa.float64()),
    ]
)


def truth(scale: str, seed: int = 7, effects: Floats | None = None) -> pa.Table:
    """True incremental conversions by channel and conversion type, in the window of the scale.

    `effects` (channel x kind of interest) replaces the company's true effects in all runs.
    """
    world = build(scale, seed)
    base = count(world, behave(world, None, effects))
    rows = []
    for channel in facts.CHANNELS:
        without = count(world, behave(world, channel, effects))
        for kind in CONVERSION_TYPES:
            added = base[kind] - without[kind]
            rows.append(
                {
                    "channel": channel,
                    "conversion_type": kind,
                    "conversions": base[kind],
                    "conversions_without": without[kind],
                    "incremental_conversions": added,
                    "incremental_share": added / base[kind] if base[kind] else 0.0,
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def count(world: World, outcome: Outcome) -> dict[str, int]:
    """Conversions of the window by type."""
    moments: dict[str, Ints] = outcome.moments(world)
    return {
        kind: int(((moments[kind] >= world.start) & (moments[kind] < world.end)).sum())
        for kind in CONVERSION_TYPES
    }


def write(path: Path | str, scale: str, seed: int = 7) -> Path:
    """Write the truth as JSON: scale, seed, and one row per channel and conversion type."""
    target = Path(path)
    content = {"scale": scale, "seed": seed, "rows": truth(scale, seed).to_pylist()}
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return target
