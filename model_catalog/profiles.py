"""Profiles: named sets of models, and what they need of a machine before anything is downloaded.

A profile is a TOML file: ``models`` lists ids of the catalog, ``includes`` other profiles, ``sizes`` says how
many gigabytes of weights a repository gives, by the type of its numbers (``{F32 = 1.6}``), where the
catalog does not know it exactly. The files that ship lie in ``model_catalog.data.profiles``.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import ProfileError, UnsizedError
from model_catalog.share import Facts, account, ram, sized

SHIPPED = ("embedded", "minimal", "standard", "full", "remote")
"""The profiles that come with the product, from the smallest on."""

GB = 10**9

_WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}
_ID = r"^\w[\w.-]*/\w[\w.-]*$"

Size = dict[Literal["F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8"], Annotated[float, Field(ge=0)]]
"""Gigabytes (of 10^9 bytes) that a repository gives, by the type of its numbers."""


class Profile(BaseModel):
    """A set of models, with all that it includes.

    Attributes:
        name: of one that ships, or the path of a file.
        about: for whom it is, in a sentence or two.
        includes: the profiles whose models it has too.
        inference_mode: where its models run, in place of the setting of that name; None for what that says.
        models: ids of the catalog.
        sizes: what repositories give, by ``owner/name``; of models and of their parts.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    includes: tuple[str, ...] = ()
    inference_mode: Literal["local", "huggingface", "hybrid"] | None = None
    models: tuple[Annotated[str, Field(pattern=_ID, max_length=200)], ...] = ()
    sizes: dict[Annotated[str, Field(pattern=_ID)], Size] = Field(default_factory=dict)

    def cards(self, known: Catalog) -> list[ModelCard]:
        """The cards of its models, as the catalog has them.

        Raises:
            ProfileError: the catalog does not have one of them.

        """
        have = {card.id: card for card in known}
        absent = [model for model in self.models if model not in have]
        if absent:
            raise ProfileError(
                f"The profile {self.name} names {', '.join(absent)}, which the catalog does not have; add a "
                "card (hugginggpt catalog add), or leave it out."
            )
        return [have[model] for model in self.models]


@dataclass(frozen=True, slots=True)
class Need:
    """What one model needs, in bytes; None where nothing tells.

    Attributes:
        card: the model's card.
        repositories: bytes on disk, by repository: its own and its parts'.
        gpu: memory of a GPU; 0 for a model that uses none.
        ram: a node's memory, where it runs without a GPU.

    """

    card: ModelCard
    repositories: Mapping[str, int | None]
    gpu: int | None
    ram: int | None

    @property
    def disk(self) -> int | None:
        """Bytes on disk, parts included."""
        sizes = list(self.repositories.values())
        return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True, slots=True)
class Total:
    """What the models of a profile need together, in bytes.

    Attributes:
        disk: of all, a shared part once.
        gpu_largest: of the model that needs most of a GPU: with so much each can run, one at a time.
        gpu_all: of all at once, none ever put to sleep.
        ram_largest: of the model that needs most of a node's memory without a GPU.
        ram_all: of all at once, without a GPU.
        unknown: the models of which something is not known; they are not counted there.

    """

    disk: int = 0
    gpu_largest: int = 0
    gpu_all: int = 0
    ram_largest: int = 0
    ram_all: int = 0
    unknown: tuple[str, ...] = field(default=())


def load(name: str) -> Profile:
    """A profile with all that it includes.

    Args:
        name: one that ships, or the path of a TOML file (with that ending).

    Raises:
        ProfileError: there is none of that name, or its file cannot be used.

    """
    return _merged(name, Path(), ())


def is_profile(name: str) -> bool:
    """Whether a word names a profile, and no model."""
    return name in SHIPPED or name.endswith(".toml")


