"""A PostgreSQL server of the tests' own: a cluster in a temporary folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "a pass/word@home"


def binaries() -> Path:
    """The folder with initdb and pg_ctl: on the PATH, or where Debian and Red Hat put them.

    Raises:
        LookupError: there is no server on this machine.
    """
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        places += sorted(Path("/usr").glob(pattern), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    raise LookupError("No PostgreSQL server is installed (Debian: apt-get install postgresql).")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root: then it runs as the least of the machine's users."""
    if os.geteuid() != 0:
        return {}
    return {
        "user": next(name for name in ("postgres", "nobody") if name in {u.pw_name for u in pwd.getpwall()})
    }


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an empty database whose owner may make roles and is no superuser."""
    bin_dir, port, user = binaries(), free_port(), as_nobody()
    with tempfile.TemporaryDirectory(prefix="funnelhouse-postgres-") as folder:
        home = Path(folder)
        if user:
            shutil.chown(home, user["user"])  # type: ignore[call-overload]
        data, secret = home / "data", home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)

        def run(*command: str) -> None:
            subprocess.run(
                command,
                check=True,
                cwd=home,
                stdout=subprocess.DEVNULL,
                timeout=120,
                **user,  # type: ignore[call-overload]
            )

        run(
            *(str(bin_dir / "initdb"), "-D", str(data), "-U", "boss", f"--pwfile={secret}"),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"),
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run(
            *(str(bin_dir / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"), "-o", options, "start")
        )
        try:
            import psycopg

            with psycopg.connect(
                host="127.0.0.1",
                port=port,
                user="boss",
                password=PASSWORD,
                dbname="postgres",
                autocommit=True,
            ) as boss:
                boss.execute(f"create role publisher login createrole password '{PASSWORD}'")
                boss.execute("create database marts owner publisher")
            yield f"postgresql://publisher:a%20pass%2Fword%40home@127.0.0.1:{port}/marts"
        finally:
            run(str(bin_dir / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
