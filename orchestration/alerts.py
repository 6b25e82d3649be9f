"""What is wrong after a run, and who has been told of it (no Dagster in here; the sensors are in `sensors`).

Rules stand in `alerts.yml`. A trouble is told to each receiver once, until it is over; then that is told.
What a receiver could not be told is told after the next run. The state lies in `<data folder>/alerts.json`,
what was said in `alerts.jsonl`. Nothing here ever fails a run: what goes wrong is one line in its record.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from ingestion.privacy import PSEUDONYM
from ingestion.settings import PROJECT_ROOT, Paths, read_dotenv
from orchestration import postgres, receivers
from orchestration.errors import Problem, one_line
from orchestration.receivers import Notice, Receiver, deliver

if TYPE_CHECKING:
    from orchestration.runner import RunOutcome

RULES_FILE = PROJECT_ROOT / "alerts.yml"
RUN_FAILED, CHECK_FAILED, LATE = "run_failed", "check_failed", "publication_late"
OWN_RULES = (RUN_FAILED, CHECK_FAILED, LATE)
RULE_KEYS = {"title", "sql", "with", "growth", "severities", "hours"}
LOG = "alerts.jsonl"  # the receiver that is always there
MAX_LINES = 20  # of a section of a message
MAX_TEXTS = 5  # of a trouble
_PHONE = re.compile(r"\+\d[\d ().-]{6,}\d")
_QUOTED = re.compile(r"'[^']*'")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|KEY|CREDENTIAL|DSN")

Wait = Callable[[float], None]


@dataclass(frozen=True)
class Rules:
    """What alerts.yml says: the installation's name, and each rule that is switched on."""

    name: str
    rules: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong; `members` (name -> text) are what can be new in it."""

    rule: str
    subject: str
    members: Mapping[str, str]

    @property
    def key(self) -> str:
        return f"{self.rule}:{self.subject}"

    def line(self, known: Sequence[str] = ()) -> str:
        """What to say of it to somebody who knows of some members already."""
        new = [member for member in self.members if member not in known]
        texts = [text for member in new if (text := self.members[member])]
        if texts:
            more = f"; and {len(texts) - MAX_TEXTS:,} more" if len(texts) > MAX_TEXTS else ""
            return f"{self.subject}: {'; '.join(texts[:MAX_TEXTS])}{more}"
        if list(self.members) == [""]:
            return self.subject
        known_too = f", {len(new):,} of them new" if len(new) < len(self.members) else ""
        return f"{self.subject}: {len(self.members):,}{known_too}"


@dataclass
class Look:
    """What was found wrong, and which troubles were looked for at all (only those can be over)."""

    troubles: dict[str, Trouble] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def add(self, trouble: Trouble) -> None:
        self.troubles[trouble.key] = trouble

    def is_over(self, key: str) -> bool:
        looked_for = key in self.keys or key.partition(":")[0] in self.rules
        return looked_for and key not in self.troubles


def read_rules(paths: Paths) -> Rules:
    """The project's alerts.yml, with the data folder's over it.

    Raises:
        Problem: a file or a rule cannot be used.
    """
    name = "Funnelhouse"
    rules: dict[str, dict[str, Any]] = {}
    for file in (RULES_FILE, paths.data_dir / RULES_FILE.name):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            continue
        except yaml.YAMLError as error:
            raise Problem(f"{file} is no valid YAML: {one_line(error)}") from None
        if not isinstance(content, dict) or not isinstance(content.get("rules") or {}, dict):
            raise Problem(f"{file} must hold `name` and `rules`, each rule under its name.")
        name = str(content.get("name") or name)
        for rule, said in (content.get("rules") or {}).items():
            if said is False:
                rules.pop(rule, None)
                continue
            merged = {**rules.get(rule, {}), **(said if isinstance(said, dict) else {"": said})}
            unknown = set(merged) - RULE_KEYS
            if unknown or not (rule in OWN_RULES or isinstance(merged.get("sql"), str)):
                raise Problem(
                    f"{file}: rule {rule} "
                    + (f"has unknown keys: {', '.join(sorted(unknown))}." if unknown else "needs `sql`.")
                )
            rules[rule] = merged
    return Rules(name, rules)


# ---- What is wrong


def look(paths: Paths, rules: Rules, amounts: dict[str, Any], outcome: RunOutcome | None = None) -> Look:
    """Everything that is wrong now: of this run (if there is one), and of what is published.

    Args:
        paths: the data folder.
        rules: what to look for.
        amounts: what rules with `growth` found before; brought up to date.
        outcome: the run that has just ended.
    """
    found = Look()
    if outcome is not None:
        _look_at_run(found, rules, outcome)
    if paths.published.is_file():
        _look_at_age(found, rules, paths)
        _look_at_published(found, rules, paths, amounts)
    return found


def _look_at_run(found: Look, rules: Rules, outcome: RunOutcome) -> None:
    from orchestration.schedules import DAILY_RUN

    if RUN_FAILED in rules.rules:
        found.keys.add(f"{RUN_FAILED}:{outcome.job}")
        if not outcome.success:
            text = "; ".join(_cause(failure.message, failure.expected) for failure in outcome.failures)
            text = text or "see `funnelhouse status`"
            # The same cause with other figures in it is the same trouble; the state keeps a digest of it.
            cause = hashlib.sha256(re.sub(r"\d+", "#", text).encode()).hexdigest()[:12]
            found.add(Trouble(RUN_FAILED, outcome.job, {cause: f"{text} (run {outcome.run_id[:8]})"}))
    if CHECK_FAILED in rules.rules:
        found.keys |= {f"{CHECK_FAILED}:{check}" for check in outcome.passed_checks}
        if outcome.success and outcome.job == DAILY_RUN:
            found.rules.add(CHECK_FAILED)  # it evaluates all; what it did not is gone
        wanted = rules.rules[CHECK_FAILED].get("severities", ["error", "warning"])
        for check in outcome.failed_checks:
            severity = "error" if check.blocking else "warning"
            if severity in wanted:
                found.add(Trouble(CHECK_FAILED, f"{check.asset}.{check.name}", {severity: severity}))


def _cause(message: str, expected: bool) -> str:
    """A failure without the values that a message may quote; what nobody foresaw may say anything, so only
    what it is called.
    """
    return _QUOTED.sub("'…'", message) if expected else f"unexpected: {message.partition(':')[0][:60]}"


def _look_at_age(found: Look, rules: Rules, paths: Paths) -> None:
    rule = rules.rules.get(LATE)
    if rule is None:
        return
    found.rules.add(LATE)
    hours = (time.time() - paths.published.stat().st_mtime) / 3600
    allowed = float(rule.get("hours", 30))
    if hours > allowed:
        found.add(Trouble(LATE, f"for more than {allowed:,.0f} hours", {"": ""}))


def _look_at_published(found: Look, rules: Rules, paths: Paths, amounts: dict[str, Any]) -> None:
    import duckdb

    edition = str(paths.published.stat().st_mtime_ns)
    with duckdb.connect(str(paths.published), read_only=True) as published:
        for name, rule in rules.rules.items():
            if name in OWN_RULES:
                continue
            try:
                cursor = published.execute(rule["sql"], dict(rule.get("with") or {}))
                columns = [entry[0] for entry in cursor.description or ()]
                rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
                troubles = _grown(name, rule["growth"], rows, amounts, edition) if "growth" in rule else rows
                by_subject: dict[str, dict[str, str]] = {}
                for row in troubles:
                    members = by_subject.setdefault(str(row["subject"]), {})
                    members[str(row.get("member") or "")] = str(row.get("text") or "")
            except duckdb.CatalogException:
                continue  # nothing of the kind is published
            except (duckdb.Error, KeyError, TypeError, ValueError) as error:
                found.problems.append(f"rule {name} cannot be used: {one_line(error, 200)}")
                continue
            found.rules.add(name)
            for subject, members in by_subject.items():
                found.add(Trouble(name, subject, members))


def _grown(
    name: str,
    growth: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    amounts: dict[str, Any],
    edition: str,
) -> Iterator[dict[str, str]]:
    """What has grown since the published edition before; asked twice of one edition it answers the same."""
    now = {str(row["subject"]): float(row["amount"]) for row in rows}
    kept = amounts.get(name) or {"edition": "", "now": {}, "before": {}}
    before = kept["before"] if kept["edition"] == edition else kept["now"]
    amounts[name] = {"edition": edition, "now": now, "before": before}
    for subject, amount in now.items():
        old = float(before.get(subject, 0))
        if amount - old >= max(float(growth.get("min", 1)), float(growth.get("share", 0)) * old):
            yield {
                "subject": subject,
                "text": f"{amount - old:,.0f} more than after the run before, {amount:,.0f} now",
            }


# ---- Telling


def after_run(paths: Paths, outcome: RunOutcome, wait: Wait = time.sleep) -> str:
    """Look, and tell everybody what is new to them; gives one line for the run's record, raises nothing."""
    return _safely(lambda: tell(paths, outcome, wait))


