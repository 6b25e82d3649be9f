"""The environment variables that point the connectors at a running sandbox instead of at the vendors."""

from __future__ import annotations

from sandbox.servers import vendors


def environment(base_url: str | int) -> dict[str, str]:
    """Return the variables for a base URL, or for a port of the loopback address."""
    base = f"http://127.0.0.1:{base_url}" if isinstance(base_url, int) else base_url.rstrip("/")
    variables: dict[str, str] = {}
    for module in vendors().values():
        variables.update(module.environment(base))
    return variables
