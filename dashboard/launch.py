"""How the dashboard is started: its own process, bound to 127.0.0.1, with nothing sent anywhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ingestion.settings import PROJECT_ROOT

FOLDER = Path(__file__).resolve().parent


def command(port: int) -> list[str]:
    """The command line that serves the dashboard on 127.0.0.1."""
    return [
        sys.executable, "-m", "streamlit", "run", str(FOLDER / "app.py"),
        "--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true",
        "--browser.serverAddress", "127.0.0.1", "--browser.gatherUsageStats", "false",
    ]  # fmt: skip


def environment(data_dir: Path) -> dict[str, str]:
    """The environment for it: which data folder, and where the project's modules are."""
    path = os.pathsep.join(filter(None, (str(PROJECT_ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "FUNNELHOUSE_DATA_DIR": str(data_dir), "PYTHONPATH": path}
