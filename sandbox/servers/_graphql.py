"""GraphQL over plain dictionaries: queries are parsed and validated against a real schema, priced, answered.

What belongs here: the language, connections with their cursors, and the price of a query. A vendor brings its
schema, what the root fields give, and its own words for errors. Values are dictionaries by field name; a
connection's value is the list of its nodes. Execution is not graphql-core's: a projection that is compiled
once per query text is some ten times quicker, and lists are all that is needed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import graphql
import orjson
from graphql.language import ast

MOST_A_PAGE = 250
Variables = Mapping[str, Any]
Projection = Callable[[Any, Variables, list[int]], Any]
Cost = Callable[[Variables], int]


class QueryError(Exception):
    """A query that is refused: the error objects of the answer."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = list(errors)


def error(message: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    """An error object; the code and what belongs to it stand in its extensions."""
    path = more.pop("path", None)
    found: dict[str, Any] = {"message": message}
    if path is not None:
        found["path"] = path
    if code is not None:
        found["extensions"] = {"code": code, **more}
    return found


@dataclass(frozen=True)
class Query:
    """A query that the schema allows."""

    fields: tuple[tuple[str, str, Callable[[Variables], dict[str, Any]], Projection], ...]
    cost: Cost
    defaults: Mapping[str, Any]
    required: frozenset[str]


def cursor(value: Any, identifier: str) -> str:
    """An opaque cursor: what the list is sorted by, and the id of the last record."""
    return base64.b64encode(orjson.dumps({"last_id": identifier, "last_value": value})).decode()


def position(text: str) -> tuple[Any, str]:
    """What a cursor holds. Raises QueryError for what is none."""
    try:
        held = orjson.loads(base64.b64decode(text, validate=True))
        return held["last_value"], held["last_id"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise QueryError(error("Invalid cursor for current pagination sort.", "BAD_REQUEST")) from None


class Engine:
    """A schema, and every query text that was understood so far.

    roots: root field -> the value for its arguments (a connection's: all nodes, sorted). A node of a sorted
    connection is found again by the field that `sort_fields` names for the connection's sort key.
    """

    def __init__(self, sdl: str, sort_fields: Mapping[str, str]) -> None:
        self.schema = graphql.build_schema(sdl)
        self.sort_fields = sort_fields
        self._known: dict[str, Query] = {}

    def query(self, text: str) -> Query:
        """The query of a text. Raises QueryError where it is malformed or asks for what is not there."""
        if text not in self._known:
            self._known[text] = self._understood(text)
        return self._known[text]

    def answer(
        self, query: Query, variables: Variables, roots: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    ) -> tuple[dict[str, Any], int]:
        """The data of an answer, and what it cost: one point an object."""
        given = self.given(query, variables)
        counter = [0]
        data = {
            alias: projection(roots[name](arguments(given)), given, counter)
            for alias, name, arguments, projection in query.fields
        }
        return data, counter[0]

    def given(self, query: Query, variables: Variables) -> Variables:
        """The variables with their defaults. Raises QueryError where a required one is missing."""
        given = {**query.defaults, **variables}
        missing = [name for name in query.required if given.get(name) is None]
        if missing:
            raise QueryError(
                error(
                    f"Variable ${missing[0]} of type was provided invalid value",
                    "INVALID_VARIABLE",
                    value=None,
                )
            )
        return given

    # ---- understanding

    def _understood(self, text: str) -> Query:
        try:
            document = graphql.parse(text)
        except graphql.GraphQLSyntaxError as problem:
            raise QueryError(
                error(f"syntax error, {problem.message.removeprefix('Syntax Error: ')}")
            ) from None
        problems = graphql.validate(self.schema, document)
        if problems:
            raise QueryError(*(self._worded(problem) for problem in problems))
        operations = [node for node in document.definitions if isinstance(node, ast.OperationDefinitionNode)]
        fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, ast.FragmentDefinitionNode)
        }
        if len(operations) != 1 or operations[0].operation is not ast.OperationType.QUERY:
            raise QueryError(error("An operation name is required", "BAD_REQUEST"))
        root = self.schema.query_type
        assert root is not None
        fields, costs = [], []
        for node in self._fields(operations[0].selection_set, root, fragments):
            arguments = _arguments(node)
            projection, cost = self._field(node, root, fragments)
            alias = node.alias.value if node.alias else node.name.value
            fields.append((alias, node.name.value, arguments, projection))
            costs.append(cost)
        declared = operations[0].variable_definitions
        return Query(
            tuple(fields),
            lambda variables: sum(cost(variables) for cost in costs),
            {
                entry.variable.name.value: graphql.value_from_ast_untyped(entry.default_value)
                for entry in declared
                if entry.default_value is not None
            },
            frozenset(
                entry.variable.name.value for entry in declared if isinstance(entry.type, ast.NonNullTypeNode)
            ),
        )

    def _worded(self, problem: graphql.GraphQLError) -> dict[str, Any]:
        """A problem of validation as GraphQL servers in Ruby word it."""
        places = [{"line": place.line, "column": place.column} for place in problem.locations or ()]
        node = problem.nodes[0] if problem.nodes else None
        if problem.message.startswith("Cannot query field") and isinstance(node, ast.FieldNode):
            kind = problem.message.split("'")[3]
            name = node.name.value
            found = error(
                f"Field '{name}' doesn't exist on type '{kind}'",
                "undefinedField",
                typeName=kind,
                fieldName=name,
            )
        else:
            found = error(problem.message, "invalidQuery")
        return {**found, "locations": places}

    def _fields(
        self, selection: ast.SelectionSetNode, kind: Any, fragments: Mapping[str, ast.FragmentDefinitionNode]
    ) -> list[ast.FieldNode]:
        """The fields of a selection that apply to a type, those of fragments included."""
        found: list[ast.FieldNode] = []
        for node in selection.selections:
            if node.directives:
                raise QueryError(error("Directives are not modelled", "invalidQuery"))
            if isinstance(node, ast.FieldNode):
                found.append(node)
                continue
            part = fragments[node.name.value] if isinstance(node, ast.FragmentSpreadNode) else node
            assert isinstance(part, ast.InlineFragmentNode | ast.FragmentDefinitionNode)
            if part.type_condition is None or self._applies(part.type_condition.name.value, kind):
                found += self._fields(part.selection_set, kind, fragments)
        return found

    def _applies(self, condition: str, kind: Any) -> bool:
        other = self.schema.type_map[condition]
        return other is kind or (
            isinstance(other, graphql.GraphQLInterfaceType) and other in getattr(kind, "interfaces", ())
        )

    def _field(
        self, node: ast.FieldNode, parent: Any, fragments: Mapping[str, Any]
    ) -> tuple[Projection, Cost]:
        if node.name.value == "__typename":
            return (lambda _, __, ___: parent.name), (lambda _: 0)
        declared = parent.fields[node.name.value].type
        many, kind = _unwrapped(declared)
        if node.selection_set is None:
            return (lambda value, _, __: value), (lambda _: 0)
        if kind.name.endswith("Connection"):
            return self._connection(node, kind, fragments)
        project, cost = self._object(node.selection_set, kind, fragments)
        if many:
            return (
                lambda value, variables, counter: [project(entry, variables, counter) for entry in value]
            ), cost
        return project, cost

    def _object(
        self, selection: ast.SelectionSetNode, kind: Any, fragments: Mapping[str, Any]
    ) -> tuple[Projection, Cost]:
        if isinstance(kind, graphql.GraphQLInterfaceType):
            made = {
                possible.name: self._object(selection, possible, fragments)
                for possible in self.schema.get_possible_types(kind)
            }

            def one_of(value: Any, variables: Variables, counter: list[int]) -> Any:
                return None if value is None else made[value["__typename"]][0](value, variables, counter)

            return one_of, lambda variables: max(cost(variables) for _, cost in made.values())
        parts = [
            (
                node.alias.value if node.alias else node.name.value,
                node.name.value,
                *self._field(node, kind, fragments),
            )
            for node in self._fields(selection, kind, fragments)
        ]
        plain = [(alias, name, project) for alias, name, project, _ in parts]
        costs = [cost for _, _, _, cost in parts]

        def project(value: Any, variables: Variables, counter: list[int]) -> Any:
            if value is None:
                return None
            counter[0] += 1
            return {alias: part(value.get(name), variables, counter) for alias, name, part in plain}

        return project, lambda variables: 1 + sum(cost(variables) for cost in costs)

    def _connection(
        self, node: ast.FieldNode, kind: Any, fragments: Mapping[str, Any]
    ) -> tuple[Projection, Cost]:
        assert node.selection_set is not None
        arguments = _arguments(node)
        nodes: tuple[Projection, Cost] | None = None
        edges: tuple[Projection, Cost] | None = None
        info: list[str] = []
        for part in self._fields(node.selection_set, kind, fragments):
            inner = part.selection_set
            assert inner is not None
            if part.name.value == "pageInfo":
                info = [field.name.value for field in self._fields(inner, None, fragments)]
            elif part.name.value == "nodes":
                nodes = self._object(inner, _unwrapped(kind.fields["nodes"].type)[1], fragments)
            else:
                edge = _unwrapped(kind.fields["edges"].type)[1]
                for field in self._fields(inner, edge, fragments):
                    if field.name.value == "node" and field.selection_set is not None:
                        edges = self._object(field.selection_set, edge.fields["node"].type.of_type, fragments)
        name = node.name.value

        def project(value: Any, variables: Variables, counter: list[int]) -> Any:
            asked = arguments(variables)
            page, more, mark = self._page(name, value or (), asked)
            counter[0] += 2
            found: dict[str, Any] = {}
            if nodes is not None:
                found["nodes"] = [nodes[0](entry, variables, counter) for entry in page]
            if edges is not None:
                found["edges"] = [
                    {"cursor": mark(entry), "node": edges[0](entry, variables, counter)} for entry in page
                ]
            if info:
                held = {
                    "hasNextPage": more,
                    "hasPreviousPage": bool(asked.get("after")),
                    "startCursor": mark(page[0]) if page else None,
                    "endCursor": mark(page[-1]) if page else None,
                }
                found["pageInfo"] = {key: held[key] for key in info}
            return found

        def cost(variables: Variables) -> int:
            inner = sum(part[1](variables) for part in (nodes, edges) if part is not None)
            return 2 + int(arguments(variables).get("first") or 0) * inner

        return project, cost

    def _page(
        self, name: str, value: Sequence[Any], asked: Mapping[str, Any]
    ) -> tuple[Sequence[Any], bool, Callable[[Any], str]]:
        """A page of a list, whether more follows, and how its cursors are made."""
        first = asked.get("first")
        if not isinstance(first, int):
            raise QueryError(error(f"you must provide one of first or last on {name}", "BAD_REQUEST"))
        if not 0 < first <= MOST_A_PAGE:
            raise QueryError(
                error(f"first must be between 1 and {MOST_A_PAGE}, got {first}", "ARGUMENT_OUT_OF_RANGE")
            )
        field = self.sort_fields.get(str(asked.get("sortKey") or "ID"), "id")

        def mark(entry: Any) -> str:
            return cursor(entry[field], entry["id"])

        start = 0
        if asked.get("after"):
            wanted = position(asked["after"])
            if field == "id":
                start = next((n + 1 for n, entry in enumerate(value) if entry["id"] == wanted[1]), 0)
                if start == 0:
                    raise QueryError(error("Invalid cursor for current pagination sort.", "BAD_REQUEST"))
            else:  # the record itself may have moved on
                start = sum((entry[field], entry["id"]) <= wanted for entry in value)
        return value[start : start + first], start + first < len(value), mark


def _unwrapped(kind: Any) -> tuple[bool, Any]:
    """Whether a type is a list, and what it is a list of."""
    many = False
    while graphql.is_wrapping_type(kind):
        many = many or graphql.is_list_type(kind)
        kind = kind.of_type
    return many, kind


def _arguments(node: ast.FieldNode) -> Callable[[Variables], dict[str, Any]]:
    """The arguments of a field for given variables."""
    entries = [(entry.name.value, entry.value) for entry in node.arguments]
    return lambda variables: {
        name: graphql.value_from_ast_untyped(value, dict(variables)) for name, value in entries
    }
