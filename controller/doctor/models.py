"""Checks of the models that the settings name: whether they fit this machine, and what will not work."""

from collections.abc import Iterator, Sequence

from controller.app import catalog
from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Machine
from controller.errors import ControllerError
from controller.profile import membership
from controller.settings import Settings
from controller.sizes import size
from deployments import fleet, holdings, store
from deployments.placing import asks_llm, runs_elsewhere
from model_catalog import profiles
from model_catalog.card import ModelCard
from model_catalog.profiles import Need

GB = 10**9

BASE = 3 * GB
"""Bytes of memory that Ray, the controller and the embedded experts take."""

SPARE = GB
"""Bytes that are to stay free on the disk."""

_NAMED = 3  # how many models a line names


def experts(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """The experts that the settings want and this machine cannot run, and why."""
    known = catalog(settings)
    if settings.experts:
        cards = [known.get(model) for model in settings.experts]
        unfit = {card.id: reason for card in cards if (reason := fleet.obstacle(card)) is not None}
        yield from _unfit("experts", unfit, f"{len(cards)} of the setting experts can run here")
        return
    embedded = [card for card in known if card.embedded]
    unfit = {card.id: reason for card in embedded if (reason := fleet.obstacle(card)) is not None}
    yield from _unfit("embedded experts", unfit, f"all {len(embedded)} can run here")
    found = membership(settings, known)
    if found.unfit:
        yield from _unfit("profile's models", found.unfit, "")
    if found.unpulled:
        told = f"{_some([card.id for card in found.unpulled])} are not on this machine"
        yield warn("profile's models", told, f"hugginggpt pull {settings.profile}")
    elif found.here:
        yield ok("profile's models", f"{len(found.here)} of the profile {settings.profile} are ready")


def _unfit(check: str, unfit: dict[str, str], fine: str) -> Iterator[Finding]:
    """One line for each reason, with the models that it keeps from running."""
    by_reason: dict[str, list[str]] = {}
    for model, reason in unfit.items():
        by_reason.setdefault(reason, []).append(model)
    for reason, models in by_reason.items():
        what, _, todo = reason.partition(": ")
        yield warn(check, f"{_some(models)} cannot run here: {what}", todo or "Leave them out.")
    if not by_reason:
        yield ok(check, fine)


def profile(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether the profile fits this machine: its disk, its GPUs, its memory."""
    chosen = profiles.load(settings.profile)
    cards = [card for card in chosen.cards(catalog(settings)) if runs_here(card)]
    if not cards:
        return
    yield from fit(machine, [profiles.need(card, chosen.sizes) for card in cards])


def runs_here(card: ModelCard) -> bool:
    """Whether a model takes anything of this machine."""
    return not (card.embedded or runs_elsewhere(card) or asks_llm(card))


def fit(machine: Machine, needs: Sequence[Need]) -> Iterator[Finding]:
    """Whether models fit a machine: those that are not here its disk, the largest its GPUs and memory."""
    yield _disk(machine, needs)
    try:
        own = machine.memory()[0]  # of GPUs that share it, for which the driver has no figure
        gpus = sorted((gpu.memory or own for gpu in machine.gpus()), reverse=True)
    except ControllerError:
        gpus = []
    yield _gpus(gpus, needs) if gpus else _memory(machine, needs)


def _disk(machine: Machine, needs: Sequence[Need]) -> Finding:
    absent = profiles.total([one for one in needs if not holdings.here(one.card)])
    _, free = machine.disk(store.home())
    told = f"{size(absent.disk)} are still to be pulled, and {store.home()} has {size(free)} free"
    if absent.disk and absent.disk + SPARE > free:
        todo = "Free some, let HF_HOME name a folder on a larger disk, or take a smaller profile."
        return fail("fit: disk", told, todo)
    return ok("fit: disk", told)


def _gpus(gpus: Sequence[int], needs: Sequence[Need]) -> Finding:
    """Each model must fit alone: those in use share what there is, others sleep."""
    over = [one for one in needs if one.gpu and one.gpu > gpus[0]]
    largest = max((one.gpu or 0 for one in needs), default=0)
    told = f"the largest model needs {size(largest)}, and a GPU has {size(gpus[0])}"
    if not over:
        return ok("fit: GPU", f"{told}; models that are not in use sleep")
    models = _some([one.card.id for one in over])
    if max(one.gpu or 0 for one in over) <= sum(gpus):
        return ok("fit: GPU", f"{told}; {models} take several of {len(gpus)} GPUs")
    return warn(
        "fit: GPU",
        f"{told}; {models} cannot run here",
        "Take a smaller profile, or leave them out in a profile of your own.",
    )


def _memory(machine: Machine, needs: Sequence[Need]) -> Finding:
    whole, _ = machine.memory()
    over = [one for one in needs if one.ram and one.ram + BASE > whole]
    largest = max((one.ram or 0 for one in needs), default=0)
    told = (
        f"without a GPU the largest model needs {size(largest)} of memory, {size(BASE)} are for "
        f"all else, and there are {size(whole)}"
    )
    if not over:
        return ok("fit: memory", f"{told}; models that are not in use sleep")
    return warn(
        "fit: memory",
        f"{told}; {_some([one.card.id for one in over])} cannot run here",
        "Take a smaller profile, or leave them out in a profile of your own.",
    )


def _some(models: Sequence[str]) -> str:
    more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
    return ", ".join(models[:_NAMED]) + more
