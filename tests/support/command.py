"""The installed command, as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def command_line(
    *words: str, folder: Path, stdin: str = "", seconds: float = 200, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``hugginggpt`` in a folder, with state and data of its own there."""
    return subprocess.run(
        [sys.executable, "-c", "from controller.cli import main; main()", *words],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=seconds,
        check=False,
        cwd=folder,
        env=environment(folder) | dict(more or {}),
    )


def environment(folder: Path) -> dict[str, str]:
    """The environment of a user whose state and data live in ``folder``."""
    own = {
        "XDG_STATE_HOME": str(folder / "state"),
        "HUGGINGGPT_DATA_DIR": str(folder / "data"),
        "COLUMNS": "200",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")} | own
