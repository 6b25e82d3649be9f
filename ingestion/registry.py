"""The systems that exist: every sub-package of `ingestion` that has a `SYSTEM`. There is no list of names to
maintain."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

import ingestion
from ingestion.errors import ConfigurationError
from ingestion.sources import System


@cache
def systems() -> dict[str, System]:
    """System name -> System, sorted by name."""
    found = {}
    for module in pkgutil.iter_modules(ingestion.__path__):
        if module.ispkg:
            system = getattr(import_module(f"ingestion.{module.name}"), "SYSTEM", None)
            if isinstance(system, System):
                found[system.name] = system
    return dict(sorted(found.items()))


def system(name: str) -> System:
    """The system of that name, or one clear line with the known names."""
    try:
        return systems()[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no system called {name!r}. Known systems: {', '.join(systems())}."
        ) from None
