"""``hugginggpt ps``, ``wake``, ``stop``, ``pin``, ``unpin``: which experts are awake, and who is to be."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from controller.cli.output import Json, Url, console, notes, print_json
from controller.cli.view import literal
from controller.errors import ControllerError
from controller.sizes import size

if TYPE_CHECKING:
    from controller.cli.client import Client

Models = Annotated[list[str], typer.Argument(help="Ids of models; ps shows them.", show_default=False)]


def ps(url: Url = None, as_json: Json = False) -> None:
    """Show the experts: which are awake, where, with what share of a GPU, and when they sleep."""
    with connected(url) as client:
        experts = client.experts()
    if as_json:
        print_json(experts)
    else:
        console().print(table(experts, time.time()))


def wake(models: Models, url: Url = None, as_json: Json = False) -> None:
    """Wake experts that sleep, so that their first call does not wait."""
    _act(models, "wake", url, as_json)


def stop(models: Models, url: Url = None, as_json: Json = False) -> None:
    """Put experts to sleep; what they have begun is finished, and their next call wakes them."""
    _act(models, "sleep", url, as_json)


def pin(models: Models, url: Url = None, as_json: Json = False) -> None:
    """Keep experts awake: they do not sleep when idle, and give way to no other."""
    _act(models, "pin", url, as_json)


def unpin(models: Models, url: Url = None, as_json: Json = False) -> None:
    """Let experts sleep again when they are idle, or another needs their GPU."""
    _act(models, "unpin", url, as_json)


def connected(url: str | None) -> "Client":
    """A client of the server at ``url``, or of the one that runs here.

    Raises:
        ControllerError: there is none.

    """
    from controller.cli.client import Client
    from controller.server import running

    found = running()
    address = url or (found.url if found else None)
    if address is None:
        raise ControllerError("No server runs; start one with hugginggpt up, or name one with --url.")
    return Client(address)


def _act(models: Sequence[str], action: str, url: str | None, as_json: bool) -> None:
    """Do the same for each model; one that cannot be does not keep the others from it."""
    done, failed = [], []
    with connected(url) as client:
        for model in models:
            try:
                done.append(client.act(model, action))
            except ControllerError as error:
                failed.append(error)
                notes().print(f"hugginggpt: {error.message}", style="red", markup=False, soft_wrap=True)
    if as_json:
        print_json(done)
    else:
        for expert in done:
            pinned = ", pinned" if expert["pinned"] else ""
            console().print(f"{expert['model']}: {expert['state']}{pinned}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(2 if done else 1)


def table(experts: Sequence[dict[str, Any]], now: float) -> Table:
    """What ``ps`` shows.

    Args:
        experts: the rows of ``GET /v1/experts``.
        now: seconds since the epoch.

    """
    heads = ("model", "tasks", "state", "where", "GPU", "memory", "calls", "used", "sleeps")
    shown = Table(*heads, box=None, pad_edge=False)
    for expert in sorted(experts, key=_order):
        shown.add_row(*(literal(str(cell)) for cell in _row(expert, now)))
    return shown


def _order(expert: dict[str, Any]) -> tuple[bool, float, str]:
    """Those that are awake first, the latest used first."""
    return (expert["state"] == "asleep", -(expert["used"] or 0.0), expert["model"])


def _row(expert: dict[str, Any], now: float) -> tuple[object, ...]:
    replicas = f" ×{expert['replicas']}" if expert["replicas"] > 1 else ""
    where = "elsewhere" if expert["elsewhere"] else ", ".join(dict.fromkeys(expert["nodes"])) or "–"
    calls = "–" if expert["calls"] is None else expert["calls"]
    return (
        expert["model"],
        ", ".join(expert["tasks"]),
        f"{expert['state']}{replicas}",
        where,
        f"{expert['gpu']:g}" if expert["gpu"] else "–",
        size(expert["memory_bytes"]) if expert["memory_bytes"] else "–",
        calls,
        _ago(expert["used"], now),
        _sleeps(expert, now),
    )


def _ago(used: float | None, now: float) -> str:
    return "–" if used is None else f"{_span(now - used)} ago"


def _sleeps(expert: dict[str, Any], now: float) -> str:
    if expert["state"] == "asleep":
        return f"wakes in {expert['wake_s']:.0f} s" if expert["wake_s"] else "–"
    if expert["pinned"] or not expert["sleeper"]:
        return "never"
    return f"in {_span(expert['sleeps'] - now)}" if expert["sleeps"] else "when idle"


def _span(seconds: float) -> str:
    """A time in the largest unit that it has two of, or nearly."""
    whole = max(0, round(seconds))
    for unit, count in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= 2 * count:
            return f"{whole // count} {unit}"
    return f"{whole} s"
