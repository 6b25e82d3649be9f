"""What becomes of touches and conversions when we learn who somebody is: a story of two days.

On the first day there are Anna, a cookie that nobody has named yet, a device that Bert and Carl share, two
contacts of Dora and a contact that will be deleted. On the second day Anna logs in on the nameless cookie,
Dora's contacts are merged in the CRM, and the other contact is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.dbt.project import CORE, Project
from tests.unit.dbt.world import BILL, CRM, DROP, WEB_PLAIN, load_id

if TYPE_CHECKING:
    import pathlib

MODELS = (
    *CORE,
    *(f"intermediate/{name}" for name in ("crm", "billing", "conversions", "attribution")),
    "marts/core/fct_conversions.sql",
    "marts/attribution/attribution_markov_channels.sql",
    "marts/attribution/fct_attribution.sql",
    "marts/trust/identity_quality.sql",
)
START = datetime(2026, 5, 1, 9)
AS_OF = datetime(2026, 5, 20, 3)


def _at(day: int) -> datetime:
    return START + timedelta(days=day)


def _visit(
    name: str, cookie: str, day: int, load: int, user: str | None = None, **tags: Any
) -> dict[str, Any]:
    return {
        "source_relation": WEB_PLAIN,
        "event_id": name,
        "occurred_at": _at(day),
        "anonymous_id": cookie,
        "user_id": user,
        "event_name": "page_view",
        "page_url": f"https://shop.fixture.nl/{name}",
        "_load_id": load_id(load),
        **tags,
    }


def _order(name: str, user: str, day: int) -> dict[str, Any]:
    return {
        "source_relation": BILL,
        "revenue_event_id": name,
        "occurred_at": _at(day),
        "event_type": "order",
        "order_id": name,
        "user_id": user,
        "amount": Decimal("10.0000"),
        "currency": "EUR",
        "_load_id": load_id(0),
    }


def _contact(name: str, email: str, load: int, **more: Any) -> dict[str, Any]:
    return {
        "source_relation": CRM,
        "contact_id": name,
        "record_type": "contact",
        "created_at": _at(0),
        "updated_at": _at(load),
        "email_hash": email,
        "email_domain": "gmail.com",
        "is_deleted": False,
        "_load_id": load_id(load),
        **more,
    }


def _fair(name: str, contact: str, day: int) -> dict[str, Any]:
    return {
        "source_relation": DROP,
        "touch_id": name,
        "occurred_at": _at(day),
        "touch_type": "event",
        "contact_id": contact,
        "_load_id": load_id(0),
    }


def _rows(day: int) -> dict[str, list[dict[str, Any]]]:
    events = [
        _visit("anna_first", "home", 0, 0, user="anna"),
        _visit("nameless_ad", "phone", 3, 0, utm_source="google", utm_medium="cpc"),
        _visit("nameless_again", "phone", 4, 0),
        _visit("before_log_in", "shared", 1, 0, utm_source="news", utm_medium="email"),
        _visit("bert", "shared", 2, 0, user="bert"),
        _visit("carl", "shared", 3, 0, user="carl"),
    ]
    contacts = [_contact("k_dora", "v1:dora", 0), _contact("k_gone", "v1:gone", 0)]
    dora_again = _contact("k_dora_2", "v1:dora2", 0, created_at=_at(2))
    if day:
        events.append(_visit("anna_on_her_phone", "phone", 12, 1, user="anna"))
        dora_again |= {"merged_into_id": "k_dora", "updated_at": _at(12), "_load_id": load_id(1)}
        contacts[1] |= {"is_deleted": True, "updated_at": _at(12), "_load_id": load_id(1)}
    dora_orders = _order("order_of_dora", "dora", 6) | {"user_id": None, "customer_email_hash": "v1:dora2"}
    return {
        "web_events": events,
        "crm_contacts": [*contacts, dora_again],
        "offline_touches": [_fair("fair_1", "k_dora", 1), _fair("fair_2", "k_dora_2", 3)],
        "revenue_events": [
            _order("order_of_anna", "anna", 5),
            _order("order_of_bert", "bert", 6),
            _order("order_of_carl", "carl", 6),
            dora_orders,
        ],
    }


class Seen:
    """What the warehouse held after a day."""

    def __init__(self, project: Project) -> None:
        """Read it."""
        self.persons = {
            (kind, name): person
            for kind, name, person in project.rows(
                "select identifier_kind, identifier, person_id from intermediate.int_identity_map"
            )
        }
        self.touches = dict(
            project.rows(
                "select split_part(coalesce(landing_page, source_record_id), '/', -1), person_id"
                " from core.fct_touchpoints"
            )
        )
        self.paths: dict[str, list[str]] = {}
        self.credit: dict[str, float] = {}
        for order, touch, credit in project.rows(
            "select c.source_record_id, split_part(coalesce(t.landing_page, t.source_record_id), '/', -1),"
            " a.credit_linear from attribution.fct_attribution as a"
            " join core.fct_conversions as c using (conversion_id)"
            " left join core.fct_touchpoints as t on a.touchpoint_id = t.touchpoint_id"
            " order by a.conversion_id, a.touch_position"
        ):
            self.paths.setdefault(order, []).append(touch)
            self.credit[order] = self.credit.get(order, 0.0) + credit
        self.contacts = {row[0] for row in project.rows("select contact_id from core.dim_persons")}
        self.redirects = {
            (old, new): reason
            for old, new, reason in project.rows(
                "select old_person_id, new_person_id, reason from intermediate.int_identity_redirects"
            )
        }
        [self.totals] = project.rows(
            "select identifiers, persons, merged_identifiers, shared_identifiers from trust.identity_quality"
            " where identifier_kind = '(all)'"
        )
        self.orphans = project.rows(
            "select a.touch_person_id from attribution.fct_attribution as a"
            " where a.touch_person_id not in (select person_id from core.dim_persons)"
            " union all select person_id from core.fct_conversions"
            " where person_id not in (select person_id from core.dim_persons)"
        )


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    """Both days, one run each."""
    folder: pathlib.Path = tmp_path_factory.mktemp("stories")
    project = Project(folder, models=MODELS)
    project.write(_rows(0), AS_OF, "")
    project.dbt("build", "--exclude-resource-type", "test", "unit_test")
    first = Seen(project)
    project.write(_rows(1), AS_OF + timedelta(days=1), load_id(0))
    project.dbt("run")
    return first, Seen(project)


def test_a_late_log_in_rewrites_earlier_anonymous_touches(days: tuple[Seen, Seen]) -> None:
    """What the phone did before the log-in becomes Anna's, and her order of before is attributed anew."""
    before, after = days
    phone, anna = before.persons["cookie", "phone"], before.persons["user_id", "anna"]
    assert phone != anna
    assert before.touches["nameless_ad"] == before.touches["nameless_again"] == phone
    assert before.paths["order_of_anna"] == ["anna_first"]
    assert after.touches["nameless_ad"] == after.touches["nameless_again"] == anna
    assert after.paths["order_of_anna"] == ["anna_first", "nameless_ad", "nameless_again"]


