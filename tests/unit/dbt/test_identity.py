"""Identity against an independent union-find: random graphs, paths and stars, in full and in steps."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.dbt.project import Project

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = (
    *(f"intermediate/{name}" for name in ("unions", "web", "email", "identity")),
    *(f"intermediate/crm/{name}.sql" for name in ("int_crm_removals", "int_contacts", "int_accounts")),
)
LEFT_OUT = (
    "int_changed_profiles",
    "int_changed_visitors",
    "int_person_account",
    "int_person_profile",
    "int_session_candidates",
    "int_web_events_sessionized",
)
START = datetime(2026, 6, 1)


class UnionFind:
    """The oracle: nothing of it is shared with the SQL."""

    def __init__(self) -> None:
        """No nodes yet."""
        self.parent: dict[Any, Any] = {}

    def find(self, node: Any) -> Any:
        """The root of a node's tree."""
        self.parent.setdefault(node, node)
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def union(self, a: Any, b: Any) -> None:
        """Join two trees."""
        self.parent[self.find(a)] = self.find(b)

    def groups(self) -> set[frozenset[Any]]:
        """The components."""
        found = defaultdict(set)
        for node in list(self.parent):
            found[self.find(node)].add(node)
        return {frozenset(group) for group in found.values()}


def _contact(source: str, target: str | None, minute: int) -> dict[str, Any]:
    at = START + timedelta(minutes=minute)
    return {
        "source_relation": "crm:main:1",
        "contact_id": source,
        "created_at": at,
        "updated_at": at,
        "merged_into_id": target,
        "is_deleted": False,
        "_load_id": "1",
    }


def _graph(seed: int, nodes: int, edges: int) -> list[tuple[str, str | None]]:
    """A random graph of merges: a long path, a star, random edges; each contact merges into at most one."""
    r = random.Random(seed)
    names = [f"n{number}" for number in range(nodes)]
    pairs: dict[str, str | None] = dict.fromkeys(names)
    for a, b in pairwise(names[: nodes // 3]):
        pairs[a] = b
    for a in names[nodes // 3 + 1 : nodes // 2]:
        pairs[a] = names[nodes // 3]
    for _ in range(edges):
        a, b = r.sample(names[nodes // 2 :], 2)
        pairs[a] = b
    return list(pairs.items())


def _expected(pairs: list[tuple[str, str | None]]) -> set[frozenset[Any]]:
    oracle = UnionFind()
    for a, b in pairs:
        oracle.find(a)
        if b is not None:
            oracle.union(a, b)
    return oracle.groups()


def _components(project: Project) -> set[frozenset[Any]]:
    found = defaultdict(set)
    for person, identifier in project.rows("select person_id, identifier from intermediate.int_identity_map"):
        found[person].add(identifier)
    return {frozenset(group) for group in found.values()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project, parsed once; its warehouse is refilled by each test."""
    return Project(tmp_path_factory.mktemp("identity"), models=IDENTITY, left_out=LEFT_OUT)


def _run(project: Project, pairs: list[tuple[str, str | None]], mark: str, *arguments: str) -> None:
    rows = [_contact(a, b, minute) for minute, (a, b) in enumerate(pairs)]
    project.write({"crm_contacts": rows}, START, mark)
    project.dbt("run", "-s", "+int_identity_map", *arguments)


def test_components_equal_union_find_in_full_and_in_steps(project: Project) -> None:
    """A path of hundreds of nodes converges; every later change gives what a rebuild gives."""
    pairs = _graph(seed=1, nodes=600, edges=180)
    _run(project, pairs, "", "--full-refresh")
    assert _components(project) == _expected(pairs)
    persons = dict(project.rows("select identifier, person_id from intermediate.int_identity_map"))

    r = random.Random(2)
    changed = dict(pairs)
    for name in r.sample(sorted(changed), 25):  # joins, splits and moves
        changed[name] = r.choice([None, f"n{r.randrange(600)}"])
    for name in r.sample(sorted(changed), 10):  # records that vanish
        changed.pop(name)
    steps = [(a, b) for a, b in changed.items() if a != b and (b is None or b in changed)]
    _run(project, steps, "1")
    assert _components(project) == _expected(steps)
    stepwise = project.content("intermediate.int_identity_map")
    redirects = project.rows(
        "select count(*) from intermediate.int_changed_identifiers where old_person_id <> new_person_id"
    )
    assert redirects[0][0] > 0
    moved = dict(project.rows("select identifier, person_id from intermediate.int_identity_map"))
    untouched = sum(persons.get(name) == person for name, person in moved.items())
    assert untouched > len(moved) / 2

    _run(project, steps, "", "--full-refresh")
    assert project.content("intermediate.int_identity_map") == stepwise


def test_a_person_is_named_by_its_earliest_identifier(project: Project) -> None:
    """Earlier evidence renames the whole component and nothing else."""
    _run(project, [("b", None), ("c", "b"), ("z", None)], "", "--full-refresh")
    before = dict(project.rows("select identifier, person_id from intermediate.int_identity_map"))
    assert before["b"] == before["c"] != before["z"]
    _run(project, [("a", "b"), ("b", None), ("c", "b"), ("z", None)], "1")
    after = dict(project.rows("select identifier, person_id from intermediate.int_identity_map"))
    assert after["a"] == after["b"] == after["c"]
    assert after["b"] != before["b"]
    assert after["z"] == before["z"]


def test_a_bound_that_is_hit_is_an_error(tmp_path: Path) -> None:
    """Too few rounds for the graph: a clear message, and no map."""
    project = Project(tmp_path, models=IDENTITY, left_out=LEFT_OUT, identity_max_rounds=1)
    pairs = [(f"n{i}", f"n{i + 1}" if i < 199 else None) for i in range(200)]
    with pytest.raises(AssertionError, match="not converged after identity_max_rounds = 1"):
        _run(project, pairs, "")
