"""``hugginggpt profiles``, ``list`` and ``rm``: which models there are to take, and which lie here."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from controller.cli.output import Config, Json, Url, console, notes, print_json
from controller.cli.view import literal
from controller.errors import ControllerError, RequestError, SettingsError
from controller.settings import Settings, load
from controller.sizes import size
from model_catalog.errors import HuggingGPTError

if TYPE_CHECKING:
    from controller.cli.client import Client
    from model_catalog.catalog import Catalog
    from model_catalog.profiles import Need, Profile

_MORE = "[dim]hugginggpt profiles NAME shows a profile's models, hugginggpt pull NAME brings them here.[/]"


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="One, or a file of your own.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the profiles with what each needs, or the models of one; nothing is downloaded."""
    from model_catalog.profiles import SHIPPED
    from model_catalog.profiles import load as profile

    settings = load(config)
    known = known_here(settings)
    if name is not None:
        _one(profile(name), known, settings, as_json)
        return
    own = [] if settings.profile in SHIPPED else [settings.profile]
    rows = [_account(profile(each), known) for each in (*SHIPPED, *own)]
    if as_json:
        print_json(rows)
        return
    table = Table(
        "profile", "models", "tasks", "disk", "GPU", "memory without GPU", "", box=None, pad_edge=False
    )
    for row in rows:
        mark = " *" if row["name"] == settings.profile else ""
        cells = (f"{row['name']}{mark}", str(row["models"]), str(len(row["tasks"])), *_figures(row["need"]))
        table.add_row(*map(literal, (*cells, row["about"])))
    out = console()
    out.print(table)
    out.print(
        f"* the profile of the settings. GPU and memory: of the largest model, and of all at once. {_MORE}"
    )


def _figures(need: dict[str, int]) -> tuple[str, str, str]:
    """Disk, GPU and memory: of the largest model, and of all at once where that is more."""
    pairs = (("gpu_largest", "gpu_all"), ("ram_largest", "ram_all"))
    told = [" – ".join(size(need[key]) for key in keys) if need[keys[1]] else "–" for keys in pairs]
    return size(need["disk"]) if need["disk"] else "–", told[0], told[1]


def known_here(settings: Settings) -> "Catalog":
    """The catalog with each model as this machine would run it, whatever runs elsewhere.

    Raises:
        SettingsError: a file of it cannot be used.

    """
    from model_catalog.errors import CatalogError
    from model_catalog.overlay import layered

    try:
        return layered(settings.data_dir, settings.catalog)
    except (CatalogError, OSError) as error:
        raise SettingsError(f"The catalog file cannot be used: {error}") from None


def needs_of(profile: "Profile", known: "Catalog") -> "list[Need]":
    """What the models of a profile need of this machine: nothing where they run elsewhere."""
    from model_catalog.profiles import need

    if profile.inference_mode == "huggingface":
        return []
    return [need(card, profile.sizes) for card in profile.cards(known) if not card.embedded]


def _account(profile: "Profile", known: "Catalog") -> dict[str, Any]:
    from model_catalog.profiles import total

    tasks = {task for card in (*profile.cards(known), *_embedded(known)) for task in card.tasks}
    return {
        "name": profile.name,
        "about": profile.about,
        "models": len(profile.models),
        "tasks": sorted(tasks),
        "need": asdict(total(needs_of(profile, known))),
    }


def _embedded(known: "Catalog") -> list[Any]:
    return [card for card in known if card.embedded]


def _one(profile: "Profile", known: "Catalog", settings: Settings, as_json: bool) -> None:
    """Show the models of a profile, and whether they fit this machine."""
    from controller.doctor.fit import fit
    from controller.doctor.machine import Machine
    from deployments import fleet, holdings

    needs = {one.card.id: one for one in needs_of(profile, known)}
    rows = []
    for card in profile.cards(known):
        one = needs.get(card.id)
        elsewhere = one is None and not card.embedded
        rows.append(
            {
                "model": card.id,
                "tasks": list(card.tasks),
                "license": card.license,
                "disk": one.disk if one else 0,
                "gpu": one.gpu if one else 0,
                "ram": one.ram if one else 0,
                "here": elsewhere or card.embedded or holdings.here(card),
                "obstacle": None if elsewhere else fleet.obstacle(card),
            }
        )
    findings = list(fit(Machine(), list(needs.values()))) if needs else []
    account = _account(profile, known)
    if as_json:
        print_json(account | {"models": rows, "fit": [asdict(finding) for finding in findings]})
        return
    _print_one(account, rows)
    if findings:
        from controller.cli.doctor import show_lines

        show_lines(findings, console())


