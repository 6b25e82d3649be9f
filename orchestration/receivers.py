"""Who gets alerts, and how a message reaches them: Slack, Teams, any JSON webhook, e-mail.

Addresses and passwords come from the environment (or `.env`) only, because an incoming webhook's address is
its password. What fails is tried again a set number of times, within a set time; errors name the receiver and
the status, never the address.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import requests

from ingestion.settings import environment_value
from orchestration.errors import Problem

SLACK = "FUNNELHOUSE_ALERT_SLACK"
TEAMS = "FUNNELHOUSE_ALERT_TEAMS"
WEBHOOK = "FUNNELHOUSE_ALERT_WEBHOOK"
EMAIL_TO = "FUNNELHOUSE_ALERT_EMAIL"
EMAIL_FROM = "FUNNELHOUSE_ALERT_EMAIL_FROM"
SMTP = "FUNNELHOUSE_SMTP"
SECRETS = (SLACK, TEAMS, WEBHOOK, SMTP)

TRIES = 3
TIMEOUT = 5.0  # seconds to connect, and to be answered
LONGEST_WAIT = 10.0  # between two tries, whatever a receiver asks for
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Undelivered(Exception):
    """A receiver did not take a message; `again` says whether another try may help, `wait` when."""

    def __init__(self, what: str, again: bool = False, wait: float | None = None) -> None:
        self.again, self.wait = again, wait
        super().__init__(what)


@dataclass(frozen=True)
class Notice:
    """One message: a title, and under each heading its lines. Plain text without markup."""

    title: str
    sections: Sequence[tuple[str, Sequence[str]]]

    def text(self) -> str:
        parts = [self.title]
        for heading, lines in self.sections:
            parts.append("\n".join([f"{heading}:", *(f"- {line}" for line in lines)]))
        return "\n\n".join(parts)


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str: ...

    def send(self, notice: Notice) -> None:
        """Hand a message over.

        Raises:
            Undelivered: it was not taken.
        """
        ...


@dataclass(frozen=True)
class Webhook:
    """A webhook that takes JSON by POST; `body` makes it of a message."""

    name: str
    address: str = field(repr=False)
    body: Callable[[Notice], dict[str, Any]]

    def send(self, notice: Notice) -> None:
        try:  # a redirection would hand the message to another host
            answer = requests.post(
                self.address, json=self.body(notice), timeout=TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Undelivered(f"not reached ({type(error).__name__})", again=True) from None
        if 200 <= answer.status_code < 300:
            return
        busy = answer.status_code == 429 or answer.status_code >= 500
        asked = answer.headers.get("Retry-After", "")
        raise Undelivered(f"answered {answer.status_code}", busy, float(asked) if asked.isdigit() else None)


@dataclass(frozen=True)
class Mail:
    """Addresses that get e-mail through an SMTP server, `smtp://user:password@host:port` or `smtps://…`."""

    name: str
    server: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]

    def send(self, notice: Notice) -> None:
        message = EmailMessage()
        message["Subject"] = notice.title
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # no answers from absence notices
        message.set_content(notice.text())
        try:
            self._hand_over(message)
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"the server answered {error.smtp_code}", again=error.smtp_code < 500) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise Undelivered(
                f"no recipient was taken ({', '.join(map(str, codes))})",
                again=all(code < 500 for code in codes),
            ) from None
        except ssl.SSLError as error:
            raise Undelivered(f"no safe connection ({error.reason})") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"not reached ({type(error).__name__})", again=True) from None

    def _hand_over(self, message: EmailMessage) -> None:
        parts = urlsplit(self.server)
        host, secure = parts.hostname or "", parts.scheme == "smtps"
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT, context=context)
            if secure
            else smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT)
        )
        with server:
            server.ehlo()
            if not secure and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                secure = True
            if parts.username:
                if not secure and host not in LOOPBACK:
                    raise Undelivered("the server offers no encryption, so the password was not sent")
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)


def slack_body(notice: Notice) -> dict[str, Any]:
    """Slack's incoming webhook: text, in which &, < and > stand for links and mentions unless escaped."""
    text = notice.text().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def teams_body(notice: Notice) -> dict[str, Any]:
    """A Teams workflow's webhook: an adaptive card."""
    blocks: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": notice.title, "weight": "Bolder", "size": "Medium", "wrap": True}
    ]
    for heading, lines in notice.sections:
        blocks.append({"type": "TextBlock", "text": heading, "weight": "Bolder", "wrap": True})
        blocks += [{"type": "TextBlock", "text": line, "wrap": True, "spacing": "Small"} for line in lines]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def json_body(notice: Notice) -> dict[str, Any]:
    """Any other webhook: the text, and the same in its parts."""
    return {
        "text": notice.text(),
        "title": notice.title,
        "sections": [{"heading": heading, "lines": list(lines)} for heading, lines in notice.sections],
    }


def receivers() -> list[Receiver]:
    """Everybody whom the environment names.

    Raises:
        Problem: an address cannot be used. The text names the variable, not its value.
    """
    found: list[Receiver] = []
    for name, variable, body in (
        ("Slack", SLACK, slack_body),
        ("Teams", TEAMS, teams_body),
        ("webhook", WEBHOOK, json_body),
    ):
        address = environment_value(variable)
        if address:
            parts = urlsplit(address)
            local = parts.scheme == "http" and parts.hostname in LOOPBACK
            if not parts.hostname or not (parts.scheme == "https" or local):
                raise Problem(f"{variable} is no https:// address. Copy the incoming webhook's whole URL.")
            found.append(Webhook(name, address, body))
    recipients = tuple(
        address for text in (environment_value(EMAIL_TO) or "").split(",") if (address := text.strip())
    )
    if recipients:
        found.append(_mail(recipients))
    return found


def _mail(recipients: tuple[str, ...]) -> Mail:
    server = environment_value(SMTP) or ""
    parts = urlsplit(server)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise Problem(f"{EMAIL_TO} needs {SMTP}, such as smtp://user:password@mail.example.com:587.")
    sender = environment_value(EMAIL_FROM) or unquote(parts.username or "")
    for address in (*recipients, sender):
        if "@" not in parseaddr(address)[1] or any(character in address for character in "\r\n"):
            what = EMAIL_TO if address in recipients else EMAIL_FROM
            raise Problem(f"{what} holds something that is no e-mail address.")
    return Mail("e-mail", server, sender, recipients)


def deliver(receiver: Receiver, notice: Notice, wait: Callable[[float], None] = time.sleep) -> str | None:
    """Send a message, with a bounded number of tries; gives None, or why it was not delivered."""
    for attempt in range(1, TRIES + 1):
        try:
            receiver.send(notice)
            return None
        except Undelivered as error:
            if not error.again or attempt == TRIES:
                return f"{error}" + (f", {attempt} times" if attempt > 1 else "")
            pause = error.wait if error.wait is not None else float(attempt)
        except Exception as error:  # whatever a library raises: an alert must not become the trouble
            return f"not sent ({type(error).__name__})"
        wait(min(pause, LONGEST_WAIT))
    return None
