"""Runners that answer one input after the other, and what they ask of an input."""

from abc import abstractmethod
from collections.abc import Sequence

from deployments.errors import InputError, StoppedError
from deployments.media import Audio, Image
from deployments.result import Input, Result
from deployments.runners.base import Runner

THREADS = 2
"""The threads of a model on the CPU whose card holds no CPUs, so that neighbours on the node keep theirs."""


class SingleRunner(Runner):
    """A runner without batching: it writes ``answer``, and one input's failure leaves the others alone."""

    def run(self, inputs: Sequence[Input]) -> Sequence[Result | Exception]:
        """Answer each input on its own."""
        return [self._guarded(item) for item in inputs]

    @abstractmethod
    def answer(self, item: Input) -> Result:
        """Answer one input.

        Raises:
            InputError: it lacks something, or holds what the model cannot use.
            StoppedError: the call was stopped midway.

        """

    def check_stopped(self) -> None:
        """End the call here if nobody waits for it.

        Raises:
            StoppedError: nobody does.

        """
        if self.stopping.is_set():
            raise StoppedError("The task was stopped because nobody waits for it any more; ask again.")

    def _guarded(self, item: Input) -> Result | Exception:
        try:
            self.check_stopped()
            return self.answer(item)
        except Exception as error:
            return error


def text_of(item: Input, name: str = "text") -> str:
    """The text under ``name``, which must hold more than blanks.

    Raises:
        InputError: it does not.

    """
    text = item.text(name)
    if not text.strip():
        raise InputError(f"{item.task} needs words under {name!r}; give it a text.")
    return text


def image_of(item: Input, name: str = "image") -> Image:
    """The picture under ``name``.

    Raises:
        InputError: there is none, or it has no pixels.

    """
    value = item.args.get(name)
    if not isinstance(value, Image) or not value.pixels.size:
        raise InputError(
            f"{item.task} needs a picture under {name!r}; attach one or refer to a task that makes one."
        )
    return value


def audio_of(item: Input, name: str = "audio") -> Audio:
    """The recording under ``name``.

    Raises:
        InputError: there is none, or it has no samples.

    """
    value = item.args.get(name)
    if not isinstance(value, Audio) or not value.samples.size:
        raise InputError(
            f"{item.task} needs a recording under {name!r}; attach one or refer to a task that makes one."
        )
    return value
