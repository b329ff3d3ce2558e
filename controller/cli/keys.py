"""``hugginggpt keys``: API keys, made, listed, renewed and revoked in the database of the settings.

A server that runs takes note within seconds. With the SQLite file of ``data_dir`` the commands work on the
machine that has it; with a database by URL on any.
"""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from controller.cli.output import Config, Json, console, notes, print_json
from controller.cli.view import literal
from controller.errors import RequestError
from controller.identity import Scope
from controller.locksmith import database
from controller.settings import load
from deployments.history.ring import Key, Rate

if TYPE_CHECKING:
    from sqlalchemy import Connection

app = typer.Typer(name="keys", help="Make, list, renew and revoke API keys.", no_args_is_help=True)

_SPANS = {
    "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400, "w": 604800, "week": 604800,
}  # fmt: skip
_RATE = re.compile(r"([1-9]\d{0,8})/(\w+)")
_SPAN = re.compile(r"([1-9]\d{0,5})(\w+)")

Named = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name where no other has it.")]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="What the key is called.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="What it is for: run, files, admin; with commas.", show_default="run,files"
        ),
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="How often: 60/min, 5/s, 1000/day.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="How much at once.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="After how long it ends: 30d, 12h.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    from deployments.history import keys

    scopes = _scopes(scope or ["run,files"])
    limit = _rate(rate) if rate else None
    end = time.time() + _seconds(expires) if expires else None
    if not name.strip():
        raise RequestError("The name is empty; call the key by who is to use it.")
    with database(load(config)) as connection:
        key, token = keys.create(connection, name.strip(), scopes, limit, concurrency, end)
    _tell(key, token, as_json)


@app.command("list")
def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the keys; never what they are proven by."""
    from deployments.history import keys

    with database(load(config)) as connection:
        known = keys.listed(connection)
    now = time.time()
    shown = [key for key in known if everything or key.good(now)]
    if as_json:
        print_json([_row(key, now) for key in shown])
    elif shown:
        console().print(_table(shown, now))
    else:
        console().print("There are no keys; hugginggpt keys create --name NAME makes one.")


@app.command()
def revoke(key: Named, config: Config = None, as_json: Json = False) -> None:
    """End a key for ever, within seconds."""
    from deployments.history import keys

    with database(load(config)) as connection:
        ended = keys.revoke(connection, _id(connection, key))
    if as_json:
        print_json({"revoked": ended.id})
    else:
        told = f"{ended.name} ({ended.id}) is revoked; servers that run refuse it within seconds."
        console().print(literal(told), soft_wrap=True)


@app.command()
def renew(key: Named, config: Config = None, as_json: Json = False) -> None:
    """Give a key a new secret and print it; runs and files stay its own, the old secret ends."""
    from deployments.history import keys

    with database(load(config)) as connection:
        renewed, token = keys.renew(connection, _id(connection, key))
    _tell(renewed, token, as_json)


@app.command("end-links")
def end_links(config: Config = None, as_json: Json = False) -> None:
    """End every signed address of a file that was told so far."""
    from deployments.history import keys

    with database(load(config)) as connection:
        keys.end_addresses(connection)
    if as_json:
        print_json({"ended": True})
    else:
        console().print("Signed addresses told so far open nothing any more, within seconds.")


def _tell(key: Key, token: str, as_json: bool) -> None:
    """The token alone on standard output, so that a script can take it."""
    if as_json:
        print_json({**_row(key, time.time()), "key": token})
        return
    console().print(literal(token), soft_wrap=True)
    told = f"{key.name} ({key.id}): keep the key now, it is not shown again. For the command line: "
    notes().print(literal(f"{told}export HUGGINGGPT_API_KEY=..."), soft_wrap=True)


def _id(connection: "Connection", named: str) -> str:
    """The id of a key that a person names.

    Raises:
        RequestError: several keys are called so.

    """
    from deployments.history import keys

    live = [key for key in keys.listed(connection) if key.revoked is None]
    if any(key.id == named for key in live):
        return named
    called = [key.id for key in live if key.name == named]
    if len(called) > 1:
        raise RequestError(
            f"{len(called)} keys are called {named!r}; name one by its id: {', '.join(called)}."
        )
    return called[0] if called else named


def _scopes(words: Sequence[str]) -> frozenset[Scope]:
    named = [word.strip() for given in words for word in given.split(",") if word.strip()]
    unknown = [word for word in named if word not in {scope.value for scope in Scope}]
    if unknown or not named:
        wrong = repr(unknown[0]) if unknown else "None"
        raise RequestError(f"{wrong} is no scope; give run, files or admin, with commas between them.")
    return frozenset(map(Scope, named))


def _rate(text: str) -> Rate:
    match = _RATE.fullmatch(text.strip())
    if match is None or match[2] not in _SPANS:
        raise RequestError(f"{text!r} is no rate; write 60/min, 5/s, 1000/h or 10000/day.")
    return Rate(int(match[1]), float(_SPANS[match[2]]))


def _seconds(text: str) -> float:
    match = _SPAN.fullmatch(text.strip())
    if match is None or match[2] not in _SPANS:
        raise RequestError(f"{text!r} is no time; write 30d, 12h or 8w.")
    return float(int(match[1]) * _SPANS[match[2]])


def _row(key: Key, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "rate": f"{key.rate.count}/{_unit(key.rate.seconds)}" if key.rate else None,
        "concurrency": key.concurrency,
        "created": key.created,
        "expires": key.expires,
        "state": "revoked" if key.revoked is not None else "good" if key.good(now) else "ended",
    }


def _unit(seconds: float) -> str:
    return next((name for name in ("s", "min", "h", "d", "w") if _SPANS[name] == seconds), f"{seconds:g}s")


def _table(shown: Sequence[Key], now: float) -> Table:
    heads = ("id", "name", "scopes", "rate", "at once", "made", "ends", "state")
    table = Table(*heads, box=None, pad_edge=False)
    for key in shown:
        row = _row(key, now)
        ends = "never" if key.expires is None else _day(key.expires)
        cells = (key.id, key.name, ",".join(row["scopes"]), row["rate"] or "–", key.concurrency or "–")
        table.add_row(*(literal(str(cell)) for cell in (*cells, _day(key.created), ends, row["state"])))
    return table


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
