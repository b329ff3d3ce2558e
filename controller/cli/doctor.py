"""``hugginggpt doctor``: what will not work here, and what to do."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from controller.cli.output import Config, Json, console, print_json
from controller.doctor.finding import Finding, State, fail
from controller.errors import SettingsError
from controller.settings import Settings, load

_MARKS = {State.OK: ("✓", "green"), State.WARN: ("!", "yellow"), State.FAIL: ("✗", "red")}


def doctor(config: Config = None, as_json: Json = False) -> None:
    """Look at GPU, memory, disk, ports, tokens and versions; say what will not work and what to do."""
    from controller.doctor.examination import CHECKS, examine, failing
    from controller.doctor.machine import Machine

    settings, broken = _settings(config)
    findings = [*broken, *examine(Machine(), settings, CHECKS)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        show(findings, console())
    if failing(findings):
        raise typer.Exit(1)


def show(findings: Sequence[Finding], out: Console) -> None:
    """Print a report: its lines, and a count at the end."""
    show_lines(findings, out)
    count = {state: sum(finding.state is state for finding in findings) for state in State}
    if count[State.FAIL]:
        told = f"{count[State.FAIL]} must be mended, {count[State.WARN]} are worth a look."
    elif count[State.WARN]:
        told = f"Nothing must be mended; {count[State.WARN]} are worth a look."
    else:
        told = "All is well."
    out.print(told)


def show_lines(findings: Sequence[Finding], out: Console) -> None:
    """Print a line for each finding, with what to do under it."""
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        line = Text.assemble(_MARKS[finding.state], f" {finding.check:<{width}}  {finding.found}")
        out.print(line, soft_wrap=True)
        if finding.todo:
            out.print(Text(f"{'':<{width + 4}}→ {finding.todo}", style="dim"), soft_wrap=True)


def _settings(config: Path | None) -> tuple[Settings, list[Finding]]:
    """The settings; where they cannot be read, the usual ones and a line that says so."""
    try:
        return load(config), []
    except SettingsError as error:
        told = error.message.rstrip(".")
        return Settings.model_construct(), [
            fail("settings", told, "Mend them; all else is of the usual ones.")
        ]
