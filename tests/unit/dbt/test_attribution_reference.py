"""The attribution models held against an independent implementation in plain Python.

What belongs here: random histories (hypothesis) that go through the compiled SQL of int_conversion_windows
and fct_attribution, and through loops that follow the definitions word by word; both must agree to 1e-9.
The SQL is what dbt compiles from the project, not a copy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROJECT = Path(__file__).parents[3] / "dbt_project"
VARS = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
LOOKBACK: dict[str, int] = VARS["attribution_lookback_days"]
HALF_LIFE: float = VARS["time_decay_half_life_days"]
FIRST: float = VARS["position_based_first_weight"]
LAST: float = VARS["position_based_last_weight"]
MODELS = ("first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay")
START = datetime(2026, 1, 1)
DEAL_TYPES = ("opportunity", "won")
TYPES = [
    {
        "conversion_type": name,
        "touch_scope": "account" if name in DEAL_TYPES else "person",
        "anchor": "opportunity_creation" if name in DEAL_TYPES else "conversion",
    }
    for name in LOOKBACK
]
SCHEMAS = {
    "core.fct_conversions": pa.schema(
        [
            ("conversion_id", pa.string()),
            ("conversion_type", pa.string()),
            ("person_id", pa.string()),
            ("account_id", pa.string()),
            ("opportunity_id", pa.string()),
            ("converted_at", pa.timestamp("us")),
            ("converted_on", pa.date32()),
            ("anchor_at", pa.timestamp("us")),
            ("value", pa.decimal128(19, 4)),
        ]
    ),
    "core.fct_touchpoints": pa.schema(
        [
            ("touchpoint_id", pa.string()),
            ("person_id", pa.string()),
            ("account_id", pa.string()),
            ("occurred_at", pa.timestamp("us")),
            ("occurred_on", pa.date32()),
            ("channel", pa.string()),
            ("campaign_id", pa.string()),
            ("is_direct", pa.bool_()),
            ("is_credit_eligible", pa.bool_()),
        ]
    ),
    "intermediate.int_opportunities": pa.schema(
        [
            ("account_id", pa.string()),
            ("person_id", pa.string()),
            ("is_closed", pa.bool_()),
            ("closed_at", pa.timestamp("us")),
        ]
    ),
    # No contact, no lead milestone: the six models of this file have no use for it.
    "intermediate.int_contacts": pa.schema(
        [
            ("source_relation", pa.string()),
            ("source_record_id", pa.string()),
            ("created_at", pa.timestamp("us")),
        ]
    ),
    "intermediate.int_identity_map": pa.schema(
        [("identifier_type", pa.string()), ("identifier", pa.string()), ("person_id", pa.string())]
    ),
    "intermediate.int_person_accounts": pa.schema([("person_id", pa.string()), ("account_id", pa.string())]),
}


@dataclass(frozen=True)
class Touch:
    """One touchpoint; `hour` counts from START, so that ties and window edges are common."""

    id: str
    person: str
    account: str | None
    hour: int
    is_direct: bool
    is_eligible: bool


@dataclass(frozen=True)
class Conversion:
    """One conversion; `anchor` is the hour of a deal's creation, else of the conversion."""

    id: str
    type: str
    person: str | None
    account: str | None
    hour: int
    anchor: int


@dataclass(frozen=True)
class Deal:
    """One closed deal of an account or, without one, of a person."""

    account: str | None
    person: str
    closed: int


@dataclass(frozen=True)
class History:
    """Everything that attribution reads."""

    touches: tuple[Touch, ...]
    conversions: tuple[Conversion, ...]
    deals: tuple[Deal, ...]


def moment(hour: int) -> datetime:
    """The timestamp of an hour."""
    return START + timedelta(hours=hour)


def scope_of(conversion: Conversion) -> tuple[str, str | None]:
    """Whose touches count: the account's for deals that have one, else the person's."""
    if conversion.type in DEAL_TYPES and conversion.account is not None:
        return "account", conversion.account
    return "person", conversion.person


def cycle_start(conversion: Conversion, history: History) -> int | None:
    """The hour after which touches count, or None: where the cycle before this one ended."""
    kind, scope = scope_of(conversion)
    if scope is None:
        return None
    if conversion.type in DEAL_TYPES:
        ends = [
            deal.closed
            for deal in history.deals
            if (deal.account or deal.person) == scope and deal.closed < conversion.anchor
        ]
    else:
        ends = [
            other.hour
            for other in history.conversions
            if other.type == conversion.type
            and scope_of(other) == (kind, scope)
            and other.hour < conversion.hour
        ]
    return max(ends, default=None)


