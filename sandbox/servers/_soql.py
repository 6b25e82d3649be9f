"""SOQL as far as extraction needs it: SELECT fields (of parents too) FROM one type, WHERE, ORDER BY, LIMIT.

Parsed into a `Query` and answered over plain rows. What the vendor would refuse is refused with its error
code; what is not understood is refused too, never ignored. Times are compared as the API shows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|[^'\\])*')"
    r"|(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z][\w.]*)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),]))"
)
_RESERVED = {"from", "where", "order", "limit", "and", "or", "not", "in", "like", "null", "true", "false"}
_REFERENCES = {"id", "reference"}
_TEXTS = {"string", "picklist", "email", "phone", "textarea", *_REFERENCES}
_NUMBERS = {"double", "currency", "percent", "int"}


class Refusal(Exception):
    """A query that the vendor refuses: its error code and what it says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Entity:
    """One type of record: its fields with their types, and the parents that a query may name."""

    name: str
    prefix: str
    fields: Mapping[str, str]
    parents: Mapping[str, Entity] = field(default_factory=dict)

    def find(self, name: str) -> tuple[str, str]:
        """A field's own spelling and its type, through at most five parents."""
        entity, steps = self, name.split(".")
        spelt: list[str] = []
        for step in steps[:-1]:
            parent = next((key for key in entity.parents if key.lower() == step.lower()), None)
            if parent is None:
                raise Refusal(
                    "INVALID_FIELD",
                    f"\nSELECT {name} FROM {self.name}\nDidn't understand relationship '{step}' in field "
                    "path. If you are attempting to use a custom relationship, be sure to append the '__r'.",
                )
            spelt.append(parent)
            entity = entity.parents[parent]
        own = next((key for key in entity.fields if key.lower() == steps[-1].lower()), None)
        if own is None:
            raise Refusal(
                "INVALID_FIELD",
                f"\nSELECT {name} FROM {self.name}\n       ^\nERROR at Row:1:Column:8\n"
                f"No such column '{steps[-1]}' on entity '{entity.name}'. If you are attempting to use a "
                "custom field, be sure to append the '__c' after the custom field name.",
            )
        return ".".join([*spelt, own]), entity.fields[own]


