"""Three tools collect web events: each session is one tool's, and their visitors are the same persons."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import rows

RELATIONS = {"site": "ga4", "app": "posthog", "help": "files"}


@pytest.fixture
def both(sandbox: Sandbox, built: Built) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, and the company's events as the view `collected`: what has arrived, each once."""
    connection = duckdb.connect(str(built.paths.warehouse), read_only=True)
    connection.register("every_event", sandbox.company.tables["web_events"])
    connection.execute(
        "create temp view collected as"
        " select distinct on (event_id) *, client_id || '.' || ga_session_id as visit"
        f" from every_event where visible_at <= timestamp '{LAST_DAY}'"
    )
    yield connection
    connection.close()


def test_each_session_is_one_tool_s(both: duckdb.DuckDBPyConnection) -> None:
    expected = {
        RELATIONS[row["tool"]]: row["visits"]
        for row in rows(both, "select tool, count(distinct visit) as visits from collected group by tool")
    }
    found = {
        row["system"]: row["sessions"]
        for row in rows(
            both,
            "select split_part(source_relation, ':', 1) as system, count(*) as sessions"
            " from core.fct_sessions group by 1",
        )
    }
    assert found.keys() == expected.keys()
    assert found["posthog"] == expected["posthog"] > 200
    # two visits to the help centre within half an hour are one: its tool gives no session ids
    assert expected["files"] * 0.9 <= found["files"] <= expected["files"]
    # the export of the site's last day is written in the night after it
    assert expected["ga4"] * 0.98 <= found["ga4"] <= expected["ga4"]


def test_a_user_of_the_app_is_the_visitor_of_the_site(both: duckdb.DuckDBPyConnection) -> None:
    persons = rows(
        both,
        """
        select events.user_id, count(distinct identities.person_id) as persons,
            count(distinct split_part(events.source_relation, ':', 1)) as tools
        from intermediate.int_web_events_sessionized as events
        inner join intermediate.int_identity_map as identities
            on identities.identifier_type = 'user_id' and events.user_id = identities.identifier
        where events.user_id is not null and events.person_id = identities.person_id
        group by events.user_id
        """,
    )
    assert all(row["persons"] == 1 for row in persons)
    known_to = [row["tools"] for row in persons]
    assert sum(tools >= 2 for tools in known_to) > 40, "most users were seen on the site and in the app"
    first = rows(
        both,
        """
        select count(*) as users, count(*) filter (earliest.system = 'ga4') as found_by_the_site
        from (
            select events.person_id, min_by(split_part(events.source_relation, ':', 1), events.occurred_at)
                as system
            from intermediate.int_web_events_sessionized as events
            where events.person_id in (
                select activated.person_id from intermediate.int_web_events_sessionized as activated
                where activated.event_name = 'activation_complete'
            )
            group by events.person_id
        ) as earliest
        """,
    )[0]
    assert first["found_by_the_site"] >= 0.7 * first["users"] > 0, "their first touch is a visit, not the app"


def test_activations_trials_and_invitations_of_the_app_are_counted(both: duckdb.DuckDBPyConnection) -> None:
    for name in ("activation_complete", "pql_reached", "start_trial", "invite_sent"):
        [(expected, found)] = both.sql(
            f"""
            select
                (select count(*) from collected where event_name = '{name}' and tool = 'app'),
                (
                    select count(*) from intermediate.int_web_events_unioned
                    where event_name = '{name}' and source_relation like 'posthog:%'
                )
            """
        ).fetchall()
        assert found == expected > 0, name
    [(activated, users)] = both.sql(
        """
        select
            (select count(distinct subject_id) from funnel.fct_funnel_stage_entries
            where funnel = 'saas' and stage = 'activated' and not is_skipped),
            (select count(distinct user_id) from collected where event_name = 'activation_complete')
        """
    ).fetchall()
    assert activated == users
