"""Films under labels, by models of transformers."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from deployments.errors import InputError
from deployments.media import Image, Video
from deployments.result import Input, Result
from deployments.runners.neural import picture
from deployments.runners.pictures import PictureRunner
from deployments.runners.vision import class_scores, names, ranked

_TOP = 5  # labels told, the best first


class VideoClassifier(PictureRunner):
    """Sorts films under the model's own labels, by frames taken evenly from the whole film."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForVideoClassification)
        self._frames = int(self.model.config.num_frames)
        self.load_pictures()

    def ready(self, item: Input) -> tuple[list[Any], int]:
        """As many frames as the model looks at, and how many labels are wanted.

        Raises:
            InputError: there is no film.

        """
        film = item.args.get("video")
        if not isinstance(film, Video) or not film.frames.size:
            raise InputError(f"{item.task} needs a video under 'video'; attach one or refer to a task's.")
        places = np.linspace(0, len(film.frames) - 1, self._frames).round().astype(int)
        frames = [picture(Image(film.frames[place])) for place in places]
        return frames, self.whole(item, "top_k", _TOP, 1, 1000)

    def key(self, item: Input) -> Hashable:
        """Films that reach the model in one shape."""
        film = item.args.get("video")
        return None if self.fixed or not isinstance(film, Video) else film.frames.shape[1:3]

    def features(self, small: Any) -> dict[str, Any]:
        """The tensors of one film, a list of frames, with a first dimension of 1."""
        frames = small if isinstance(small, list) else [small] * self._frames
        made = self.processor([frames], return_tensors="pt")
        return {"pixel_values": made["pixel_values"]}

    def infer(self, items: Sequence[tuple[list[Any], int]]) -> list[Result]:
        """The best labels with their scores, the best first."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(frames) for frames, _ in items]):
            scores = class_scores(self.model.config, self.model(**tensors).logits)
            for index, row in zip(indices, scores, strict=True):
                made[index] = ranked(names(self.model.config), row, items[index][1])
        return made