@dataclass
class Query:
    """A parsed query."""

    entity: Entity
    fields: list[str]
    where: Test
    order: list[tuple[str, bool, bool]]  # field, falling, nulls last
    limit: int | None
    counts: bool = False

    def answer(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that the query asks for, in its order."""
        found = [row for row in rows if self.where(row)]
        for name, falling, nulls_last in reversed(self.order):
            empty = [row for row in found if _value(row, name) is None]
            full = [row for row in found if _value(row, name) is not None]
            full.sort(key=lambda row: _value(row, name), reverse=falling)
            found = full + empty if nulls_last else empty + full
        return found if self.limit is None else found[: self.limit]


def stamp(moment: datetime | None) -> str | None:
    """A moment as the REST API shows it: whole seconds, in UTC."""
    if moment is None:
        return None
    naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return naive.isoformat(timespec="seconds")[:19] + ".000+0000"


def parse(text: str, entities: Mapping[str, Entity]) -> Query:
    """Parse a query over known entities. Raises Refusal as the vendor would."""
    return _Parser(text, entities).query()


def _value(row: Row, name: str) -> Any:
    found: Any = row
    for step in name.split("."):
        if found is None:
            return None
        found = found.get(step)
    return found


class _Parser:
    def __init__(self, text: str, entities: Mapping[str, Entity]) -> None:
        self.entities = entities
        self.tokens: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise _malformed(text[position : position + 1])
            self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()
        self.at = 0

    def query(self) -> Query:
        self._word("select")
        fields, counts = self._selected()
        self._word("from")
        name = self._name()
        entity = next((e for key, e in self.entities.items() if key.lower() == name.lower()), None)
        if entity is None:
            raise Refusal(
                "INVALID_TYPE",
                f"\nSELECT Id FROM {name}\n               ^\nERROR at Row:1:Column:16\n"
                f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be "
                "sure to append the '__c' after the entity name.",
            )
        self.entity = entity
        selected = [entity.find(one)[0] for one in fields]
        if len(set(selected)) < len(selected):
            double = next(one for one in selected if selected.count(one) > 1)
            raise Refusal("INVALID_FIELD", f"duplicate field selected: {double}")
        where: Test = self._any() if self._taken("where") else (lambda _: True)
        order: list[tuple[str, bool, bool]] = []
        if self._taken("order"):
            self._word("by")
            order.append(self._ordering())
            while self._sign(","):
                order.append(self._ordering())
        limit = None
        if self._taken("limit"):
            kind, found = self._next()
            if kind != "number" or not found.isdigit():
                raise _malformed(found)
            limit = int(found)
        if self.at < len(self.tokens):
            raise _malformed(self.tokens[self.at][1])
        return Query(entity, selected, where, order, limit, counts)

    def _selected(self) -> tuple[list[str], bool]:
        first = self._name()
        if first.lower() == "count" and self._sign("("):
            if not self._sign(")"):
                raise _malformed(self._next()[1])
            return [], True
        fields = [first]
        while self._sign(","):
            fields.append(self._name())
        return fields, False

    def _ordering(self) -> tuple[str, bool, bool]:
        name = self.entity.find(self._name())[0]
        falling = self._taken("desc")
        if not falling:
            self._taken("asc")
        nulls_last = falling
        if self._taken("nulls"):
            nulls_last = self._taken("last")
            if not nulls_last:
                self._word("first")
        return name, falling, nulls_last

    def _any(self) -> Test:
        tests = [self._all()]
        while self._taken("or"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._taken("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._taken("not"):
            inner = self._one()
            return lambda row: not inner(row)
        if self._sign("("):
            test = self._any()
            if not self._sign(")"):
                raise _malformed(self._next()[1])
            return test
        name, kind = self.entity.find(self._name())
        operator = self._operator()
        if operator in ("in", "not in"):
            wanted = [self._literal(name, kind)] if self._sign("(") else [_fail(self._next()[1])]
            while self._sign(","):
                wanted.append(self._literal(name, kind))
            if not self._sign(")"):
                raise _malformed(self._next()[1])
            if kind in _REFERENCES:
                ids = {str(one)[:15] for one in wanted}
                return lambda row: ((_value(row, name) or "")[:15] in ids) == (operator == "in")
            return lambda row: (_value(row, name) in wanted) == (operator == "in")
        want = self._literal(name, kind)
        if operator == "like":
            if not isinstance(want, str) or kind not in _TEXTS:
                raise Refusal("INVALID_QUERY_FILTER_OPERATOR", "invalid operator for this type of field")
            pattern = re.compile(
                "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in want), re.I | re.S
            )
            return lambda row: pattern.fullmatch(str(_value(row, name) or "")) is not None
        if kind in _REFERENCES and isinstance(want, str):
            want = want[:15]  # ids are told apart by their capitals; the last three letters only say so again
            return _comparison(name, operator, want, exact=True)
        return _comparison(name, operator, want)

    def _operator(self) -> str:
        kind, found = self._next()
        if kind == "sign" and found in ("=", "!=", "<>", "<", "<=", ">", ">="):
            return "!=" if found == "<>" else found
        if found.lower() in ("in", "like"):
            return found.lower()
        if found.lower() == "not":
            self._word("in")
            return "not in"
        raise _malformed(found)

    def _literal(self, name: str, of: str) -> Any:
        kind, found = self._next()
        word = found.lower()
        if kind == "name" and word == "null":
            return None
        fits = {
            "text": of in _TEXTS,
            "moment": of == "datetime",
            "day": of == "date",
            "number": of in _NUMBERS,
            "name": of == "boolean" and word in ("true", "false"),
        }.get(kind)
        if fits is None or (kind == "name" and word not in ("true", "false")):
            raise _malformed(found)
        if not fits:
            wanted = {"datetime": "dateTime"}.get(of, of)
            quoted = " and should not be enclosed in quotes" if kind == "text" else ""
            raise Refusal(
                "INVALID_FIELD",
                f"\nvalue of filter criterion for field '{name}' must be of type {wanted}{quoted}",
            )
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", found[1:-1])
        if kind == "moment":
            return stamp(datetime.fromisoformat(found.replace("Z", "+00:00")))
        return {"day": found, "number": float(found) if kind == "number" else 0, "name": word == "true"}[kind]

    # ---- tokens

    def _next(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise _malformed("<EOF>")
        self.at += 1
        return self.tokens[self.at - 1]

    def _name(self) -> str:
        kind, found = self._next()
        if kind != "name" or found.lower() in _RESERVED:
            raise _malformed(found)
        return found

    def _word(self, word: str) -> None:
        if not self._taken(word):
            raise _malformed(self._next()[1])

    def _taken(self, word: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at][1].lower() == word:
            self.at += 1
            return True
        return False

    def _sign(self, sign: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == ("sign", sign):
            self.at += 1
            return True
        return False


def _comparison(name: str, operator: str, want: Any, exact: bool = False) -> Test:
    if exact and operator in ("=", "!="):
        return lambda row: ((_value(row, name) or "")[:15] == want) == (operator == "=")
    if operator in ("=", "!="):
        if isinstance(want, str):
            folded = want.lower()  # comparisons of texts do not look at capitals
            return lambda row: (
                (isinstance(have := _value(row, name), str) and have.lower() == folded) == (operator == "=")
            )
        return lambda row: (_value(row, name) == want) == (operator == "=")
    if want is None:
        raise Refusal("MALFORMED_QUERY", f"operator {operator} cannot be used with null")
    tests: dict[str, Callable[[Any], bool]] = {
        "<": lambda have: have < want,
        "<=": lambda have: have <= want,
        ">": lambda have: have > want,
        ">=": lambda have: have >= want,
    }
    test = tests[operator]
    return lambda row: (have := _value(row, name)) is not None and test(have)


def _malformed(token: str) -> Refusal:
    return Refusal("MALFORMED_QUERY", f"unexpected token: '{token}'")


def _fail(token: str) -> Any:
    raise _malformed(token)
