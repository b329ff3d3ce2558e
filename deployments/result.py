"""What passes between the dispatcher, the experts and the artifact deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.media import Audio, File, Image, Table, Value, Video
from model_catalog.tasks import Modality

JsonValue = Any


@dataclass(frozen=True, slots=True)
class Call:
    """One task's call on an expert; its upstream values travel beside it, as top-level arguments.

    Attributes:
        run: id of the run, for logs.
        task: the registry's task type.
        id: the task's id in its plan.
        args: the plan's arguments, by declared name, as written: texts, file paths and references.
        sources: what each upstream value is, in order: ``<GENERATED>-N`` or a file path.
        deadline: when the run gives the task up, seconds since the epoch.

    """

    run: str
    task: str
    id: int
    args: Mapping[str, str]
    sources: tuple[str, ...] = ()
    deadline: float | None = None


@dataclass(slots=True)
class Result:
    """An expert's full output: one value for each modality the task declares.

    Attributes:
        mask: white where the picture's found things are and black elsewhere, for a task that paints there;
            it has the picture's size, and is no output of its own.
        run: the run it was made for, for logs.
        model: id of the model that made it.
        started: when the model began, seconds since the epoch.
        finished: when the model ended.

    """

    text: str | None = None
    data: JsonValue = None
    image: Image | None = None
    audio: Audio | None = None
    video: Video | None = None
    table: Table | None = None
    mask: Image | None = None
    run: str = ""
    model: str = ""
    started: float = 0.0
    finished: float = 0.0

    def value(self, modality: Modality) -> Value | JsonValue | None:
        """What it offers under ``modality``, None where it has nothing."""
        return getattr(self, modality.value)


Upstream = Result | File


@dataclass(frozen=True, slots=True)
class Input:
    """What a runner works on: a call with every reference and file resolved.

    Attributes:
        task: the registry's task type.
        args: values by declared argument name: ``str`` for text, media values for media.

    """

    task: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str = "text") -> str:
        """The text under ``name``, empty when it is absent."""
        value = self.args.get(name)
        return value if isinstance(value, str) else ""