def test_the_older_person_survives_and_the_other_is_redirected(days: tuple[Seen, Seen]) -> None:
    """Ids that stand in somebody's reports stay, and those that went say where."""
    before, after = days
    for survivor, joined in (
        (("user_id", "anna"), ("cookie", "phone")),
        (("email", "v1:dora"), ("email", "v1:dora2")),
    ):
        kept, gone = before.persons[survivor], before.persons[joined]
        assert after.persons[survivor] == after.persons[joined] == kept
        assert gone not in after.persons.values()
        assert after.redirects[gone, kept] == "merged"
    assert before.redirects == {}
    assert after.orphans == []


def test_contacts_merged_in_the_crm_bring_their_touches_and_orders_together(days: tuple[Seen, Seen]) -> None:
    """Dora's order was of the second contact; both fairs lead to it now."""
    before, after = days
    assert before.paths["order_of_dora"] == ["fair_2"]
    assert after.paths["order_of_dora"] == ["fair_1", "fair_2"]
    assert len(after.contacts - {None}) == len(before.contacts - {None}) - 2  # merged, deleted


def test_what_a_shared_device_did_before_a_log_in_is_credited_to_nobody_who_logged_in(
    days: tuple[Seen, Seen],
) -> None:
    """Each session is its user's; the one before the first log-in stays the device's own."""
    for seen in days:
        people = {seen.persons["user_id", name] for name in ("bert", "carl")}
        device = seen.persons["cookie", "shared"]
        assert len(people) == 2
        assert device not in people
        assert seen.touches["before_log_in"] == device
        assert seen.paths["order_of_bert"] == ["bert"]
        assert seen.paths["order_of_carl"] == ["carl"]
        assert seen.totals[3] == 1


def test_credits_and_counts_are_conserved(days: tuple[Seen, Seen]) -> None:
    """Every order is given away once on both days; identifiers less merges are persons."""
    for seen in days:
        assert sorted(seen.credit) == [f"order_of_{name}" for name in ("anna", "bert", "carl", "dora")]
        assert all(credit == pytest.approx(1, abs=1e-9) for credit in seen.credit.values())
        identifiers, persons, merged, _ = seen.totals
        assert identifiers == len(seen.persons)
        assert persons == len(set(seen.persons.values())) == identifiers - merged
    assert days[1].totals[1] == days[0].totals[1] - 2  # the phone, the second contact
