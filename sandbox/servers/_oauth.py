"""OAuth 2 token exchange as the servers that need it speak it: by refresh token, or by the app itself."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from sandbox.servers._answers import answer

CLIENT_ID = "sandbox-client-id"
CLIENT_SECRET = "sandbox-client-secret"
REFRESH_TOKEN = "1//sandbox-refresh-token"
LIFETIME_SECONDS = 3599


class Tokens:
    """The access tokens that were given out for one scope, for one type of grant."""

    def __init__(self, scope: str, grant: str = "refresh_token") -> None:
        self.scope = scope
        self.grant = grant
        self._given: set[str] = set()

    def valid(self, token: str | None) -> bool:
        """Tell whether an access token was given out here."""
        return token in self._given

    async def exchange(self, request: Request) -> Response:
        """Answer `POST .../oauth2/token` (form encoded) with an access token or the error of RFC 6749."""
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        if form.get("grant_type") != self.grant:
            wrong = form.get("grant_type", "")
            return _error(400, "unsupported_grant_type", f"Invalid grant_type: {wrong}")
        if form.get("client_id") != CLIENT_ID:
            return _error(401, "invalid_client", "The OAuth client was not found.")
        if form.get("client_secret") != CLIENT_SECRET:
            return _error(401, "invalid_client", "Unauthorized")
        if self.grant == "refresh_token" and form.get("refresh_token") != REFRESH_TOKEN:
            return _error(400, "invalid_grant", "Bad Request")
        token = "ya29." + secrets.token_urlsafe(24)
        self._given.add(token)
        body = {
            "access_token": token,
            "expires_in": LIFETIME_SECONDS,
            "scope": self.scope,
            "token_type": "Bearer",
        }
        return answer(body, headers={"Cache-Control": "no-store"})


def _error(status: int, code: str, description: str) -> Response:
    return answer({"error": code, "error_description": description}, status)
