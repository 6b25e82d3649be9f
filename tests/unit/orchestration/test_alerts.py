"""Alerts: what is told, to whom, how often, and what never leaves the house."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import DagsterRunStatus, build_run_status_sensor_context, build_sensor_context

from ingestion.settings import Paths
from orchestration import alerts, publication, receivers, runner, runs
from orchestration.cli import main as cli_main
from orchestration.errors import Problem
from orchestration.receivers import Notice, Undelivered, deliver
from orchestration.runner import FailedCheck, RunOutcome, StepFailure
from orchestration.sensors import build_sensors, tell_of
from tests.unit.orchestration.conftest import Shop
from tests.unit.orchestration.receiving import Mailed, Posted, http_receiver, mail_receiver

VARIABLES = (*receivers.SECRETS, receivers.EMAIL_TO, receivers.EMAIL_FROM)


def no_wait(_: float) -> None:
    """Retries without the waiting."""


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posted]:
    with http_receiver() as posted:
        monkeypatch.setenv(receivers.WEBHOOK, posted.address)
        yield posted


def outcome(job: str = "daily_run", message: str = "", **more: Any) -> RunOutcome:
    failures = [StepFailure("load_shop", message, True)] if message else []
    return RunOutcome("0123456789ab", job, not message, 1.0, failures=failures, **more)


def publish(paths: Paths, stale: list[str], refused: int = 0, leads: tuple[str, ...] = ()) -> None:
    """A published file that holds what three of the rules ask for."""
    paths.published.unlink(missing_ok=True)
    with duckdb.connect(str(paths.published)) as made:
        made.execute("create schema trust; create schema funnel")
        made.execute(
            "create table trust.data_freshness (source_relation text, entity text,"
            " hours_since_latest_record double, allowed_hours bigint, is_stale boolean)"
        )
        for entity in ("orders", "visits"):
            made.execute(
                "insert into trust.data_freshness values ('shop:main:1', ?, 80.4, 72, ?)",
                [entity, entity in stale],
            )
        made.execute(
            "create table trust.quarantined_records as select 'shop:main:1' as source_relation,"
            f" 'orders' as resource from range({refused})"
        )
        made.execute(
            "create table funnel.leads_needing_attention (reason text, subject text, attention_id text)"
        )
        for lead in leads:
            made.execute("insert into funnel.leads_needing_attention values ('stale', 'person', ?)", [lead])
            made.execute(
                "insert into funnel.leads_needing_attention values ('sla_breached', 'person', ?)", [lead]
            )


def lines(body: Any) -> list[str]:
    return [line for section in body["sections"] for line in section["lines"]]


def headings(body: Any) -> list[str]:
    return [section["heading"] for section in body["sections"]]


def test_a_failed_run_is_told_once_and_its_end_too(paths: Paths, hook: Posted) -> None:
    alerts.after_run(paths, outcome(message="shop: 500 after 3 tries"), no_wait)
    alerts.after_run(paths, outcome(message="shop: 500 after 4 tries"), no_wait)
    assert [body["title"] for body in hook.bodies] == ["Funnelhouse: 1 trouble"]
    assert headings(hook.bodies[0]) == ["Run failed"]
    assert lines(hook.bodies[0]) == ["daily_run: shop: 500 after 3 tries (run 01234567)"]

    alerts.after_run(paths, outcome(message="shop: the token was refused"), no_wait)  # another cause
    assert lines(hook.bodies[1]) == ["daily_run: shop: the token was refused (run 01234567)"]

    alerts.after_run(paths, outcome("another_job"), no_wait)
    assert len(hook.bodies) == 2
    alerts.after_run(paths, outcome(), no_wait)
    alerts.after_run(paths, outcome(), no_wait)
    assert len(hook.bodies) == 3
    assert headings(hook.bodies[2]) == ["Over"]
    assert lines(hook.bodies[2])[0].startswith("Run failed: daily_run (since ")

    logged = [json.loads(line) for line in (paths.data_dir / "alerts.jsonl").read_text().splitlines()]
    assert [entry["title"] for entry in logged] == [body["title"] for body in hook.bodies]


def test_checks_are_told_until_they_pass_again(paths: Paths, hook: Posted) -> None:
    check = FailedCheck("unique_id", "core.fct", False, "found ['Anna Jansen']", "select", False)
    alerts.after_run(paths, outcome("hourly_run", failed_checks=[check]), no_wait)
    alerts.after_run(paths, outcome("hourly_run"), no_wait)  # this run did not look at it
    assert [lines(body) for body in hook.bodies] == [["core.fct.unique_id: warning"]]
    alerts.after_run(paths, outcome("hourly_run", passed_checks={"core.fct.unique_id"}), no_wait)
    assert headings(hook.bodies[1]) == ["Over"]


def test_only_what_is_new_in_a_trouble_is_told(paths: Paths, hook: Posted) -> None:
    publish(paths, stale=["orders"], leads=("a", "b"))
    alerts.after_run(paths, outcome(), no_wait)
    assert lines(hook.bodies[0]) == [
        "shop:main:1: orders 80 h old, 72 h are allowed",
        "sla breached (person): 2",
    ]
    alerts.after_run(paths, outcome(), no_wait)
    assert len(hook.bodies) == 1

    publish(paths, stale=["orders", "visits"], leads=("b", "c", "d"))
    alerts.after_run(paths, outcome(), no_wait)
    assert lines(hook.bodies[1]) == [
        "shop:main:1: visits 80 h old, 72 h are allowed",
        "sla breached (person): 3, 2 of them new",
    ]
    publish(paths, stale=["orders"], leads=("b",))  # better, but not over
    alerts.after_run(paths, outcome(), no_wait)
    assert len(hook.bodies) == 2
    publish(paths, stale=["orders"], leads=("b", "c"))  # one came back
    alerts.after_run(paths, outcome(), no_wait)
    assert lines(hook.bodies[2]) == ["sla breached (person): 2, 1 of them new"]
    publish(paths, stale=[])
    alerts.after_run(paths, outcome(message="shop: gone"), no_wait)  # a failed run says nothing of others
    assert headings(hook.bodies[3]) == ["Run failed", "Over"]
    assert len(lines(hook.bodies[3])) == 3


def test_quarantine_growth_is_held_against_the_edition_before(paths: Paths, hook: Posted) -> None:
    said = []
    for refused in (5, 14, 30, 30, 600, 640):  # too few, 16 more, over, 570 more, 7 % more: over
        publish(paths, [], refused)
        before = len(hook.bodies)
        alerts.after_run(paths, outcome(), no_wait)
        alerts.after_run(paths, outcome(), no_wait)  # the same edition again
        said.append([headings(body)[0] for body in hook.bodies[before:]])
    assert said == [[], [], ["Quarantine grows"], ["Over"], ["Quarantine grows"], ["Over"]]
    assert lines(hook.bodies[0]) == ["shop:main:1 orders: 16 more than after the run before, 30 now"]


def test_a_receiver_that_fails_is_tried_in_bounds_and_told_later(
    paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    hook.headers["Retry-After"] = "3600"
    hook.answers = [429, 503, 500]
    failed = outcome(message="shop: down")
    assert alerts.after_run(paths, failed, waits.append) == "webhook: answered 500, 3 times"
    assert waits == [receivers.LONGEST_WAIT] * 2
    hook.answers = [404]
    assert alerts.after_run(paths, failed, waits.append) == "webhook: answered 404"
    assert len(waits) == 2
    hook.answers = [302]  # a redirection is not followed
    hook.headers["Location"] = hook.address
    assert alerts.after_run(paths, failed, no_wait) == "webhook: answered 302"
    assert hook.bodies == []
    assert alerts.after_run(paths, failed, no_wait) == "webhook: told"
    assert alerts.after_run(paths, failed, no_wait) == ""
    assert len(hook.bodies) == 1

    monkeypatch.setenv(receivers.WEBHOOK, "http://127.0.0.1:1/hooks/T0PSECRET")
    said = alerts.after_run(paths, outcome(), no_wait)
    assert said == "webhook: not reached (ConnectionError), 3 times"
    monkeypatch.setenv(receivers.WEBHOOK, "http://example.com/T0PSECRET")
    assert "T0PSECRET" not in alerts.after_run(paths, outcome(), no_wait)
    (paths.data_dir / "alerts.yml").write_text("rules: [")
    assert alerts.after_run(paths, outcome(), no_wait).startswith("no alert could be sent: Problem")


def test_slack_and_teams_get_what_they_understand(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as slack, http_receiver() as teams:
        monkeypatch.setenv(receivers.SLACK, slack.address)
        monkeypatch.setenv(receivers.TEAMS, teams.address)
        said = alerts.after_run(paths, outcome(message="shop: <!channel> & more"), no_wait)
        assert said == "Slack: told; Teams: told"
    assert slack.bodies[0]["text"] == (
        "Funnelhouse: 1 trouble\n\nRun failed:\n- daily_run: shop: &lt;!channel&gt; &amp; more (run 01234567)"
    )
    card = teams.bodies[0]["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    texts = [block["text"] for block in card["content"]["body"]]
    assert texts == [
        "Funnelhouse: 1 trouble",
        "Run failed",
        "daily_run: shop: <!channel> & more (run 01234567)",
    ]


def test_mail_is_sent_once_and_a_refused_recipient_is_noted(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_receiver() as mailed:
        set_mail(monkeypatch, mailed)
        mailed.refusals = ["450 later", "450 later"]
        assert alerts.after_run(paths, outcome(message="shop: dämmerung"), no_wait) == "e-mail: told"
        assert mailed.recipients == ["revops@example.com", "data@example.com"]
        message = mailed.messages[0]
        assert (message["From"], message["Subject"]) == ("robot@example.com", "Funnelhouse: 1 trouble")
        assert "- daily_run: shop: dämmerung (run 01234567)" in message.get_content()
        assert mailed.logins[-1] == ("robot@example.com", "pa55word")
        mailed.refusals = ["550 nobody", "550 nobody"]
        assert alerts.after_run(paths, outcome(), no_wait) == "e-mail: no recipient was taken (550)"
    said = alerts.after_run(paths, outcome(), no_wait)
    assert said == "e-mail: not reached (ConnectionRefusedError), 3 times"


def set_mail(monkeypatch: pytest.MonkeyPatch, mailed: Mailed) -> None:
    monkeypatch.setenv(receivers.EMAIL_TO, "revops@example.com, data@example.com")
    monkeypatch.setenv(receivers.SMTP, mailed.address)


def test_a_password_is_never_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "LOOPBACK", ())
    with mail_receiver() as mailed:
        set_mail(monkeypatch, mailed)
        failure = deliver(receivers.receivers()[0], Notice("t", []), no_wait)
        assert failure == "the server offers no encryption, so the password was not sent"
        assert (mailed.logins, mailed.messages) == ([], [])


def test_personal_data_and_secrets_stay_inside(
    paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__SHOP__API_KEY", "sk_live_1234567890")
    message = (
        "shop: sk_live_1234567890 was refused for anna.jansen@example.com (+31 20 123 4567), "
        f"person v1:{'ab' * 32}, value 'Anna Jansen', https://user:pw@api.example.com/x?token=abcdef, "
        f"{hook.address}"
    )
    alerts.after_run(paths, outcome(message=message), no_wait)
    unforeseen = StepFailure("build", "ValueError: row Bert Smit, 12 Main Street", False)
    alerts.after_run(paths, RunOutcome("r2", "hourly_run", False, 1.0, failures=[unforeseen]), no_wait)
    kept = [file.read_text() for file in sorted(paths.data_dir.glob("alerts*"))]
    assert len(kept) == 3
    everything = json.dumps(hook.bodies) + "".join(kept)
    for secret in (
        "sk_live",
        "anna",
        "Anna",
        "123 4567",
        "v1:",
        "abab",
        "pw@",
        "abcdef",
        "T0PSECRET",
        "Bert",
    ):
        assert secret not in everything, secret
    assert "unexpected: ValueError" in everything
    assert "was refused for [e-mail address] ([telephone number]), person [person]" in everything


def test_nothing_published_for_long_is_told_without_a_run(
    paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(paths, [])
    assert alerts.watch(paths, no_wait) == ""
    now = alerts.time.time()
    monkeypatch.setattr(alerts.time, "time", lambda: now + 31 * 3600)
    assert alerts.watch(paths, no_wait) == "webhook: told"
    assert alerts.watch(paths, no_wait) == ""
    assert headings(hook.bodies[0]) == ["Nothing published"]
    monkeypatch.setattr(alerts.time, "time", lambda: now)
    assert alerts.watch(paths, no_wait) == "webhook: told"
    assert headings(hook.bodies[1]) == ["Over"]


def test_a_data_folder_has_rules_of_its_own(paths: Paths, hook: Posted) -> None:
    publish(paths, stale=["orders"], refused=3)
    (paths.data_dir / "alerts.yml").write_text(
        "name: Shop house\n"
        "rules:\n"
        "  source_stale: false\n"
        "  refused:\n"
        "    title: Refused\n"
        "    with: {most: 2}\n"
        "    sql: select resource as subject, count(*) || ' rows' as text\n"
        "      from trust.quarantined_records group by 1 having count(*) > $most\n"
        "  broken: {sql: select nothing from trust.data_freshness}\n"
    )
    said = alerts.after_run(paths, outcome(), no_wait)
    assert hook.bodies[0]["title"] == "Shop house: 1 trouble"
    assert lines(hook.bodies[0]) == ["orders: 3 rows"]
    assert said.startswith("rule broken cannot be used: Binder Error")
    (paths.data_dir / "alerts.yml").write_text("rules: {source_stale: {threshold: 3}}\n")
    with pytest.raises(Problem, match="rule source_stale has unknown keys: threshold"):
        alerts.read_rules(paths)


def test_a_run_notes_who_was_told_and_a_sensor_does_the_same(
    shop: Shop, paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.error = RuntimeError("the shop is closed")
    hook.answers = [404]
    failed = runner.execute(paths, "daily_run")
    assert (failed.success, failed.alerts) == (False, "webhook: answered 404")
    with runs.open_instance(paths) as instance:
        run = instance.get_run_by_id(failed.run_id)
        assert run is not None
        assert run.tags[runner.ALERTS_TAG] == "webhook: answered 404"
        assert tell_of(paths, instance, run) == ""  # the command line attended to it
        unattended = run.with_tags({**run.tags, runner.ATTENDED_TAG: "false"})
        assert unattended.status is DagsterRunStatus.FAILURE
        assert tell_of(paths, instance, unattended) == "webhook: told"
        assert lines(hook.bodies[0])[0].startswith("daily_run: unexpected: shop")
        run = instance.get_run_by_id(failed.run_id)
        assert run is not None
        assert run.tags[runner.ALERTS_TAG] == "webhook: told"
    assert {sensor.name for sensor in build_sensors(paths)} == {
        "alert_on_failure",
        "alert_on_success",
        "alert_when_late",
    }


def test_a_run_that_cannot_begin_is_told(
    shop: Shop, paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Problem("The dbt project cannot be parsed: see dbt.log")

    monkeypatch.setattr("orchestration.definitions.build_defs", refuse)
    with pytest.raises(Problem):
        runner.execute(paths, "daily_run")
    assert lines(hook.bodies[0]) == ["daily_run: The dbt project cannot be parsed: see dbt.log (run none)"]


def test_alerts_can_be_tried(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["funnelhouse", "alerts", "test"])
    assert try_cli() == 1
    assert "Nobody is told of anything yet. Set FUNNELHOUSE_ALERT_SLACK" in capsys.readouterr().err
    with http_receiver() as slack, mail_receiver() as mailed:
        monkeypatch.setenv(receivers.SLACK, slack.address)
        set_mail(monkeypatch, mailed)
        assert try_cli() == 0
        assert capsys.readouterr().out == "Slack: told\ne-mail: told\n"
        assert mailed.messages[0]["Subject"] == "Funnelhouse: a test"
        slack.answers = [403]
        assert try_cli() == 1
        assert capsys.readouterr().out == "Slack: answered 403\ne-mail: told\n"


def try_cli() -> int:
    try:
        cli_main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_undelivered_says_no_more_than_it_is_told() -> None:
    class Broken:
        name = "broken"

        def send(self, notice: Notice) -> None:
            raise ValueError("https://hooks.example.com/T0PSECRET")

    assert deliver(Broken(), Notice("t", []), no_wait) == "not sent (ValueError)"
    assert str(Undelivered("answered 500")) == "answered 500"


def test_the_rules_ask_only_what_is_published(paths: Paths) -> None:
    asked = [rule["sql"] for rule in alerts.read_rules(paths).rules.values() if "sql" in rule]
    assert len(asked) >= 5
    assert all(any(f"from {schema}." in sql for schema in publication.SCHEMAS) for sql in asked)


def test_sensors_tell_of_unattended_runs_and_of_time_without_any(
    shop: Shop, paths: Paths, hook: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.error = RuntimeError("the shop is closed")
    failing = {sensor.name: sensor for sensor in build_sensors(paths)}["alert_on_failure"]
    monkeypatch.setattr(alerts, "after_run", lambda *_: "")
    run_id = runner.execute(paths, "daily_run").run_id
    monkeypatch.undo()
    monkeypatch.setenv(receivers.WEBHOOK, hook.address)
    with runs.open_instance(paths) as instance:
        attended = instance.get_run_by_id(run_id)
        assert attended is not None
        event = next(
            entry.dagster_event
            for entry in instance.all_logs(run_id)
            if entry.dagster_event and entry.dagster_event.event_type_value == "PIPELINE_FAILURE"
        )
        for run in (attended, attended.with_tags({})):
            context = build_run_status_sensor_context("alert_on_failure", event, instance, run)
            failing(context)
    assert [headings(body) for body in hook.bodies] == [["Run failed"]]
    late = {sensor.name: sensor for sensor in build_sensors(paths)}["alert_when_late"]
    skipped = late(build_sensor_context())
    assert skipped.skip_message == "Nothing is new."
