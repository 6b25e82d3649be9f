"""The query language of the ads server: text to a `Query`, with the vendor's error codes for what it refuses.

Grammar: SELECT field, ... FROM resource [WHERE condition AND ...] [ORDER BY field [ASC|DESC], ...] [LIMIT n]
[PARAMETERS name=value, ...]. What fields mean, and which exist, is the server's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s+|(?P<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|(?P<op><=|>=|!=|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<number>-?\d+(?:\.\d+)?(?![\w.-]))|(?P<word>[A-Za-z_][\w.]*)"""
)
CLAUSES = ("SELECT", "FROM", "WHERE", "ORDER", "LIMIT", "PARAMETERS")
LIST_OPERATORS = ("IN", "NOT IN", "CONTAINS ANY", "CONTAINS ALL", "CONTAINS NONE")


class QueryError(Exception):
    """A query that the vendor refuses: `code` is its QueryError enum, the text its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Condition:
    """One term of WHERE; `values` holds one value, two for BETWEEN, any number for lists, none for IS
    NULL."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass
class Query:
    """A parsed query."""

    fields: list[str] = field(default_factory=list)
    resource: str = ""
    conditions: list[Condition] = field(default_factory=list)
    orderings: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    def mentioned(self) -> list[str]:
        """Return every field of the query, in order, without doubles."""
        names = [*self.fields, *(c.field for c in self.conditions), *(name for name, _ in self.orderings)]
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            if text[at] in "'\"":
                raise QueryError("STRING_NOT_TERMINATED", "Error in query: string is not terminated.")
            raise QueryError("UNEXPECTED_INPUT", f"Error in query: unexpected input {text[at]}.")
        at = match.end()
        if match.lastgroup:
            found.append(_Token(match.lastgroup, match.group()))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _Token("end", "")

    def next(self) -> _Token:
        token = self.peek()
        if token.kind == "end":
            raise QueryError("UNEXPECTED_END_OF_QUERY", "Error in query: unexpected end of query.")
        self.at += 1
        return token

    def keyword(self, *words: str) -> bool:
        """Consume the given words if they come next."""
        ahead = self.tokens[self.at : self.at + len(words)]
        if [token.upper for token in ahead] == list(words):
            self.at += len(words)
            return True
        return False

    def name(self) -> str:
        token = self.next()
        if token.kind != "word":
            raise QueryError("BAD_FIELD_NAME", f"Error in query: unexpected input {token.text}.")
        return token.text

    def comma(self) -> bool:
        if self.peek().text == ",":
            self.at += 1
            return True
        return False

    def value(self) -> str:
        token = self.next()
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.kind in ("number", "word"):
            return token.text
        raise QueryError("EXPECTED_SINGLE_VALUE", f"Error in query: unexpected input {token.text}.")

    def values(self) -> tuple[str, ...]:
        if self.next().text != "(":
            raise QueryError("EXPECTED_LIST", "Error in query: expected a list.")
        if self.peek().text == ")":
            raise QueryError("PROHIBITED_EMPTY_LIST_IN_CONDITION", "Error in query: empty list.")
        found = [self.value()]
        while self.comma():
            found.append(self.value())
        if self.next().text != ")":
            raise QueryError("EXPECTED_LIST", "Error in query: list is not closed.")
        return tuple(found)

    def operator(self) -> str:
        for words in (
            ("IS", "NOT", "NULL"), ("IS", "NULL"), ("NOT", "IN"), ("NOT", "LIKE"), ("NOT", "REGEXP_MATCH"),
            ("CONTAINS", "ANY"), ("CONTAINS", "ALL"), ("CONTAINS", "NONE"),
            ("IN",), ("LIKE",), ("BETWEEN",), ("DURING",), ("REGEXP_MATCH",),
        ):  # fmt: skip
            if self.keyword(*words):
                return " ".join(words)
        token = self.next()
        if token.kind != "op":
            raise QueryError("BAD_OPERATOR", f"Error in query: invalid operator {token.text}.")
        return token.text

    def condition(self) -> Condition:
        name, operator = self.name(), self.operator()
        if operator in ("IS NULL", "IS NOT NULL"):
            return Condition(name, operator, ())
        if operator in LIST_OPERATORS:
            return Condition(name, operator, self.values())
        if operator == "BETWEEN":
            low = self.value()
            if not self.keyword("AND"):
                raise QueryError("EXPECTED_AND", "Error in query: expected AND in BETWEEN.")
            return Condition(name, operator, (low, self.value()))
        return Condition(name, operator, (self.value(),))


def parse(text: str) -> Query:
    """Return the parsed query. Raises QueryError with the vendor's code for what is not understood."""
    parser = _Parser(text)
    query = Query()
    if not parser.keyword("SELECT"):
        raise QueryError("EXPECTED_SELECT", "Error in query: expected SELECT.")
    query.fields.append(parser.name())
    while parser.comma():
        query.fields.append(parser.name())
    if not parser.keyword("FROM"):
        if parser.peek().kind == "end" or parser.peek().upper in CLAUSES:
            raise QueryError("EXPECTED_FROM", "Error in query: expected FROM.")
        raise QueryError("UNEXPECTED_INPUT", f"Error in query: unexpected input {parser.peek().text}.")
    query.resource = parser.name()
    if parser.keyword("WHERE"):
        query.conditions.append(parser.condition())
        while parser.keyword("AND"):
            query.conditions.append(parser.condition())
    if parser.keyword("ORDER"):
        if not parser.keyword("BY"):
            raise QueryError("EXPECTED_BY", "Error in query: expected BY.")
        query.orderings.append((parser.name(), _descending(parser)))
        while parser.comma():
            query.orderings.append((parser.name(), _descending(parser)))
    if parser.keyword("LIMIT"):
        limit = parser.next()
        if limit.kind != "number" or not limit.text.isdigit():
            raise QueryError("BAD_LIMIT_VALUE", f"Error in query: invalid limit {limit.text}.")
        query.limit = int(limit.text)
        if query.limit < 1:
            raise QueryError("LIMIT_VALUE_TOO_LOW", "Error in query: limit value is too low.")
    if parser.keyword("PARAMETERS"):
        while True:
            name = parser.name()
            if parser.next().text != "=":
                raise QueryError("BAD_PARAMETER_VALUE", f"Error in query: parameter {name} has no value.")
            query.parameters[name] = parser.value()
            if not parser.comma():
                break
    if parser.peek().kind != "end":
        raise QueryError("UNEXPECTED_INPUT", f"Error in query: unexpected input {parser.peek().text}.")
    return query


def _descending(parser: _Parser) -> bool:
    if parser.keyword("DESC"):
        return True
    parser.keyword("ASC")
    return False
