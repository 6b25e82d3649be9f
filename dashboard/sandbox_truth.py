"""The simulated company's answer key: worked out from the company itself, kept as a file in the demo's data
folder, read by the page Data trust. It never comes from the warehouse, and no model ever reads it.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import data
from ingestion.settings import Paths

FILE = "sandbox_truth.json"


def company() -> dict[str, Any] | None:
    """Which simulated company fills the data folder; None where it holds real accounts."""
    from orchestration.demo import company_in

    return company_in(data.paths())


def prepare(paths: Paths) -> threading.Thread | None:
    """Work the truth out in the background where the data folder is the demo's and lacks it."""
    from orchestration.demo import company_in

    found = company_in(paths)
    if found is None or _read(paths) is not None:
        return None

    def work() -> None:
        from sandbox import truth

        temporary = paths.data_dir / f".{FILE}.{os.getpid()}.part"
        truth.write(temporary, str(found["scale"]), int(found["seed"]))
        temporary.replace(paths.data_dir / FILE)

    thread = threading.Thread(target=work, name="sandbox truth", daemon=True)
    thread.start()
    return thread


def _read(paths: Paths) -> list[dict[str, Any]] | None:
    """The rows of the truth, if it is this company's."""
    from orchestration.demo import company_in

    found = company_in(paths)
    try:
        content = json.loads((paths.data_dir / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if found is None or (content["scale"], content["seed"]) != (found["scale"], found["seed"]):
        return None
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def judged(file: data.Identity) -> dict[str, Any] | None:
    """Every model beside the truth, by conversion type; None while the truth is not there."""
    rows = _read(data.paths())
    found = company()
    if rows is None or found is None:
        return None
    return _judged(file, str(found["scale"]), json.dumps(rows))


@st.cache_data(show_spinner=False, max_entries=4)
def _judged(file: data.Identity, scale: str, truth: str) -> dict[str, Any]:
    from orchestration import comparison

    found: dict[str, Any] = {}
    with data.alone():  # it opens the file with a configuration of its own
        sides = comparison.read(Path(file[0]), scale, json.loads(truth))
    for kind, side in sides.items():
        one = comparison.judge([side])
        channels = comparison.channels_of(one.pooled)
        if not channels:
            continue
        scores: list[dict[str, Any]] = sorted(
            (
                {
                    "model": model,
                    "error": score.error,
                    "rank_correlation": score.rank_correlation,
                    "without_effect": score.without_effect,
                }
                for model, score in one.scores.items()
            ),
            key=lambda row: float(str(row["error"])),
        )
        best = [str(row["model"]) for row in scores if row["model"] not in comparison.BASELINES][:1]
        shares = {name: comparison.shares(one.pooled.models[name], channels) for name in best}
        true = comparison.shares(one.pooled.truth, channels)
        found[kind] = {
            "true_conversions": sum(max(count, 0) for count in one.pooled.truth.values()),
            "scores": scores,
            "best": best,
            "shares": sorted(
                (
                    {
                        "channel": channel,
                        "true_share": true[place],
                        **{name: values[place] for name, values in shares.items()},
                    }
                    for place, channel in enumerate(channels)
                ),
                key=lambda row: -float(str(row["true_share"])),
            ),
        }
    return found
