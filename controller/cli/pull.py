"""``hugginggpt pull``: models come to this machine, with what they take told first."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from controller.cli.models import known_here
from controller.cli.output import Config, Json, Url, Yes, console, notes, print_json
from controller.cli.view import literal
from controller.errors import ControllerError, RequestError
from controller.settings import Settings, load
from controller.sizes import size
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

if TYPE_CHECKING:
    from deployments.survey import Coming
    from model_catalog.catalog import Catalog
    from model_catalog.profiles import Need, Size

ASK_OVER = 10**9
"""Bytes over which a person at a terminal is asked first."""

SPARE = 200 << 20
"""Bytes that stay free on the disk."""


@dataclass(slots=True)
class Pull:
    """What a pull brings.

    Attributes:
        cards: the models, each as this machine would run it.
        sizes: what profiles know of the sizes of repositories.
        coming: the repositories, by name, with what the Hub tells of them.
        failed: why models do not come, by id.

    """

    cards: list[ModelCard]
    sizes: "dict[str, Size]" = field(default_factory=dict)
    coming: "dict[str, Coming]" = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Bytes still to be fetched."""
        return sum(one.missing for one in self.coming.values())

    @property
    def size(self) -> int:
        """Bytes of all files, those that are here among them."""
        return sum(one.size for one in self.coming.values())


def pull(
    names: Annotated[list[str], typer.Argument(help="Profiles or models.", metavar="PROFILE|MODEL...")],
    yes: Yes = False,
    url: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring the models of profiles, or single ones, to this machine; what was broken off goes on."""
    from controller.cli.fetching import fetch

    settings = load(config)
    out = notes() if as_json else console()
    plan = wanted(names, known_here(settings))
    pulled: list[ModelCard] = []
    if plan.cards:
        survey(plan, settings)
        announce(plan, out)
        check_disk(plan)
        if plan.missing > ASK_OVER and not (yes or as_json) and sys.stdin.isatty():
            typer.confirm(f"Fetch {size(plan.missing)}?", default=True, abort=True)
        try:
            pulled, failed = fetch(plan.cards, plan.coming, settings.huggingface_access_token, out)
        except KeyboardInterrupt:
            notes().print("Broken off; the same command goes on from here.")
            raise
        plan.failed |= failed
    elif not plan.failed:
        out.print("There is nothing to pull: these models are embedded, or run elsewhere.")
    served = tell_server(pulled, url, out)
    if as_json:
        rows = [
            {"model": card.id, "commit": plan.coming[card.id].commit, "size": plan.coming[card.id].size}
            for card in pulled
        ]
        print_json({"pulled": rows, "failed": plan.failed, "served": served})
    for message in plan.failed.values():
        notes().print(f"hugginggpt: {message}", style="red", markup=False, soft_wrap=True)
    if plan.failed:
        raise typer.Exit(2 if pulled else 1)


def wanted(names: Sequence[str], known: "Catalog") -> Pull:
    """The models that words name: profiles, and ids of the catalog.

    Raises:
        HuggingGPTError: there is no such profile or model.

    """
    from model_catalog.profiles import is_profile
    from model_catalog.profiles import load as profile

    by_id = {card.id: card for card in known}
    cards: dict[str, ModelCard] = {}
    sizes: dict[str, Size] = {}
    for name in names:
        if is_profile(name) or "/" not in name:
            chosen = profile(name)
            sizes |= chosen.sizes
            if chosen.inference_mode != "huggingface":
                cards |= {card.id: card for card in chosen.cards(known)}
        elif name in by_id:
            cards[name] = by_id[name]
        else:
            raise RequestError(
                f"The catalog has no model {name}; add it with hugginggpt catalog add {name}, or name a "
                "profile."
            )
    return Pull([card for card in cards.values() if not card.embedded], sizes)


def survey(plan: Pull, settings: Settings) -> None:
    """Ask the Hub about every repository; models that cannot be had are put under ``failed``."""
    from deployments import holdings
    from deployments.survey import survey as ask

    needed = {card.id: [source for source, _ in holdings.repositories(card)] for card in plan.cards}
    asked = dict.fromkeys(one for card in plan.cards for one in holdings.repositories(card))
    found = ask(list(asked), settings.huggingface_access_token)
    errors = {one.model: one.error for one in found if one.error is not None}
    for card in list(plan.cards):
        told = [errors[source] for source in needed[card.id] if source in errors]
        if told:
            plan.failed[card.id] = told[0]
            plan.cards.remove(card)
    kept = {source for card in plan.cards for source in needed[card.id]}
    plan.coming = {one.model: one for one in found if one.model in kept}


def announce(plan: Pull, out: Console) -> None:
    """Print what comes, and what it needs; what this machine has too little of is told with what to do."""
    from controller.cli.doctor import show_lines
    from controller.doctor.finding import State
    from controller.doctor.fit import fit
    from controller.doctor.machine import Machine
    from model_catalog.profiles import total

    if not plan.cards:
        return
    table = Table("repository", "files", "size", "to fetch", "license", "gated", box=None, pad_edge=False)
    for one in plan.coming.values():
        left = size(one.missing) if one.missing else "here"
        cells = (
            one.model,
            str(one.files),
            size(one.size),
            left,
            one.license or "?",
            "yes" if one.gated else "",
        )
        table.add_row(*map(literal, cells))
    out.print(table)
    needs = needs_of(plan)
    need = total(needs)
    out.print(
        f"disk {size(plan.size)}, {size(plan.missing)} of it to fetch; GPU {size(need.gpu_largest)} for the "
        f"largest, {size(need.gpu_all)} for all at once; memory without a GPU {size(need.ram_largest)} for "
        "the largest",
        soft_wrap=True,
    )
    short = [one for one in fit(Machine(), needs) if one.state is not State.OK and one.check != "fit: disk"]
    if short:
        show_lines(short, out)


def needs_of(plan: Pull) -> "list[Need]":
    """What the models need; where nothing tells how large one is, the Hub's files do."""
    from model_catalog.profiles import GB, need

    told: dict[str, Size] = {name: {"F32": one.size / GB} for name, one in plan.coming.items()}
    return [
        need(card, plan.sizes if card.weights or card.params is not None else told | plan.sizes)
        for card in plan.cards
    ]


def check_disk(plan: Pull) -> None:
    """Refuse what does not fit on the disk.

    Raises:
        ControllerError: it does not.

    """
    from controller.doctor.machine import Machine
    from deployments import store

    place = store.hub_cache()
    _, free = Machine().disk(place)
    if plan.missing and plan.missing + SPARE > free:
        raise ControllerError(
            f"{size(plan.missing)} are to be fetched, and {place} has {size(free)} free; free some "
            "(hugginggpt rm MODEL), let HF_HOME name a folder on a larger disk, or pull less."
        )


def tell_server(pulled: Sequence[ModelCard], url: str | None, out: Console) -> list[str]:
    """Let a server that runs take pulled models in; gives the ids of those that it took."""
    from controller.cli.client import Client
    from controller.server import running

    found = running()
    address = url or (found.url if found else None)
    if address is None or not pulled:
        return []
    taken = []
    with Client(address) as client:
        for card in pulled:
            try:
                if client.add(card.id):
                    taken.append(card.id)
            except HuggingGPTError as error:
                out.print(
                    literal(f"The server at {address}: {error.message}"), style="yellow", soft_wrap=True
                )
    if taken:
        out.print(f"The server at {address} has {len(taken)} of them now.", soft_wrap=True)
    else:
        out.print("The server that runs does not use them yet; restart hugginggpt up.", style="yellow")
    return taken
