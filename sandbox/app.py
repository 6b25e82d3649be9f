"""The sandbox as one web application on the loopback address, and the ways to start it.

One mount per vendor (`/<vendor>/...`, then the vendor's own paths) and the sandbox's own controls:

- `GET|POST /_sandbox/clock` the company's present moment, `{"as_of": "2026-07-01T03:00:00Z"}`;
- `GET|POST|DELETE /_sandbox/faults` the rules of `faults.py`, `{"rules": [{"path": ..., "kind": ...}]}`;
- `GET|DELETE /_sandbox/requests` the log of requests.

`running` starts it in a thread (tests), `launched` in a process of its own (the command line, so that the
second core renders while the first one loads), `serve` in the present process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from sandbox.faults import Fault, FaultBook, FaultLayer
from sandbox.servers import vendors
from sandbox.servers._answers import Refused, answer, json_body
from sandbox.world import CompanyLike, World, parse_instant

HOST = "127.0.0.1"
DEFAULT_AS_OF = "2026-07-01T03:00:00Z"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
Rules = Iterable[Fault | Mapping[str, Any]]


def create_app(
    company: CompanyLike,
    as_of: str | datetime = DEFAULT_AS_OF,
    faults: Rules | None = None,
    drop: Path | None = None,
) -> Starlette:
    """Return the application for a company as of a moment, with faults in force from the start.

    With `drop`, what no vendor carries is written into that folder at once and after every move of the clock.
    """
    world = World(company, as_of)
    _write_drop(world, drop)
    book = FaultBook(faults or ())
    modules = vendors()

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            try:
                world.as_of = parse_instant((await json_body(request))["as_of"])
            except (ValueError, KeyError, TypeError) as error:
                return answer({"error": f"as_of must be an ISO date or time: {error}"}, 400)
            _write_drop(world, drop)
        return answer({"as_of": world.as_of.isoformat().replace("+00:00", "Z")})

    async def rules(request: Request) -> Response:
        if request.method == "DELETE":
            book.clear()
        if request.method == "POST":
            try:
                sent = await json_body(request)
                book.add(sent["rules"] if isinstance(sent, dict) else sent)
            except (ValueError, KeyError, TypeError) as error:
                return answer({"error": f"not understood: {error}"}, 400)
        return answer({"rules": book.describe()})

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            book.forget_requests()
        return answer({"requests": [asdict(entry) for entry in list(book.requests)]})

    routes: list[BaseRoute] = [
        Route("/_sandbox/clock", clock, methods=["GET", "POST"]),
        Route("/_sandbox/faults", rules, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/requests", requests, methods=["GET", "DELETE"]),
    ]
    for name, module in modules.items():
        unknown = _unknown_path(module.refusal)
        routes.append(
            Mount(f"/{name}", routes=[*module.routes(world), Route("/{path:path}", unknown, methods=METHODS)])
        )

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return error.response

    app = Starlette(
        routes=routes,
        middleware=[Middleware(FaultLayer, book=book, vendors=modules)],
        exception_handlers={Refused: refused},
    )
    app.state.world = world
    app.state.faults = book
    return app


def _write_drop(world: World, folder: Path | None) -> None:
    if folder is not None:
        from sandbox.company import Company, drop

        # Only a whole company can be written as files; the servers need no more than its tables.
        drop.write(cast(Company, world.company), folder, world.as_of)


def _unknown_path(refusal: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        response: Response = refusal("not_found", {"path": request.url.path})
        return response

    return endpoint


def _server(app: Starlette, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        host=HOST,
        port=port,
        log_level="critical",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=300,  # a client that works on its pages in between keeps its connection
    )
    return uvicorn.Server(config)


@contextlib.contextmanager
def running(
    company: CompanyLike,
    as_of: str | datetime = DEFAULT_AS_OF,
    port: int = 0,
    faults: Rules | None = None,
    drop: Path | None = None,
) -> Iterator[str]:
    """Run the servers in a thread of this process and yield their base URL; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    server = _server(create_app(company, as_of, faults, drop), port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.01)
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def serve(
    port: int,
    scale: str = "small",
    seed: int = 7,
    as_of: str | datetime = DEFAULT_AS_OF,
    drop: Path | None = None,
) -> None:
    """Generate the company and serve it in this process until interrupted, rendering ahead meanwhile."""
    from sandbox.company import generate

    app = create_app(generate(scale, seed), as_of, drop=drop)
    threading.Thread(target=_warm, args=(app.state.world,), daemon=True).start()
    _server(app, port).run()


def _warm(world: World) -> None:
    for module in vendors().values():
        if hasattr(module, "warm"):
            module.warm(world)


def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended, however that came about."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


@contextlib.contextmanager
def launched(
    scale: str = "small",
    seed: int = 7,
    as_of: str | datetime = DEFAULT_AS_OF,
    port: int = 0,
    drop: Path | None = None,
    timeout: float = 120,
) -> Iterator[str]:
    """Run `serve` in a process of its own and yield its base URL once it answers; it ends with the block."""
    chosen = port or free_port()
    base = f"http://{HOST}:{chosen}"
    command = [
        sys.executable,
        "-m",
        "sandbox.app",
        "--port",
        str(chosen),
        "--scale",
        scale,
        "--seed",
        str(seed),
    ]
    command += ["--as-of", parse_instant(as_of).isoformat(), "--parent", str(os.getpid())]
    if drop is not None:
        command += ["--drop", str(drop)]
    process = subprocess.Popen(command)
    try:
        wait_until_ready(base, timeout, process)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until_ready(base_url: str, timeout: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return when the clock answers. Raises RuntimeError when the process ends, TimeoutError when time is
    up."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the sandbox ended at once (exit code {process.returncode})")
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{base_url}/_sandbox/clock", timeout=5),
        ):
            return
        time.sleep(0.05)
    raise TimeoutError(f"the sandbox did not answer within {timeout:.0f} s")


def main() -> None:
    """Command line of the process that `launched` starts."""
    parser = argparse.ArgumentParser(description="Serve the simulated company's APIs on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--as-of", default=DEFAULT_AS_OF)
    parser.add_argument("--drop", type=Path, help="folder for the files of what no vendor carries")
    parser.add_argument("--parent", type=int, help="process with which this one ends")
    options = parser.parse_args()
    if options.parent is not None:
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    serve(options.port, options.scale, options.seed, options.as_of, options.drop)


if __name__ == "__main__":
    main()
