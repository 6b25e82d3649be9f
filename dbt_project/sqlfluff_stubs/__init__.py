"""What dbt puts into a template's context and sqlfluff's jinja templater does not: only what linting needs.

The project's own macros are real (load_macros_from_path in .sqlfluff); vars come from dbt_project.yml.
"""

import datetime
from pathlib import Path

import jinja2
import yaml

_PROJECT = yaml.safe_load((Path(__file__).parent.parent / "dbt_project.yml").read_text())


class _Adapter:
    """Dispatches to the default__ branch; knows no relations."""

    def dispatch(self, name, namespace=None):
        @jinja2.pass_context
        def call(context, *args, **kwargs):
            return context["default__" + name](*args, **kwargs)

        return call

    def get_relation(self, *args, **kwargs):
        return None


class _Exceptions:
    def raise_compiler_error(self, message):
        raise ValueError(message)


class _Target:
    database = "warehouse"
    schema = "main"
    name = "duckdb"
    type = "duckdb"


class _Graph:
    nodes: dict = {}
    sources: dict = {}


def var(name, default=None):
    """A var of dbt_project.yml, so that loops over vars render as they do in a run."""
    return _PROJECT["vars"].get(name, default)


def is_rewrite():
    """Lint the first-run branch."""
    return False


adapter = _Adapter()
exceptions = _Exceptions()
target = _Target()
graph = _Graph()
execute = False
run_started_at = datetime.datetime(2026, 1, 1)
