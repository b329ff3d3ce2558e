"""One request of the inference protocol on its way: what was asked, and the calls that answer it."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.api import media
from controller.api.inference.asked import Asked
from controller.errors import TaskError
from controller.outcome import Outcome
from deployments.media import File
from model_catalog.tasks import MEDIA, TaskType

if TYPE_CHECKING:
    from controller.api.app import Backend


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    Attributes:
        backend: what the doors lead to.
        asked: what the client sent.
        row: the task.
        model: the one model that may run it; the usual choice where None.

    """

    backend: "Backend"
    asked: Asked
    row: TaskType
    model: str | None = None

    async def run(self, args: Mapping[str, str], renamed: Mapping[str, str] | None = None) -> Outcome:
        """Run the task with these arguments, and the parameters that nobody took.

        Args:
            args: arguments by declared name.
            renamed: parameters of the protocol's own, and what the task calls them.

        Raises:
            RequestError: a parameter is unknown here.
            TaskError: the task failed.

        """
        given = {**self.asked.knobs(self.row, renamed), **args}
        outcome = await media.call(self.backend, self.row.name, given, model=self.model, host=self.asked.host)
        self.asked.files.note(outcome)
        return outcome

    async def file(self, outcome: Outcome) -> File:
        """The file that an outcome is about.

        Raises:
            TaskError: it has none.

        """
        wanted = [modality for modality in self.row.outputs if modality in MEDIA]
        for artifact in outcome.artifacts:
            if artifact.modality in wanted:
                return File(await media.contents(self.backend, artifact), artifact.media_type)
        raise TaskError(f"The model gave no {' or '.join(wanted)}; try another one.", "expert_failed", 502)


Method = Callable[[Job], Coroutine[Any, Any, Any]]
"""Answers a job: JSON, or a file as it is."""


def shapeless(job: Job) -> TaskError:
    """What is told when a model's result is not of the form that the protocol needs."""
    return TaskError(f"The model gave no result of {job.row.name}; try another one.", "expert_failed", 502)
