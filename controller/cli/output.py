"""What the commands share: consoles and options."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

Config = Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str | None, typer.Option("--url", help="The server to use.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, emoji=False)


def notes() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """JSON on standard output, unwrapped."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