def _print_one(account: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    out = console()
    out.print(literal(f"{account['name']}: {account['about']}"), soft_wrap=True)
    table = Table("model", "tasks", "disk", "GPU", "memory", "license", "here", box=None, pad_edge=False)
    for row in rows:
        figures = [size(row[key]) if row[key] != 0 else "–" for key in ("disk", "gpu", "ram")]
        here = row["obstacle"] or ("yes" if row["here"] else "no")
        table.add_row(
            *map(literal, (row["model"], ", ".join(row["tasks"]), *figures, row["license"] or "?", here))
        )
    if rows:
        out.print(table)
    disk, gpu, memory = _figures(account["need"])
    out.print(f"disk {disk}, a shared part counted once; GPU {gpu}; memory without a GPU {memory}")
    if unknown := account["need"]["unknown"]:
        out.print(
            literal(f"not counted, since nothing tells their size: {', '.join(unknown)}"), soft_wrap=True
        )
    out.print(literal(f"tasks, with the embedded experts: {', '.join(account['tasks'])}"), soft_wrap=True)


def list_models(config: Config = None, as_json: Json = False) -> None:
    """List the models that are on this machine."""
    from deployments import holdings

    known = {card.id: card for card in known_here(load(config))}
    rows: list[dict[str, Any]] = []
    for one in holdings.held():
        card = known.get(one.model)
        rows.append(
            {
                "model": one.model,
                "commit": one.commit,
                "size": one.size,
                "tasks": list(card.tasks) if card else [],
                "pulled": datetime.fromtimestamp(one.pulled, UTC).isoformat(timespec="seconds"),
                "license": card.license if card else None,
            }
        )
    if as_json:
        print_json(rows)
        return
    if not rows:
        console().print("No model is on this machine; hugginggpt pull minimal brings some.")
        return
    table = Table("model", "commit", "size", "tasks", "pulled", "license", box=None, pad_edge=False)
    for row in rows:
        tasks = ", ".join(row["tasks"]) or "a part of others"
        cells = (
            row["model"],
            row["commit"][:12],
            size(row["size"]),
            tasks,
            row["pulled"][:10],
            row["license"] or "?",
        )
        table.add_row(*map(literal, cells))
    console().print(table)


def rm(
    models: Annotated[list[str], typer.Argument(help="Models to remove.", metavar="MODEL...")],
    force: Annotated[
        bool, typer.Option("--force", help="Even where a server or another model uses it.")
    ] = False,
    url: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove models from this machine's disk."""
    from controller.cli.client import Client
    from controller.server import running
    from deployments import holdings

    known = known_here(load(config))
    server = running()
    address = url or (server.url if server else None)
    removed: dict[str, int] = {}
    failed: dict[str, str] = {}
    for model in dict.fromkeys(models):
        try:
            if not holdings.begun(model):
                raise RequestError(f"{model} is not on this machine; hugginggpt list shows what is.")
            if not force:
                _check_parts(model, known, models)
            if address is not None:
                with Client(address) as client:
                    _withdraw(client, model, force)
            removed[model] = holdings.remove(model)
        except HuggingGPTError as error:
            failed[model] = error.message
    if as_json:
        print_json({"removed": removed, "failed": failed})
    else:
        for model, freed in removed.items():
            console().print(literal(f"Removed {model}: {size(freed)} are free again."), soft_wrap=True)
        for message in failed.values():
            notes().print(f"hugginggpt: {message}", style="red", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(2 if removed else 1)


def _check_parts(model: str, known: "Catalog", removing: Sequence[str]) -> None:
    """Refuse to take away what another model on this machine is made of."""
    from deployments import holdings

    for card in known:
        parts = [source for source, _ in holdings.repositories(card)[1:]]
        if model in parts and card.id not in removing and holdings.here(card):
            raise ControllerError(
                f"{model} is a part of {card.id}, which is on this machine; remove that too, or use --force."
            )


def _withdraw(client: "Client", model: str, force: bool) -> None:
    """Have a running server forget a model; refused while it is awake there."""
    row = next((one for one in client.experts() if one["model"] == model), None)
    if row is None:
        return
    if (row.get("replicas") or row.get("state") == "waking") and not force:
        raise ControllerError(
            f"{model} is awake in the server that runs; hugginggpt stop {model} puts it to sleep, --force "
            "removes it anyway."
        )
    try:
        forgotten = client.remove(model)
    except ControllerError:
        if not force:
            raise
        forgotten = False
    if not forgotten:
        notes().print(
            f"The server that runs cannot forget {model}; restart hugginggpt up.",
            style="yellow",
            markup=False,
        )