def path_of(conversion: Conversion, history: History) -> list[Touch]:
    """The touches that a conversion may credit, in order."""
    kind, scope = scope_of(conversion)
    if scope is None:
        return []
    since = conversion.anchor - 24 * LOOKBACK[conversion.type]
    after = cycle_start(conversion, history)
    path = [
        touch
        for touch in history.touches
        if touch.is_eligible
        and (touch.account if kind == "account" else touch.person) == scope
        and since <= touch.hour <= conversion.hour
        and (after is None or touch.hour > after)
    ]
    return sorted(path, key=lambda touch: (touch.hour, touch.id))


def credits_of(path: list[Touch], conversion_hour: int) -> dict[str, dict[str, float]]:
    """Credit per model and touch, by the definitions."""
    if not path:
        return {model: {"(unattributed)": 1.0} for model in MODELS}
    count = len(path)
    credit = {model: {touch.id: 0.0 for touch in path} for model in MODELS}
    credit["first_touch"][path[0].id] = 1.0
    credit["last_touch"][path[-1].id] = 1.0
    not_direct = [touch for touch in path if not touch.is_direct]
    credit["last_non_direct"][(not_direct or path)[-1].id] = 1.0
    for touch in path:
        credit["linear"][touch.id] = 1.0 / count
    if count == 1:
        credit["position_based"][path[0].id] = 1.0
    elif count == 2:
        credit["position_based"][path[0].id] = FIRST / (FIRST + LAST)
        credit["position_based"][path[1].id] = LAST / (FIRST + LAST)
    else:
        for touch in path[1:-1]:
            credit["position_based"][touch.id] = (1 - FIRST - LAST) / (count - 2)
        credit["position_based"][path[0].id] = FIRST
        credit["position_based"][path[-1].id] = LAST
    weights = {touch.id: 2 ** (-((conversion_hour - touch.hour) / 24) / HALF_LIFE) for touch in path}
    total = sum(weights.values())
    for touch in path:
        credit["time_decay"][touch.id] = weights[touch.id] / total
    return credit


@dataclass
class Compiled:
    """A database that holds the models' inputs, and their compiled SQL."""

    connection: duckdb.DuckDBPyConnection
    windows: str
    attribution: str

    def load(self, table: str, rows: list[dict[str, object]]) -> None:
        """Replace the rows of an input."""
        data = pa.Table.from_pylist(rows, schema=SCHEMAS[table])  # noqa: F841 (DuckDB reads it by name)
        self.connection.execute(f"create or replace table {table} as select * from data")

    def attribute(self, history: History) -> dict[str, dict[str, dict[str, float]]]:
        """Credits by conversion, model and touch, as the SQL gives them."""
        self.load(
            "core.fct_conversions",
            [
                {
                    "conversion_id": c.id,
                    "conversion_type": c.type,
                    "person_id": c.person,
                    "account_id": c.account,
                    "opportunity_id": None,
                    "converted_at": moment(c.hour),
                    "converted_on": moment(c.hour).date(),
                    "anchor_at": moment(c.anchor),
                    "value": 1,
                }
                for c in history.conversions
            ],
        )
        self.load(
            "core.fct_touchpoints",
            [
                {
                    "touchpoint_id": t.id,
                    "person_id": t.person,
                    "account_id": t.account,
                    "occurred_at": moment(t.hour),
                    "occurred_on": moment(t.hour).date(),
                    "channel": "Direct" if t.is_direct else "Email",
                    "campaign_id": None,
                    "is_direct": t.is_direct,
                    "is_credit_eligible": t.is_eligible,
                }
                for t in history.touches
            ],
        )
        self.load(
            "intermediate.int_opportunities",
            [
                {
                    "account_id": d.account,
                    "person_id": d.person,
                    "is_closed": True,
                    "closed_at": moment(d.closed),
                }
                for d in history.deals
            ],
        )
        self.connection.execute(
            f"create or replace table intermediate.int_conversion_windows as {self.windows}"
        )
        columns = ", ".join(f"credit_{model}" for model in MODELS)
        rows = self.connection.execute(
            f"select conversion_id, touchpoint_id, {columns} from ({self.attribution})"
        ).fetchall()
        found: dict[str, dict[str, dict[str, float]]] = {}
        for conversion_id, touchpoint_id, *credit in rows:
            models = found.setdefault(conversion_id, {model: {} for model in MODELS})
            for model, value in zip(MODELS, credit, strict=True):
                assert touchpoint_id not in models[model], "one row per conversion and touchpoint"
                models[model][touchpoint_id] = value
        return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    """Compile the two models with dbt and open a database of the names that they read."""
    folder = tmp_path_factory.mktemp("attribution")
    warehouse = folder / "warehouse.duckdb"
    subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "compile",
            "--quiet",
            "--select",
            "int_conversion_windows",
            "fct_attribution",
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(folder / "target"),
            "--log-path",
            str(folder / "logs"),
            "--vars",
            "{systems: []}",
        ],
        check=True,
        timeout=120,
        env={
            **os.environ,
            "FUNNELHOUSE_WAREHOUSE": str(warehouse),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
    )
    models = folder / "target" / "compiled" / "funnelhouse" / "models"
    windows = (models / "intermediate" / "attribution" / "int_conversion_windows.sql").read_text()
    attribution = (models / "marts" / "attribution" / "fct_attribution.sql").read_text()
    connection = duckdb.connect(str(warehouse))
    connection.execute("set threads = 1; set timezone = 'UTC'")
    for schema in ("core", "intermediate", "seeds"):
        connection.execute(f"create schema if not exists {schema}")
    types = pa.Table.from_pylist(TYPES)  # noqa: F841 (DuckDB reads it by name)
    connection.execute("create or replace table seeds.conversion_types as select * from types")
    compiled = Compiled(connection, windows, attribution)
    for table in ("int_contacts", "int_identity_map", "int_person_accounts"):
        compiled.load(f"intermediate.{table}", [])
    yield compiled
    connection.close()


