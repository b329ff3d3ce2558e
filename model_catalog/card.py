"""Model cards: what the catalog knows of a model."""

from pathlib import Path
from statistics import median
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_catalog.tasks import TASKS

NO_RUNNER = "this release has no runner for it"
"""Why a model cannot run whose card names no runner, or one that is not there."""

RANKED = 5
"""How many of the newest figures the rank of a model is the median of."""


class Figure(BaseModel):
    """A number read on a day: downloads of the last 30 days, or likes.

    Attributes:
        date: the day, month or year it was read, ``2026-08-22``, ``2026-08`` or ``2026``.
        source: a short name of where; the shipped ones are explained in ``data/README.md``.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[int, Field(ge=0)]
    date: Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}){0,2}$")]
    source: str = ""


class ModelCard(BaseModel):
    """A model, for which tasks it serves, and what running it takes.

    Attributes:
        id: ``owner/name`` as on the Hub; embedded experts have the owner ``embedded``.
        tasks: the registry's task types it serves.
        yields: where one task type covers two jobs (image-to-text), the one this model does.
        downloads: downloads of 30 days, the newest figure; None where nobody has counted them.
        history: earlier figures of the same, at most one for each month.
        downloads_all: downloads of all time.
        weights: how many numbers its safetensors hold by their type, as their headers name it:
            ``{"F16": 66955010}``; empty where nobody has counted them.
        providers: inference providers that serve it now, by the Hub's names.
        pinned: whether it is the first candidate of its tasks, whatever its figures.
        blocked: whether it is never a candidate.
        gone: the day on which the Hub had it no longer; it comes after those that it has.
        revision: the commit, tag or branch of its repository; None for the main branch as it is when the
            model is first deployed. What is resolved once stays pinned.
        path: a folder, on every node that may run it, to take it from instead of the Hub.
        parts: further repositories (``owner/name`` or ``owner/name@revision``) or absolute folders that it
            needs, by their role: ``base`` for a ControlNet, ``vocoder`` for SpeechT5.
        defaults: what a call leaves open, by argument name: ``{"steps": "1"}``.
        spare_weights: patterns (as of ``fnmatch``) of weights that may be missing or left over at load,
            beyond those every runner knows to be harmless.
        dtype: the type of its numbers on a GPU; None for half precision. On the CPU it is ``float32``.
        runner: name of the runner that serves it (see ``deployments.runners``); None for the one that fits
            its library and tasks.
        requires: importable modules its runner needs beyond the base install.
        gpu: the share of a GPU it holds, 0 for none; None for what its memory needs, which is none on a
            cluster without GPUs.
        resources: custom Ray resources that place it on a kind of node.
        cpus: the node's CPUs it holds in Ray's bookkeeping; its model takes as many threads there.
        batch_size: the most inputs of one model call.
        batch_wait_s: how long an idle model waits for a batch to fill, in seconds. While the model is busy
            a batch fills by itself, so that 0 is right for nearly all.
        max_queued: the most calls that wait for it before it answers "busy".

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$", max_length=200)]
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    yields: str | None = None
    description: str = ""
    downloads: Figure | None = None
    history: tuple[Figure, ...] = ()
    downloads_all: Figure | None = None
    likes: Figure | None = None
    license: str | None = None
    gated: bool = False
    library: str | None = None
    params: Annotated[int, Field(ge=0)] | None = None
    weights: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    repo_bytes: Annotated[int, Field(ge=0)] | None = None
    safetensors: bool | None = None
    providers: tuple[str, ...] = ()
    pinned: bool = False
    blocked: bool = False
    gone: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    source: str = ""
    revision: Annotated[str, Field(pattern=r"^\w[\w./-]*$", max_length=100)] | None = None
    path: Path | None = None
    parts: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, str] = Field(default_factory=dict)
    spare_weights: tuple[str, ...] = ()
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    runner: str | None = None
    requires: tuple[str, ...] = ()
    gpu: Annotated[float, Field(ge=0)] | None = None
    cpus: Annotated[float, Field(ge=0)] = 0.0
    resources: dict[str, float] = Field(default_factory=dict)
    batch_size: Annotated[int, Field(ge=1, le=512)] = 1
    batch_wait_s: Annotated[float, Field(ge=0, le=5)] = 0.0
    max_queued: Annotated[int, Field(ge=1)] = 512

    @model_validator(mode="after")
    def _known_tasks(self) -> Self:
        unknown = [name for name in self.tasks if name not in TASKS]
        if unknown:
            raise ValueError(f"unknown task types: {', '.join(unknown)}")
        return self

    @property
    def embedded(self) -> bool:
        """Whether it ships with the product and needs no download."""
        return self.id.startswith("embedded/")

    @property
    def usual_downloads(self) -> int | None:
        """Downloads of 30 days, as the median of the newest figures, so that one odd month counts little."""
        if self.downloads is None:
            return None
        dated = sorted((*self.history, self.downloads), key=lambda figure: figure.date)
        return int(median(figure.value for figure in dated[-RANKED:]))

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, int, int, str]:
        """Sort key: pinned ones, then models of the Hub, then embedded ones.

        Within each those that are gone from the Hub come last; else usual downloads descending (unknown
        last), likes, id.
        """
        downloads = self.usual_downloads
        likes = self.likes.value if self.likes else 0
        return (
            not self.pinned,
            self.embedded,
            self.gone is not None,
            downloads is None,
            -(downloads or 0),
            -likes,
            self.id,
        )
