"""The profile of the settings: which of its models are members here, and which are not, and why."""

from dataclasses import dataclass
from typing import Literal

from controller.settings import Settings
from deployments import fleet, holdings
from deployments.placing import runs_elsewhere
from model_catalog import profiles
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog

Mode = Literal["local", "huggingface", "hybrid"]


@dataclass(frozen=True, slots=True)
class Membership:
    """The models of a profile, sorted by whether this machine can serve them.

    Attributes:
        here: those that can be deployed: what they need is on this machine, or they run elsewhere.
        unpulled: those whose weights are not on this machine.
        unfit: why others cannot run here, by model, as a part of a sentence.

    """

    here: tuple[ModelCard, ...]
    unpulled: tuple[ModelCard, ...]
    unfit: dict[str, str]


def mode(settings: Settings) -> Mode:
    """Where models run that are not embedded: as the profile says, else as the settings do.

    Raises:
        ProfileError: there is no such profile.

    """
    return profiles.load(settings.profile).inference_mode or settings.inference_mode


def membership(settings: Settings, known: Catalog) -> Membership:
    """The models of the settings' profile.

    Args:
        settings: the settings.
        known: their ``controller.app.catalog``.

    Raises:
        ProfileError: there is no such profile, or the catalog lacks one of its models.

    """
    here, unpulled, unfit = [], [], {}
    for card in profiles.load(settings.profile).cards(known):
        reason = "you blocked it" if card.blocked else fleet.obstacle(card)
        if reason is not None:
            unfit[card.id] = reason
        elif card.embedded or runs_elsewhere(card) or holdings.here(card):
            here.append(card)
        else:
            unpulled.append(card)
    return Membership(tuple(here), tuple(unpulled), unfit)


def members(settings: Settings, known: Catalog) -> list[ModelCard]:
    """The models of the settings' profile that can be deployed now; a request never starts a download.

    Raises:
        ProfileError: there is no such profile, or the catalog lacks one of its models.

    """
    return list(membership(settings, known).here)


def absent(settings: Settings, known: Catalog) -> list[str]:
    """What the profile names and cannot be deployed now, in lines that say what to do."""
    if settings.experts:
        return []
    found = membership(settings, known)
    lines = [f"{model} cannot run here: {reason}" for model, reason in found.unfit.items()]
    if found.unpulled:
        count = f"{len(found.unpulled)} models are" if len(found.unpulled) > 1 else "1 model is"
        lines.append(
            f"Of the profile {settings.profile} {count} not pulled yet: hugginggpt pull {settings.profile}"
        )
    return lines
