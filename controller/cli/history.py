"""``hugginggpt history``: what was asked before: listed, shown, run again, forgotten."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from controller.cli.fleet import connected
from controller.cli.output import Json, Url, console, notes, print_json
from controller.cli.view import View, literal
from controller.errors import ControllerError

app = typer.Typer(name="history", help="What was asked before.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(help="The id of a run; list shows them.", show_default=False)]
Runs = Annotated[list[str], typer.Argument(help="Ids of runs; list shows them.", show_default=False)]

_MARKS = {"done": "✓", "failed": "✗", "cancelled": "–", "skipped": "–"}
_SHOWN = 60  # characters of a request, in the list


@app.command("list")
def listed(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The most runs.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the latest runs, the last one first."""
    with connected(url) as client:
        runs = client.history(limit)
    if as_json:
        print_json(runs)
    else:
        console().print(table(runs))


@app.command()
def show(run: Run, url: Url = None, as_json: Json = False) -> None:
    """Show a run: its tasks, how each ended, and the answer."""
    with connected(url) as client:
        told = client.kept(run)
    if as_json:
        print_json(told)
        return
    for line in lines(told):
        console().print(literal(line), soft_wrap=True)


@app.command()
def repeat(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="Where files are saved.")] = Path("outputs"),
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Run the same request again, such as one that was interrupted."""
    from controller.cli.ask import followed, print_told

    with connected(url) as client:
        view = View(notes())
        told = followed(client, client.repeat(run), out, (lambda event: None) if as_json else view.show)
    if as_json:
        print_json(told.account())
    else:
        print_told(told, console())


@app.command()
def forget(runs: Runs, url: Url = None) -> None:
    """Forget runs, with the files that they made."""
    failed = 0
    with connected(url) as client:
        for run in runs:
            try:
                client.forget(run)
                console().print(f"{run} is forgotten.", markup=False)
            except ControllerError as error:
                failed += 1
                notes().print(f"hugginggpt: {error.message}", style="red", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1 if failed == len(runs) else 2)


def table(runs: Sequence[dict[str, Any]]) -> Table:
    """What ``list`` shows: the rows of ``GET /v1/runs``, with times in this person's time zone."""
    shown = Table("run", "began", "state", "seconds", "request", box=None, pad_edge=False)
    for run in runs:
        words = " ".join(str(run["request"]).split())
        seconds = "–" if run["ended"] is None else f"{run['ended'] - run['created']:.1f}"
        row = (run["id"], _when(run["created"]), run["state"], seconds, words[:_SHOWN])
        shown.add_row(*(literal(str(cell)) for cell in row))
    return shown


def lines(run: dict[str, Any]) -> list[str]:
    """What ``show`` tells of a run."""
    told = [f"{run['id']}  {_when(run['created'])}  {run['state']}", "", run["request"] or "a plan", ""]
    for outcome in run["outcomes"]:
        model = f" by {outcome['choice']['model']}" if outcome["choice"] else ""
        reason = f": {outcome['error']['message']}" if outcome["error"] else ""
        files = "".join(f" {artifact['path']}" for artifact in outcome["artifacts"])
        told.append(f"{_MARKS.get(outcome['status'], ' ')} {outcome['task']}{model}{reason}{files}")
    if run["outcomes"]:
        told.append("")
    if run["answer"]:
        told += run["answer"].splitlines()
    if run["error"]:
        told.append(run["error"]["message"].replace("POST /v1/runs/ID/repeat", "hugginggpt history repeat"))
    return told


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
