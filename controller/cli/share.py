"""``catalog share``: the memory that a model needs, line by line, and the share of a GPU that it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from controller.cli.output import console, notes, print_json
from controller.cli.view import literal
from controller.errors import RequestError
from controller.settings import Settings
from deployments.errors import ExpertError
from deployments.sizing.facts import facts
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.gpus import MEMORY, parsed
from model_catalog.share import LINES, Account, Facts, account, fraction_of, ram, sized

GPUS = ("16GB", "24GB", "48GB", "80GB")
"""Sizes of GPUs that are shown where none is asked for."""


def run(known: Catalog, settings: Settings, model: str, gpus: Sequence[str], as_json: bool) -> None:
    """Show a model's account and its shares.

    Args:
        known: the catalog.
        settings: with the operator's token for the Hub.
        model: ``owner/name``.
        gpus: sizes (``24GB``) or types (``L4``) of GPUs; a few usual sizes where it is empty.
        as_json: whether to print JSON.

    Raises:
        UnknownModelError: the catalog does not have it.
        UnsizedError: nothing tells how large it is.
        RequestError: a GPU is neither a size nor a type that is known.

    """
    card = known.get(model)
    sizes = {name: _bytes(name) for name in gpus or GPUS}
    if not sized(card):
        _plain(card, as_json)
        return
    found = _facts(card, settings)
    told = told_of(card, found, sizes)
    if as_json:
        print_json(told)
        return
    console().print(table(card, account(card, found), told["shares"]))
    console().print(literal(f"Source: {told['source']}."))
    console().print(literal(f"On the CPU it needs {_gib(told['ram_bytes'])} of RAM, its process included."))


def _bytes(name: str) -> int:
    found = MEMORY.get(name) or parsed(name)
    if found is None:
        raise RequestError(
            f"{name!r} is neither a size such as 24GB nor a type of GPU; the types are {', '.join(MEMORY)}."
        )
    return found


def _facts(card: ModelCard, settings: Settings) -> Facts | None:
    """What the model's repositories tell; where they cannot be asked, why is told, and the card serves."""
    try:
        return facts(card, settings.huggingface_access_token)
    except ExpertError as error:
        notes().print(literal(f"Only the card is at hand: {error.message}"), style="yellow", soft_wrap=True)
        return None


def _plain(card: ModelCard, as_json: bool) -> None:
    """Of a model whose card says its share, or that runs without a GPU."""
    share = card.gpu or 0.0
    if as_json:
        print_json({"model": card.id, "share": share, "source": "its card"})
        return
    told = f"holds {share:g} of a GPU, as its card says" if share else "runs without a GPU"
    console().print(literal(f"{card.id} {told}."))


def told_of(card: ModelCard, found: Facts | None, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The account and the shares in a form for programs; bytes throughout."""
    made = account(card, found)
    return {
        "model": card.id,
        "batch_size": card.batch_size,
        "dtype": card.dtype or "half precision",
        "account": {line: getattr(made, line) for line in LINES},
        "total": made.total,
        "source": made.source,
        "shares": {name: fraction_of(card, size, facts=found) for name, size in sizes.items()},
        "ram_bytes": ram(card, found),
    }


def table(card: ModelCard, made: Account, shares: Mapping[str, float]) -> Table:
    """The account line by line, then the share of each GPU."""
    shown = Table("", "memory", title=literal(card.id), title_justify="left", box=None, pad_edge=False)
    shown.columns[1].justify = "right"
    for line, words in LINES.items():
        more = f" ({card.batch_size})" if line == "activations" else ""
        shown.add_row(words + more, _gib(getattr(made, line)))
    shown.add_row("total", _gib(made.total), style="bold")
    shown.add_row("", "")
    for name, share in shares.items():
        told = f"{share:.2f} of it" if share <= 1 else f"{share:g} of them"
        shown.add_row(f"of a GPU of {name}" if name[0].isdigit() else f"of a GPU {name}", told)
    return shown


def _gib(count: int) -> str:
    """Bytes as the memory of GPUs is told, of powers of 1024."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