PERSONS = ("p1", "p2", "p3")
ACCOUNT_OF = {"p1": "a1", "p2": "a1", "p3": None}
# Lookbacks are 30 to 180 days: hours around them, and a few days around each other.
HOURS = st.one_of(
    st.integers(0, 24 * 400),
    st.sampled_from(
        [24 * 200 + days * 24 + hours for days in (0, -30, -90, -180, -7) for hours in (-1, 0, 1)]
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A few persons, two of one account, with touches, conversions of all types and closed deals."""
    touches = tuple(
        Touch(f"t{index:02}", person, ACCOUNT_OF[person], hour, is_direct, is_eligible)
        for index, (person, hour, is_direct, is_eligible) in enumerate(
            draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(PERSONS), HOURS, st.booleans(), st.sampled_from([True] * 4 + [False])
                    ),
                    max_size=25,
                )
            )
        )
    )
    conversions = []
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(sorted(LOOKBACK)),
                st.sampled_from((*PERSONS, None)),
                HOURS,
                st.integers(0, 24 * 60),
            ),
            min_size=1,
            max_size=10,
        )
    )
    for index, (kind, person, hour, duration) in enumerate(drawn):
        account = ACCOUNT_OF[person] if person else None
        anchor = hour - duration if kind == "won" else hour
        conversions.append(Conversion(f"c{index:02}", kind, person, account, hour, anchor))
    deals = tuple(
        Deal(ACCOUNT_OF[person], person, closed)
        for person, closed in draw(st.lists(st.tuples(st.sampled_from(PERSONS), HOURS), max_size=4))
    )
    return History(touches, tuple(conversions), deals)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
def test_six_models_equal_the_reference(compiled: Compiled, history: History) -> None:
    """Same touches on the same paths, same credits to 1e-9, for random histories."""
    found = compiled.attribute(history)
    assert set(found) == {conversion.id for conversion in history.conversions}
    for conversion in history.conversions:
        expected = credits_of(path_of(conversion, history), conversion.hour)
        for model in MODELS:
            credit = found[conversion.id][model]
            assert set(credit) == set(expected[model]), (conversion, model)
            for touch, value in expected[model].items():
                assert credit[touch] == pytest.approx(value, abs=1e-9), (conversion, model, touch)
            assert sum(credit.values()) == pytest.approx(1.0, abs=1e-9)


def test_the_window_is_cut_by_timestamp(compiled: Compiled) -> None:
    """A lead looks back 30 days to the second: 30 days less an hour is in, 30 days and an hour is out."""
    hour = 24 * 100
    edge = hour - 24 * LOOKBACK["lead"]
    touches = tuple(
        Touch(name, "p1", None, at, False, True)
        for name, at in (("inside", edge + 1), ("edge", edge), ("outside", edge - 1), ("after", hour + 1))
    )
    found = compiled.attribute(History(touches, (Conversion("c", "lead", "p1", None, hour, hour),), ()))
    assert found["c"]["linear"] == {"inside": 0.5, "edge": 0.5}


def test_a_long_deal_keeps_its_first_touch(compiled: Compiled) -> None:
    """A deal of 300 days: the touch before its creation is far outside of the lookback from its close."""
    created, won = 24 * 50, 24 * 350
    touches = (
        Touch("early", "p1", "a1", created - 24, False, True),
        Touch("late", "p2", "a1", won - 24, False, True),
    )
    conversion = Conversion("c", "won", "p1", "a1", won, created)
    found = compiled.attribute(History(touches, (conversion,), (Deal("a1", "p1", won),)))
    assert found["c"]["first_touch"] == {"early": 1.0, "late": 0.0}
    assert found["c"]["time_decay"]["late"] == pytest.approx(1.0, abs=1e-9)