def watch(paths: Paths, wait: Wait = time.sleep) -> str:
    """The same between runs: what is late, and what a receiver could not be told before."""
    return _safely(lambda: tell(paths, None, wait))


def run_did_not_begin(paths: Paths, job: str, error: BaseException) -> str:
    """Tell that a run ended before its first step."""
    from orchestration.runner import RunOutcome, StepFailure

    failures = [StepFailure("", one_line(error), True)]
    return after_run(paths, RunOutcome("none", job, False, 0.0, failures=failures))


def _safely(act: Callable[[], str]) -> str:
    try:
        return act()
    except Exception as error:  # an alert must not become the trouble
        return f"no alert could be sent: {type(error).__name__}: {clean(one_line(error))}"


def tell(paths: Paths, outcome: RunOutcome | None, wait: Wait = time.sleep) -> str:
    """Look, send what is new, and keep who knows what.

    Raises:
        Problem: alerts.yml or the environment cannot be used.
    """
    rules = read_rules(paths)
    everybody: list[Receiver | None] = [None]  # the log
    said: list[str] = []
    try:
        everybody += receivers.receivers()
    except Problem as error:  # the log still gets its line
        said.append(str(error))
    with _state(paths) as state:
        found = look(paths, rules, state.setdefault("amounts", {}), outcome)
        said += found.problems
        for receiver in everybody:
            name = receiver.name if receiver else LOG
            told: dict[str, dict[str, Any]] = state.setdefault("told", {}).setdefault(name, {})
            notice = news(rules, found, told)
            if notice is None:
                _forget_members(found, told)
                continue
            if receiver is None:
                _log(paths, notice, outcome)
                _note(rules, found, told)
                continue
            failure = deliver(receiver, notice, wait)
            if failure is None:
                _note(rules, found, told)
            said.append(f"{name}: {failure or 'told'}")
    return "; ".join(said)