def need(card: ModelCard, sizes: Mapping[str, Size] | None = None) -> Need:
    """What a model needs, by its card and what is known of the sizes of repositories."""
    known = sizes or {}
    own = known.get(card.id)
    parts = [part.partition("@")[0] for part in card.parts.values()]
    repositories = {card.id: _stored(card, own)} | {part: _bytes(known.get(part)) for part in parts}
    # Together with its parts the account is whole; else it is the card's own.
    facts = _facts([own, *(known.get(part) for part in parts)]) if own is not None else None
    try:
        gpu = account(card, facts).total if sized(card) else 0
        memory = ram(card, facts) if not card.embedded else 0
    except UnsizedError:
        return Need(card, repositories, None, None)
    return Need(card, repositories, gpu, memory)


def total(needs: Sequence[Need]) -> Total:
    """What several models need together."""
    repositories = {name: size for one in needs for name, size in one.repositories.items()}
    gpu = [one.gpu or 0 for one in needs]
    memory = [one.ram or 0 for one in needs]
    return Total(
        disk=sum(size or 0 for size in repositories.values()),
        gpu_largest=max(gpu, default=0),
        gpu_all=sum(gpu),
        ram_largest=max(memory, default=0),
        ram_all=sum(memory),
        unknown=tuple(one.card.id for one in needs if None in (one.disk, one.gpu, one.ram)),
    )


def _stored(card: ModelCard, size: Size | None) -> int | None:
    """Bytes of a model's own files on disk, as well as anything tells."""
    if size is not None or card.embedded or card.path is not None:
        return _bytes(size) or 0
    if card.weights:
        return sum(count * _WIDTHS.get(kind, 1) for kind, count in card.weights.items())
    if card.params is not None and card.library != "diffusers":  # of a pipeline only the denoiser's
        return card.params * 4 if card.repo_bytes is None else min(card.params * 4, card.repo_bytes)
    return card.repo_bytes


def _bytes(size: Size | None) -> int | None:
    return None if size is None else round(sum(size.values()) * GB)


def _facts(sizes: Sequence[Size | None]) -> Facts:
    weights: dict[str, int] = {}
    for size in sizes:
        for kind, gigabytes in (size or {}).items():
            weights[kind] = weights.get(kind, 0) + round(gigabytes * GB / _WIDTHS.get(kind, 1))
    return Facts(weights=weights, source="the profile's sizes")


def _merged(name: str, folder: Path, above: tuple[str, ...]) -> Profile:
    """A profile with those that it includes first; ``above`` are those that are being read."""
    if name in above:
        raise ProfileError(f"The profile {name} includes itself; take it out of {above[-1]}.")
    own, there = _read(name, folder)
    models: dict[str, None] = {}
    sizes: dict[str, Size] = {}
    mode = own.inference_mode
    for other in own.includes:
        inner = _merged(other, there, (*above, name))
        models |= dict.fromkeys(inner.models)
        sizes |= inner.sizes
        mode = mode or inner.inference_mode
    models |= dict.fromkeys(own.models)
    return own.model_copy(
        update={"models": tuple(models), "sizes": sizes | own.sizes, "inference_mode": mode}
    )


def _read(name: str, folder: Path) -> tuple[Profile, Path]:
    """A profile as its file has it, and the folder that its own names start from."""
    if name in SHIPPED:
        text = files("model_catalog.data.profiles").joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return _parsed(name, text), folder
    if not name.endswith(".toml"):
        raise ProfileError(
            f"There is no profile {name!r}; take one of {', '.join(SHIPPED)}, or a file of your own that "
            "ends in .toml."
        )
    path = folder / Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ProfileError(
            f"The profile {path} cannot be read; check that it exists and is text in UTF-8."
        ) from None
    return _parsed(name, text), path.parent


def _parsed(name: str, text: str) -> Profile:
    try:
        content: dict[str, Any] = tomllib.loads(text)
        return Profile(**(content | {"name": name}))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"The profile {name} is no valid TOML: {error}.") from None
    except ValidationError as error:
        raise ProfileError(f"The profile {name} cannot be used: {'; '.join(_faults(error))}.") from None


def _faults(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        where = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            yield f"a profile has no {where!r}"
        else:
            yield f"{where!r}: {item['msg'].removeprefix('Value error, ')}"
