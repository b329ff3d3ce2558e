"""What a replica of an expert takes: by what replicas measured, else by what repositories and cards tell."""

from collections.abc import Sequence

from deployments.book import Book
from deployments.figures import Figures
from deployments.rooms import Device, Need, Place
from model_catalog.card import ModelCard
from model_catalog.errors import UnsizedError
from model_catalog.share import Measured, account, ram, sized

RAM_MARGIN = 1.1
"""A process that was measured on the CPU is given this much more: its largest call may come yet."""


def need(card: ModelCard, book: Book) -> Need:
    """What a replica of a card's model takes; nothing where nobody knows how large it is."""
    facts = book.facts.get(key(card))
    measured = book.measured.get(card.id)
    if measured is not None and not measured.fits(card):
        measured = None
    gpu = memory = 0
    try:
        gpu = account(card, facts, measured).total if sized(card) else 0
        memory = book.ram.get(card.id) or ram(card, facts)
    except (
        UnsizedError
    ):  # neither size nor number of weights: the operator gives its share, or takes it as it is
        memory = book.ram.get(card.id, 0)
    return Need(gpu_bytes=gpu, ram_bytes=memory, share=card.gpu)


def key(card: ModelCard) -> str:
    """What facts of a model are filed under."""
    return f"{card.id}@{card.revision or 'main'}"


def placed(card: ModelCard, place: Place, devices: Sequence[Device]) -> ModelCard:
    """The card as its replica is started: with its share, and the type of GPU that the share was made for."""
    on_gpu = not place.devices or place.devices[0].gpu is not None
    kinds = {device.accelerator for device in devices if device.gpu is not None}
    kind = place.devices[0].accelerator if place.devices and len(kinds) > 1 else None
    resources = dict(card.resources) | ({f"accelerator_type:{kind}": 0.001} if on_gpu and kind else {})
    return card.model_copy(update={"gpu": place.amount if on_gpu else 0.0, "resources": resources})


def places(figures: Sequence[Figures], amount: float, devices: Sequence[Device]) -> list[Place]:
    """Where replicas are, by their own word."""
    found = []
    for one in figures:
        here = [device for device in devices if device.node == one.node]
        own = [device for device in here if (device.gpu in one.gpus if one.gpus else device.gpu is None)]
        if own:
            found.append(Place(tuple(own), amount))
    return found


def note(book: Book, card: ModelCard, figures: Sequence[Figures]) -> None:
    """Keep what replicas measured: of a GPU as it is, of a process with a margin.

    What a fresh replica tells first is what its warm-up took; later figures are the peaks of its calls.
    """
    most = max(figures, key=lambda one: one.peak_bytes)
    if most.device == "cuda":
        before = book.measured.get(card.id)
        before = before if before is not None and before.fits(card) else None
        loaded = most.peak_bytes if before is None else before.loaded
        found = Measured(
            model=card.id,
            revision=card.revision,
            batch_size=card.batch_size,
            loaded=loaded,
            peak=most.peak_bytes,
        )
        book.measured[card.id] = found.joined(before)
    elif not most.gpus:
        book.ram[card.id] = max(int(most.peak_bytes * RAM_MARGIN), book.ram.get(card.id, 0))
