"""Edge maps by OpenCV's Canny."""

import numpy as np

from deployments.media import Image, rgb
from deployments.result import Input, Result
from deployments.runners.single import THREADS, SingleRunner, image_of
from model_catalog.card import ModelCard

_WEAK, _STRONG = 100, 200  # gradients; what HuggingGPT's own edge maps use


class Canny(SingleRunner):
    """Draws the edges of a picture, white on black, as edge-guided diffusion models expect them."""

    def load(self, card: ModelCard, device: str) -> None:
        """Load OpenCV."""
        super().load(card, device)
        import cv2

        cv2.setNumThreads(THREADS)
        self._cv2 = cv2

    def answer(self, item: Input) -> Result:
        """The edge map, RGB, of the picture's size."""
        grey = self._cv2.cvtColor(rgb(image_of(item)), self._cv2.COLOR_RGB2GRAY)
        edges = self._cv2.Canny(grey, _WEAK, _STRONG)
        return Result(image=Image(np.repeat(edges[:, :, None], 3, axis=2)))