def news(rules: Rules, found: Look, told: Mapping[str, Mapping[str, Any]]) -> Notice | None:
    """The message for somebody who knows of `told`; None where nothing is new."""
    sections: dict[str, list[str]] = {}
    new = 0
    for key, trouble in found.troubles.items():
        known = told.get(key, {}).get("members", [])
        if key in told and set(trouble.members) <= set(known):
            continue
        new += 1
        sections.setdefault(_title(rules, trouble.rule), []).append(clean(trouble.line(known)))
    over = [key for key in told if found.is_over(key)]
    if over:
        sections["Over"] = [clean(f"{told[key]['title']} (since {told[key]['since']})") for key in over]
    if not sections:
        return None
    counts = [f"{new} trouble{'' if new == 1 else 's'}"] * bool(new) + [f"{len(over)} over"] * bool(over)
    return Notice(
        clean(f"{rules.name}: {', '.join(counts)}"),
        [(heading, _at_most(lines)) for heading, lines in sections.items()],
    )


def _note(rules: Rules, found: Look, told: dict[str, dict[str, Any]]) -> None:
    """Somebody has been told all of it."""
    for key in [key for key in told if found.is_over(key)]:
        del told[key]
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    for key, trouble in found.troubles.items():
        entry = told.setdefault(key, {"since": now})
        entry["title"] = clean(f"{_title(rules, trouble.rule)}: {trouble.subject}")
        entry["members"] = sorted(trouble.members)


def _forget_members(found: Look, told: dict[str, dict[str, Any]]) -> None:
    """What is no member any more would be new if it came back."""
    for key, entry in told.items():
        if key in found.troubles:
            entry["members"] = sorted(set(entry["members"]) & set(found.troubles[key].members))


def _title(rules: Rules, rule: str) -> str:
    return str(rules.rules.get(rule, {}).get("title") or rule.replace("_", " ").capitalize())


def _at_most(lines: Sequence[str]) -> list[str]:
    if len(lines) <= MAX_LINES:
        return list(lines)
    return [*lines[:MAX_LINES], f"and {len(lines) - MAX_LINES:,} more"]


def clean(text: str) -> str:
    """One line without secrets, e-mail addresses, telephone numbers and pseudonyms of persons."""
    from ingestion.http import redact

    known = {**read_dotenv(), **os.environ}
    secrets = [
        value
        for name, value in known.items()
        if len(value) > 5
        and (name in (*receivers.SECRETS, postgres.ADDRESS) or _SECRET_NAME.search(name.upper()))
    ]
    text = PSEUDONYM.sub("[person]", redact(" ".join(text.split()), tuple(secrets)))
    return one_line(Exception(_PHONE.sub("[telephone number]", text)), 500)


def _log(paths: Paths, notice: Notice, outcome: RunOutcome | None) -> None:
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "job": outcome.job if outcome else None,
        "run_id": outcome.run_id if outcome else None,
        "title": notice.title,
        "sections": {heading: list(lines) for heading, lines in notice.sections},
    }
    with (paths.data_dir / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


@contextmanager
def _state(paths: Paths) -> Iterator[dict[str, Any]]:
    """Who has been told what, held by one process at a time; replaced by an atomic rename at the end."""
    file = paths.data_dir / "alerts.json"
    with (paths.data_dir / "alerts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            state = {}
        state = state if isinstance(state, dict) else {}
        yield state
        temporary = file.with_suffix(".json.new")
        temporary.write_text(json.dumps(state, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(file)


def try_out(paths: Paths, wait: Wait = time.sleep) -> dict[str, str | None]:
    """Send a test message to everybody; gives why it failed, or None, for each.

    Raises:
        Problem: nobody is named, or alerts.yml or an address cannot be used.
    """
    rules = read_rules(paths)
    everybody = receivers.receivers()
    if not everybody:
        raise Problem(
            f"Nobody is told of anything yet. Set {receivers.SLACK}, {receivers.TEAMS}, {receivers.WEBHOOK} "
            f"or {receivers.EMAIL_TO} in the environment or in .env (see .env.example)."
        )
    notice = Notice(f"{rules.name}: a test", [("Watched", [_title(rules, rule) for rule in rules.rules])])
    return {receiver.name: deliver(receiver, notice, wait) for receiver in everybody}
