"""Receivers of alerts on 127.0.0.1: an HTTP server that keeps what is posted, and a mail server."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Posted:
    """What was posted; `answers` are the statuses to come (then 200)."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.address = ""


@contextmanager
def http_receiver() -> Iterator[Posted]:
    posted = Posted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = posted.answers.pop(0) if posted.answers else 200
            if status == 200:
                posted.bodies.append(body)
            self.send_response(status)
            for name, value in posted.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        posted.address = f"http://127.0.0.1:{server.server_address[1]}/hooks/T0PSECRET"
        yield posted
        server.shutdown()


class Mailed:
    """Messages that the mail server took; `refusals` are answers to RCPT to come."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.recipients: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.refusals: list[str] = []
        self.address = ""


@contextmanager
def mail_receiver() -> Iterator[Mailed]:
    mailed = Mailed()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-here")
                    self.say("250 AUTH PLAIN")
                elif verb == "AUTH":
                    _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                    mailed.logins.append((user, password))
                    self.say("235 welcome")
                elif verb == "RCPT":
                    if mailed.refusals:
                        self.say(mailed.refusals.pop(0))
                        continue
                    mailed.recipients.append(line.partition("<")[2].partition(">")[0])
                    self.say("250 fine")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().rstrip(b"\r\n")) != b".":
                        lines.append(text.removeprefix(b"."))
                    mailed.messages.append(message_from_bytes(b"\n".join(lines), policy=policy.default))
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 fine")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mailed.address = f"smtp://robot%40example.com:pa55word@127.0.0.1:{server.server_address[1]}"
        yield mailed
        server.shutdown()
