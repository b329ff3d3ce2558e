"""Checks of the models that the settings name: whether they fit this machine, and what will not work."""

from collections.abc import Iterator

from controller.app import catalog
from controller.doctor.finding import Finding, ok, warn
from controller.doctor.fit import fit, some
from controller.doctor.machine import Machine
from controller.profile import membership
from controller.settings import Settings
from deployments import fleet
from deployments.placing import asks_llm, runs_elsewhere
from model_catalog import profiles
from model_catalog.card import ModelCard


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
        told = f"not on this machine: {some([card.id for card in found.unpulled])}"
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
        yield warn(check, f"{some(models)} cannot run here: {what}", todo or "Leave them out.")
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
