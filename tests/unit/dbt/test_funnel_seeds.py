"""A user changes the funnel by editing seeds only: a new stage gives right rows, a wrong line is named."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Any

import pytest

from tests.unit.dbt.project import Project, with_upstream

MODELS = with_upstream("int_fx_rates", "fct_funnel_stage_entries", "funnel_stage_conversion")
TESTS = (
    "funnel/every_crm_stage_is_mapped.sql",
    "funnel/every_funnel_rule_can_be_met.sql",
    "funnel/every_lead_rule_can_be_met.sql",
    "funnel/every_opportunity_is_in_the_funnel.sql",
    "funnel/stage_counts_equal_distinct_units.sql",
)
WITHOUT_TESTS_OF_SEEDS = ("--exclude", "test_type:generic")
SOURCE = {"source_relation": "fixture:main:x", "_slice": None, "_load_id": "1"}


def _day(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour)


def _deal(deal_id: str, stage: str, **more: Any) -> dict[str, Any]:
    return {
        **SOURCE,
        "opportunity_id": deal_id,
        "account_id": "a1",
        "pipeline": "sales",
        "stage": stage,
        "amount": 900,
        "currency": "EUR",
        "created_at": _day(1),
        "close_date": _day(20).date(),
        "updated_at": _day(20),
        **more,
    }


def _changes(deal_id: str, *stages: tuple[str, datetime]) -> list[dict[str, Any]]:
    return [
        {
            **SOURCE,
            "change_id": f"{deal_id}-{number}",
            "object_type": "opportunity",
            "object_id": deal_id,
            "field": "stage",
            "to_value": stage,
            "changed_at": at,
        }
        for number, (stage, at) in enumerate(stages)
    ]


WORLD: dict[str, list[dict[str, Any]]] = {
    "crm_accounts": [
        {**SOURCE, "account_id": "a1", "name": "One"},
        {**SOURCE, "account_id": "a2", "name": "Two"},
    ],
    "crm_opportunities": [
        _deal("won", "closedwon", is_closed=True, is_won=True, closed_at=_day(20)),
        _deal("jumps", "quote", account_id="a2"),
        _deal("twin", "request", merged_into_id="won", merged_at=_day(5), is_deleted=True),
        _deal("gone", "request", is_deleted=True, deleted_at=_day(6)),
    ],
    "crm_stage_history": [
        *_changes(
            "won",
            ("request", _day(1)),
            ("briefing", _day(3)),
            ("demo", _day(4)),
            ("quote", _day(4, 12)),
            ("closedwon", _day(20)),
        ),
        *_changes("jumps", ("request", _day(1)), ("quote", _day(11))),
        *_changes("twin", ("request", _day(1))),
        *_changes("gone", ("request", _day(1))),
    ],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("funnel"), models=MODELS, tests=TESTS, own_seeds=True)
    project.write(WORLD, datetime(2026, 4, 1), "")
    return project


def _edit(project: Project, seed: str, *changes: tuple[str, str]) -> None:
    path = project.folder / "seeds" / f"{seed}.csv"
    text = path.read_text()
    for old, new in changes:
        assert old in text, f"{seed}.csv has no {old!r}"
        text = text.replace(old, new)
    path.write_text(text)


def _mapped_to(project: Project, funnel_stage: str) -> set[str]:
    """The CRM stages that mean a stage, by the seed as it was edited."""
    with (project.folder / "seeds" / "crm_stage_mapping.csv").open(newline="") as file:
        return {row["crm_stage"] for row in csv.DictReader(file) if row["funnel_stage"] == funnel_stage}


def _findings(project: Project, test: str) -> list[tuple[Any, ...]]:
    """The rows that make a test fail, as a user sees them."""
    [compiled] = (project.folder / "target" / "compiled").rglob(f"{test}.sql")
    return project.rows(compiled.read_text())


def test_an_unmapped_crm_stage_fails_and_an_edit_of_the_seeds_mends_it(project: Project) -> None:
    """The CRM has a stage `demo`; once the seeds know it, it is a stage like any other."""
    with pytest.raises(AssertionError, match="every_crm_stage_is_mapped"):
        project.dbt("build", *WITHOUT_TESTS_OF_SEEDS)
    assert _findings(project, "every_crm_stage_is_mapped") == [("opportunity", "stage", "sales", "demo", 1)]

    later = {"quote": 7, "won": 8, "loyal": 9, "advocate": 10}
    _edit(
        project,
        "funnels",
        *((f"b2b,{order},{stage},", f"b2b,{order + 1},{stage},") for stage, order in later.items()),
    )
    funnels = project.folder / "seeds" / "funnels.csv"
    funnels.write_text(
        funnels.read_text() + "b2b,7,demo,opportunity,opportunity,crm_opportunities,funnel_stage,=,demo,,\n"
    )
    mapping = project.folder / "seeds" / "crm_stage_mapping.csv"
    columns = mapping.read_text().splitlines()[0].split(",")
    line = {"object_type": "opportunity", "field": "stage", "pipeline": "sales", "crm_stage": "demo"}
    line |= {"crm_stage_order": "3", "funnel_stage": "demo"}
    mapping.write_text(mapping.read_text() + ",".join(line.get(name, "") for name in columns) + "\n")
    frameworks = project.folder / "seeds" / "funnel_frameworks.csv"
    frameworks.write_text(
        frameworks.read_text()
        + "".join(
            quote.replace(",quote", ",demo") + "\n"
            for quote in frameworks.read_text().splitlines()
            if quote.endswith(",b2b,quote")
        )
    )
    project.dbt(
        "build", "-s", "funnels+", "crm_stage_mapping+", "funnel_frameworks+", *WITHOUT_TESTS_OF_SEEDS
    )

    entries = """
        select o.source_record_id, e.stage, e.movement, e.is_skipped, e.hours_in_stage
        from funnel.fct_funnel_stage_entries as e
        inner join intermediate.int_opportunities as o using (opportunity_id)
        where e.funnel = 'b2b'
        order by 1, e.stage_order
    """
    assert project.rows(entries) == [
        ("jumps", "request", "skipped", False, 240.0),
        ("jumps", "briefing", "skipped", True, None),
        ("jumps", "demo", "skipped", True, None),
        ("jumps", "quote", None, False, None),
        ("won", "request", "forward", False, 48.0),
        ("won", "briefing", "forward", False, 24.0),
        ("won", "demo", "forward", False, 12.0),
        ("won", "quote", "forward", False, 372.0),  # 15 days 12 hours
        ("won", "won", None, False, None),
    ]
    assert project.rows(
        """
        select stage, entered, advanced, conversion_rate, median_hours_in_stage
        from funnel.funnel_stage_conversion
        where funnel = 'b2b' and period_grain = 'month' and segment = 'all' order by stage_order
        """
    ) == [
        ("request", 2, 2, 1.0, 144.0),  # of 48 and 240 hours
        ("briefing", 2, 2, 1.0, 24.0),
        ("demo", 2, 2, 1.0, 12.0),
        ("quote", 2, 1, 0.5, 372.0),
        ("won", 1, 0, 0.0, None),
    ]


def test_every_line_that_leads_nowhere_is_named(project: Project) -> None:
    """Wrong lines in five seeds: the checks name each of them, and nothing else."""
    _edit(
        project,
        "crm_stage_mapping",
        ("closedwon,4,won", "closedwon,4,victory"),
        ("closed won,19,won", "closed won,19,(ignored)"),
    )
    _edit(
        project,
        "funnels",
        ("funnel_stage,=,briefing", "funnel_stage,like,briefing"),
        ("web_events,event_name,=,sign_up", "web_events,name,=,sign_up"),
        ("saas,7,advocate", "saas,17,advocate"),
        ("b2b,4,sql,person,account", "b2b,4,sql,person,person"),
        (",>=,1,,purchase", ",>=,1,,order"),
    )
    _edit(project, "funnel_frameworks", ("AIDA,3,Desire,b2b,quote\n", ""))
    _edit(project, "lead_score_rules", ("contacts,job_title,=,student", "contacts,shoe_size,=,student"))
    _edit(project, "qualification_fields", ("role,=,champion", "role,resembles,champion"))
    project.dbt(
        "seed",
        "-s",
        "crm_stage_mapping",
        "funnels",
        "funnel_frameworks",
        "lead_score_rules",
        "qualification_fields",
    )
    assert set(_findings(project, "every_lead_rule_can_be_met")) == {
        ("lead_score_rules", "student", "unknown: contacts.shoe_size ="),
        ("qualification_fields", "MEDDIC champion", "unknown: opportunity_roles.role resembles"),
    }
    assert set(_findings(project, "every_funnel_rule_can_be_met")) == {
        ("any", "victory", "crm_stage_mapping maps closedwon to a stage that no rule names"),
        *(
            ("any", "briefing", f"crm_stage_mapping maps {stage} to a stage that no rule names")
            for stage in _mapped_to(project, "briefing")
        ),
        ("b2b", "won", "no line of crm_stage_mapping means won"),
        ("b2b", "briefing", "no line of crm_stage_mapping means briefing"),
        ("b2b", "briefing", "unknown operator: like"),
        ("saas", "signup", "unknown source or field: web_events.name"),
        ("saas", "advocate", "no stage has the order 16"),
        ("b2b", "sql", "the next stage has another subject, so this one must count accounts"),
        ("ecommerce", "purchase", "no conversion type is order"),
        ("b2b", "quote", "framework AIDA does not have this stage"),
    }
