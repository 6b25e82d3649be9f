"""The application that Streamlit runs: navigation, style, and what is said where no page can be drawn."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import streamlit as st

from dashboard import components, data, formats
from dashboard.app_pages import PAGES


def draw(name: str) -> Callable[[], None]:
    """The page's function, which says what to do where nothing is published."""

    def page() -> None:
        try:
            with data.together():
                components.remember_publication()
                importlib.import_module(f"dashboard.views.{name}").render()
        except data.NotPublished as error:
            components.page_head(PAGES[name], "Nothing to show yet.", None, ())
            components.empty_state(f"{error} “make demo” fills it with the simulated company.")

    page.__name__ = name
    return page


def main() -> None:
    """One run of the application: Streamlit calls it anew at every click."""
    st.set_page_config(page_title="Funnelhouse", page_icon=str(data.project_file("icon.svg")), layout="wide")
    components.style()
    pages = [
        st.Page(draw(name), title=title, url_path=name, default=name == "overview")
        for name, title in PAGES.items()
    ]
    st.navigation(pages, position="sidebar", expanded=True).run()
    with st.sidebar:
        try:
            as_of = formats.moment(data.settings().as_of)
            st.html(
                f'<p class="fh-aside">Figures as of {as_of} UTC.<br>'
                f"Amounts in {data.settings().currency}, days in {data.settings().time_zone}.</p>"
            )
        except data.NotPublished:
            pass


main()
