"""The pages, in their order: path in the address -> title. `views` has the module of the same name."""

from __future__ import annotations

PAGES = {
    "overview": "Overview",
    "attribution": "Attribution",
    "funnel": "Funnel",
    "pipeline": "Pipeline and forecast",
    "retention": "Retention",
    "economics": "Economics",
    "trust": "Data trust",
}
