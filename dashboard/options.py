"""What is chosen within one page: a grain, a scope, a split. Kept in the address beside the filters, so that
a link shows what its sender saw.

The address wins when it changes, else the session does; what is none of the values falls back to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st

from dashboard import formats

_STATE, _WRITTEN = "funnelhouse.options", "funnelhouse.options.address"


def option(
    name: str,
    label: str,
    values: Sequence[str],
    *,
    names: Mapping[str, str] | Callable[[str], str] | None = None,
    control: Literal["select", "buttons"] = "select",
    default: str | None = None,
) -> str:
    """Draw one choice where it stands and give what is chosen; '' where there is nothing to choose.

    Args:
        name: Parameter in the address; unique on the page.
        label: What is chosen, for people.
        values: What there is to choose.
        names: What the values are called; made from the values where absent.
        control: A list to open, or buttons side by side (for up to four short values).
        default: What is chosen at first; the first value where it is none of the values.
    """
    if not values:
        return ""
    first = default if default is not None and default in values else values[0]
    state: dict[str, str] = st.session_state.setdefault(_STATE, {})
    written: dict[str, str] = st.session_state.setdefault(_WRITTEN, {})
    address = st.query_params.get(name)
    if address is not None and address != written.get(name):
        state[name] = address
    chosen = state.get(name, first)
    if chosen not in values:
        chosen = first
    key = f"option_{name}"
    st.session_state[key] = chosen

    def changed() -> None:
        # Buttons can be switched off; then the choice stays what it was.
        picked = st.session_state[key]
        st.session_state[_STATE] = {
            **st.session_state[_STATE],
            name: picked if picked is not None else chosen,
        }

    def called(value: str) -> str:
        if names is None:
            return formats.words(value)
        return names(value) if callable(names) else names.get(value, formats.words(value))

    if control == "buttons":
        st.segmented_control(label, values, key=key, on_change=changed, format_func=called)
    else:
        st.selectbox(label, values, key=key, on_change=changed, format_func=called)
    written[name] = chosen
    if chosen == first:
        if address is not None:
            del st.query_params[name]
            written.pop(name, None)
    elif address != chosen:
        st.query_params[name] = chosen
    return chosen
