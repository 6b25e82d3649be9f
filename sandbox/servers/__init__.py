"""One module per vendor, each with the vendor's own paths, authentication, paging, names and errors.

Every module offers the same four names, by which the app finds it without a list of vendors:

- `routes(world) -> list[Route]`: its paths, relative to its mount `/<module name>`;
- `refusal(kind, params) -> Response`: the vendor's own answer for `rate_limit`, `server_error`,
  `expired_token`, `expired_cursor` and `not_found`;
- `environment(base_url) -> dict[str, str]`: the variables that point the connector at this server;
- `LISTS`: the keys under which an answer of this vendor holds its records (for faults that change records).
A module may also offer `warm(world)`, which renders ahead of the first request what takes long.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def vendors() -> dict[str, ModuleType]:
    """Return the vendor modules by name, in alphabetical order."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}
