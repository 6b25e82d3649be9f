"""The command line `funnelhouse`. What is heavy is imported inside the commands, so that `--help` answers at
once.

Every expected failure ends as one line on standard error and exit code 1; usage errors end with 2.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingestion.errors import FunnelhouseError
from ingestion.settings import Paths

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.runner import RunOutcome

app = typer.Typer(
    name="funnelhouse",
    help="A funnel warehouse: from the first click to the renewal, with spend, consent and currency right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
quarantine_app = typer.Typer(no_args_is_help=True, help="Records that were refused.")
sandbox_app = typer.Typer(no_args_is_help=True, help="The simulated company and its API servers.")
alerts_app = typer.Typer(no_args_is_help=True, help="Who is told when something is wrong.")
app.add_typer(alerts_app, name="alerts")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(sandbox_app, name="sandbox")

Systems = Annotated[
    str | None,
    typer.Option("--systems", help="Only these systems, comma-separated. Recorded in the data folder."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Dagster's own log.")]
Scale = Annotated[str, typer.Option(help="small, medium or large.")]
SCALES = ("small", "medium", "large")


def main() -> None:
    """Entry point: expected failures become one line, not a traceback."""
    try:
        app()
    except FunnelhouseError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("Interrupted. Run again: a run that was broken off starts clean.", 130)


def fail(message: str, code: int = 1) -> None:
    """Print one error line and leave."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def _paths() -> Paths:
    return Paths.from_environment()


@app.command()
def run(
    systems: Systems = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="The manifest of the file drop (system `files`). Recorded in the data folder."),
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every model from raw.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Load every connected system, check, build, audit, publish."""
    from orchestration import configure
    from orchestration.resources import locked

    paths = _paths().create()
    with locked(paths):
        configure.record(paths, _names("--systems", systems), manifest.resolve() if manifest else None)
        _run_and_tell(paths, full_refresh=full_refresh, verbose=verbose)


@app.command()
def demo(
    scale: Scale = "medium",
    seed: Annotated[int, typer.Option(help="The company is a function of scale and seed.")] = 7,
    verbose: Verbose = False,
) -> None:
    """The whole flow on the simulated company: sandbox up, run, summary, sandbox down."""
    from orchestration import demo as demonstration
    from orchestration.console import make_console
    from orchestration.resources import locked

    _check_scale(scale)
    paths = _paths().create()
    with locked(paths):
        demonstration.claim(paths, scale, seed)
        console = make_console()
        with demonstration.company(paths, scale, seed, console):
            _run_and_tell(paths, verbose=verbose, console=console)


@app.command()
def backfill(
    system: Annotated[str, typer.Option(help="The system to read again.")],
    date_from: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    date_to: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD, inclusive.")],
    verbose: Verbose = False,
) -> None:
    """Read past days of a system's time-sliced tables again, then build and publish; no cursor moves."""
    from ingestion.registry import system as registered
    from ingestion.settings import connections
    from orchestration.backfills import job_name, op_name
    from orchestration.errors import Problem
    from orchestration.resources import locked
    from orchestration.schedules import BUILD_AND_PUBLISH

    first, last = _day(date_from), _day(date_to)
    if first > last:
        raise Problem(f"--from {first} lies after --to {last}.")
    paths = _paths().create()
    connections(paths, [system])
    if not registered(system).sliced_tables:
        raise Problem(
            f"{system} has no time-sliced tables, so there is nothing to backfill: "
            "its records are merged by key."
        )
    if not paths.warehouse.is_file():
        raise Problem(f"Nothing has been loaded into {paths.data_dir} yet: `funnelhouse run` comes first.")
    with locked(paths):
        config = {op_name(system): {"config": {"date_from": first.isoformat(), "date_to": last.isoformat()}}}
        _execute(paths, job_name(system), f"Backfill of {system}, {first} to {last}", verbose, ops=config)
        _run_and_tell(paths, job=BUILD_AND_PUBLISH, verbose=verbose)


