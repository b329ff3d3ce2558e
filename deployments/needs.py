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
    if measured is not None and not _is_of(measured, card):
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


def placed(card: ModelCard, place: Place, needed: Need, devices: Sequence[Device]) -> ModelCard:
    """The card as its replica is started: with its share, and the type of GPU that the share was made for.

    Ray knows types of GPUs and no sizes; where those of one type have several, the share is of the smallest.
    """
    if place.devices and place.devices[0].gpu is None:
        return card.model_copy(update={"gpu": 0.0})
    gpus = [device for device in devices if device.gpu is not None]
    kind = place.devices[0].accelerator if place.devices else None
    kinds = {device.accelerator for device in gpus}
    may_be = [device for device in gpus if device.accelerator == kind] if len(kinds) > 1 else gpus
    amounts = [amount for device in may_be if (amount := needed.amount(device)) <= 1]
    share = max(place.amount, *amounts, 0.0) if place.amount <= 1 and place.devices else place.amount
    resources = dict(card.resources)
    if kind is not None and len(kinds) > 1:
        resources[f"accelerator_type:{kind}"] = 0.001
    return card.model_copy(update={"gpu": share, "resources": resources})


class Slots:
    """Which device a GPU is that a replica names.

    Ray names GPUs as the node's own environment does: by number, by UUID, by part of a card. The books know
    as many devices for each node as Ray has GPUs there; which is which is of no matter, as long as it stays.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Device] = {}

    def places(self, figures: Sequence[Figures], amount: float, devices: Sequence[Device]) -> list[Place]:
        """Where replicas are, by their own word.

        Args:
            figures: what they tell.
            amount: what each takes of its devices, where it does not tell.
            devices: those of the cluster.

        """
        found = []
        for one in figures:
            here = [device for device in devices if device.node == one.node]
            if one.gpus:
                own = [slot for gpu in one.gpus if (slot := self._slot(one.node, gpu, here)) is not None]
            else:
                own = [device for device in here if device.gpu is None]
            if own:
                found.append(Place(tuple(own), one.share or amount))
        return found

    def _slot(self, node: str, gpu: str, here: Sequence[Device]) -> Device | None:
        known = self._known.get((node, gpu))
        if known in here:
            return known
        taken = {device for (where, _), device in self._known.items() if where == node}
        free = [device for device in here if device.gpu is not None and device not in taken]
        slot = next((device for device in free if device.gpu == gpu), next(iter(free), None))
        if slot is not None:
            self._known[node, gpu] = slot
        return slot


def note(book: Book, card: ModelCard, figures: Sequence[Figures]) -> None:
    """Keep what replicas measured: of a GPU as it is, of a process with a margin.

    What a fresh replica tells first is what its warm-up took; later figures are the peaks of its calls.
    """
    most = max(figures, key=lambda one: one.peak_bytes)
    if most.device == "cuda":
        before = book.measured.get(card.id)
        before = before if before is not None and _is_of(before, card) else None
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


def _is_of(measured: Measured, card: ModelCard) -> bool:
    """Whether it was measured with this card; one that names no commit takes the one that was measured."""
    if card.revision is None:
        return (measured.model, measured.batch_size) == (card.id, card.batch_size)
    return measured.fits(card)
