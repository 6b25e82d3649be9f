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


def should_full_refresh():
    """As in a run without --full-refresh."""
    return False


# A macro that renders long SQL makes the line that calls it long; the linter measures the short forms below.
def surrogate_key(parts):
    """Short form of the macro."""
    return "md5('')"


def quoted_list(values):
    """Short form of the macro."""
    return "''"


def _first_argument(expression, *others, **named):
    return str(expression)


def in_reporting_currency(amount, currency, rate="fx.rate"):
    """Short form of the macro."""
    return str(amount)


reporting_date = account_date = from_utc = to_utc = _first_argument
regex_extract = url_host = url_path = url_parameter = matching_name = add_seconds = add_days = add_months = _first_argument
json_text = json_list = explode_list = fiscal_quarter_start = period_start = _first_argument


def regex_matches(text, pattern):
    """Short form of the macro."""
    return f"{text} = ''"


def is_rewrite():
    """Lint the first-run branch."""
    return False


adapter = _Adapter()
exceptions = _Exceptions()
target = _Target()
graph = _Graph()
execute = False
run_started_at = datetime.datetime(2026, 1, 1)