@app.command()
def publish() -> None:
    """Publish the last build again, if all its checks passed."""
    from ingestion.warehouse import connect
    from orchestration import outlets, publication, transform
    from orchestration.errors import Problem
    from orchestration.resources import locked

    paths = _paths().create()
    with locked(paths):
        if not paths.warehouse.is_file():
            raise Problem("There is nothing to publish: no mart has been built yet. Run `funnelhouse run`.")
        connection = connect(paths)
        try:
            done = publication.publish(
                connection,
                paths.published,
                outlets.configured(paths),
                descriptions=transform.descriptions(paths),
            )
        finally:
            connection.close()
    typer.echo(f"Published {len(done.rows)} tables, {done.bytes / 1e6:.1f} MB: {done.path}")


@app.command()
def docs() -> None:
    """Write what every table and column means as one web page."""
    from orchestration import transform
    from orchestration.resources import locked

    paths = _paths().create()
    with locked(paths):
        typer.echo(f"Written: {transform.write_docs(paths)}")


@app.command()
def status() -> None:
    """What was published and when, what is loaded, what the last runs did."""
    from orchestration import summary
    from orchestration.console import make_console

    summary.print_status(make_console(), _paths().create())


@app.command()
def doctor() -> None:
    """Check settings, credentials and reachability of every connected system, and say what to mend."""
    from orchestration import doctor as examination
    from orchestration.console import make_console

    if not examination.examine(_paths(), make_console()):
        fail("Something needs mending: see the table above.")


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port of the UI on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI on this data folder."""
    from orchestration import demo as demonstration
    from orchestration import runs
    from orchestration.console import make_console

    paths = _paths().create()
    runs.quiet_environment(paths)
    runs.install_instance(paths)
    with demonstration.company_of(paths, make_console()):
        raise typer.Exit(demonstration.serve_ui(port))


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="Port of the dashboard on 127.0.0.1.")] = 8501,
) -> None:
    """Open the dashboard on what this data folder has published; it reads nothing else."""
    import subprocess

    from dashboard import launch, sandbox_truth

    paths = _paths()
    if not paths.published.is_file():
        typer.echo(
            f"Nothing is published in {paths.data_dir} yet: `make demo` or `funnelhouse run` fills it."
        )
    sandbox_truth.prepare(paths)
    typer.echo(f"The dashboard answers on http://127.0.0.1:{port} (Ctrl-C stops it).")
    try:
        done = subprocess.run(
            launch.command(port), cwd=launch.FOLDER, env=launch.environment(paths.data_dir), check=False
        )
    except KeyboardInterrupt:
        return
    raise typer.Exit(done.returncode)


@app.command()
def validate() -> None:
    """Load all definitions on a throw-away data folder, as `dagster definitions validate` does."""
    import tempfile

    from orchestration import runs

    with tempfile.TemporaryDirectory(prefix="funnelhouse-validate-") as folder:
        paths = Paths(Path(folder)).create()
        runs.quiet_environment(paths)
        runs.install_instance(paths)
        from dagster import Definitions

        from orchestration.definitions import build_defs

        Definitions.validate_loadable(build_defs(paths))
    typer.echo("Dagster definitions are valid.")


@quarantine_app.command("list")
def quarantine_list(
    system: Annotated[str | None, typer.Option(help="Only this system.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many records.")] = 50,
) -> None:
    """The refused records, newest first, with the reasons."""
    from orchestration import summary
    from orchestration.console import make_console

    summary.print_quarantine(make_console(), _paths().create(), system, limit)


@quarantine_app.command("replay")
def quarantine_replay(
    system: Annotated[str | None, typer.Option(help="Only this system.")] = None,
) -> None:
    """Try the refused records again, after a fix; `funnelhouse run` then brings them into the marts."""
    from ingestion.quarantine import replay
    from ingestion.settings import connections
    from orchestration.resources import locked

    paths = _paths().create()
    chosen = connections(paths, [system] if system else None)
    with locked(paths):
        for done in replay(paths, chosen):
            again = f"; read whole by the next run: {', '.join(done.read_again)}" if done.read_again else ""
            label = f"{done.system} ({done.connection})"
            typer.echo(f"{label}: {done.loaded} loaded, {done.still_refused} refused again{again}")


@alerts_app.command("test")
def alerts_test() -> None:
    """Send a test message to every receiver that the environment names."""
    from orchestration import alerts

    failed = 0
    for name, failure in alerts.try_out(_paths().create()).items():
        typer.echo(f"{name}: {failure or 'told'}")
        failed += failure is not None
    if failed:
        fail("Not everybody was told: see above.")


@sandbox_app.command("serve")
def sandbox_serve(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8790,
    scale: Scale = "small",
    seed: int = 7,
    as_of: Annotated[str, typer.Option(help="The company's present moment.")] = "2026-07-01T03:00:00Z",
    drop: Annotated[Path | None, typer.Option(help="Also write the file drop into this folder.")] = None,
) -> None:
    """Serve the simulated company's APIs on 127.0.0.1 until interrupted; prints the settings that point
    there.
    """
    from orchestration import demo as demonstration

    _check_scale(scale)
    demonstration.serve(port, scale, seed, as_of, drop)


@sandbox_app.command("truth")
def sandbox_truth(
    scale: Scale = "small",
    seed: int = 7,
) -> None:
    """The true incremental conversions of each channel: the answer key for judging attribution models."""
    from orchestration import demo as demonstration
    from orchestration.console import make_console

    _check_scale(scale)
    demonstration.print_truth(make_console(), scale, seed)


@sandbox_app.command("compare")
def sandbox_compare(
    seeds: Annotated[str, typer.Option(help="Companies to generate, comma-separated.")] = "1,2,3,4,5",
    scale: Scale = "small",
    write: Annotated[
        Path | None, typer.Option(help="Write the tables between the markers of this page.")
    ] = None,
) -> None:
    """Judge every attribution model by the truth: generate, build and compare, once a seed."""
    from orchestration import comparison
    from orchestration.console import make_console

    _check_scale(scale)
    chosen = _names("--seeds", seeds) or []
    if not all(seed.isdigit() for seed in chosen):
        raise FunnelhouseError(f"--seeds takes whole numbers such as 1,2,3, not {seeds!r}.")
    console = make_console()
    numbers = [int(seed) for seed in chosen]
    content = comparison.report(scale, numbers, comparison.compare(scale, numbers, console.print))
    if write is None:
        typer.echo(content)
    else:
        comparison.write(write, scale, content)
        typer.echo(f"Written: {write}")


def _names(option: str, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise FunnelhouseError(f"{option} needs at least one name.")
    return names


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise FunnelhouseError(f"{text!r} is no date such as 2026-06-30.") from None


def _check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise FunnelhouseError(f"There is no scale {scale!r}. Scales: {', '.join(SCALES)}.")


def _run_and_tell(
    paths: Paths,
    job: str | None = None,
    full_refresh: bool = False,
    verbose: bool = False,
    console: Console | None = None,
) -> None:
    """Run a job, then print the summary, or the failures and exit with 1."""
    from orchestration import summary
    from orchestration.schedules import DAILY_RUN

    tags = {"funnelhouse/full_refresh": "true"} if full_refresh else {}
    outcome = _execute(paths, job or DAILY_RUN, f"Run in {paths.data_dir}", verbose, console, tags=tags)
    from orchestration.console import make_console

    summary.print_summary(console or make_console(), paths, outcome)


def _execute(
    paths: Paths,
    job: str,
    title: str,
    verbose: bool,
    console: Console | None = None,
    *,
    tags: dict[str, str] | None = None,
    ops: Mapping[str, object] | None = None,
) -> RunOutcome:
    from orchestration import summary
    from orchestration.console import make_console, run_display

    console = console or make_console()
    with run_display(console, title), _quiet(verbose):
        from orchestration.runner import execute

        outcome = execute(paths, job, tags=tags, ops=ops, verbose=verbose)
    if outcome.alerts:
        console.print(f"Alerts: {outcome.alerts}", markup=False, soft_wrap=True)
    if not outcome.success:
        summary.print_failures(console, make_console(error=True), paths, outcome)
        sys.exit(1)
    return outcome


@contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Keep what libraries print (progress bars, notices) from the terminal; Dagster's own capture keeps it
    for the UI.
    """
    if verbose:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, sink):
            os.close(descriptor)


if __name__ == "__main__":
    main()
