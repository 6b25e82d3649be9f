"""Filters between the address, the session and the page, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from dashboard import components, filters
    from dashboard.data import Rows

    names = ("period", "channel", "country", "funnel", "conversion", "model", "date_basis")
    chosen = filters.choose(*names)
    st.write(repr(chosen))
    components.figures([components.Figure("<b>Spend</b>", 1234.5, "money", before=1000)], "head")
    row = {"name": "<script>x</script>", "url": "javascript:alert(1)", "n": 3}
    with components.panel("Panel", "one", Rows([row])) as filled:
        if filled:
            components.table(
                [row],
                [
                    components.Column("name", "Name", link="url"),
                    components.Column("n", "N", "integer", bar=True),
                ],
                "one",
            )
    with components.panel("Nothing", "none", Rows([], ["a"]), empty="Say <so>.") as filled:
        assert not filled


@pytest.fixture
def app(published: Path) -> AppTest:
    return AppTest.from_function(page, default_timeout=30)


def address(app: AppTest, name: str) -> str:
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def test_defaults_stand_in_the_address(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert address(app, "period") == "last_3_months"
    assert address(app, "model") == "linear"
    assert "channel=None, country=None, funnel='b2b', conversion='purchase'" in app.markdown[0].value


def test_the_address_is_obeyed_where_it_names_what_there_is(app: AppTest) -> None:
    app.query_params["channel"] = "Paid Search"
    app.query_params["model"] = "first_touch"
    app.query_params["country"] = "Atlantis"
    app.query_params["period"] = "2025-05-01..2025-06-30"
    app.run()
    assert "channel='Paid Search', country=None" in app.markdown[0].value
    assert "model='first_touch'" in app.markdown[0].value
    assert "start=datetime.date(2025, 5, 1), end=datetime.date(2025, 6, 30)" in app.markdown[0].value
    assert address(app, "country") == "all"


def test_a_choice_is_written_into_the_address_and_survives_an_empty_one(app: AppTest) -> None:
    app.run()
    app.selectbox(key="filter_model").select("first_touch").run()
    assert address(app, "model") == "first_touch"
    app.query_params.clear()  # as when moving to another page
    app.run()
    assert "model='first_touch'" in app.markdown[0].value
    assert address(app, "model") == "first_touch"


def test_months_are_chosen_from_to(app: AppTest) -> None:
    app.run()
    app.selectbox(key="filter_period").select("custom").run()
    assert address(app, "period") == "2026-04-01..2026-06-30"
    app.selectbox(key="filter_from").select_index(0).run()
    assert address(app, "period") == "2025-03-01..2026-06-30"


def test_what_comes_from_the_data_is_escaped(app: AppTest) -> None:
    app.run()
    assert not app.exception
    html = "".join(str(block.proto.body) for block in app.get("html"))
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    assert "<script>" not in html
    assert "<b>Spend" not in html
    assert "javascript:" not in html
    assert "Say &lt;so&gt;." in html
