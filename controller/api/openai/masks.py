"""Masks: OpenAI's are transparent where a picture is to be painted anew, diffusers' are white there."""

import numpy as np

from deployments.decode import decode
from deployments.encode import encode
from deployments.media import File, Image, media_type
from model_catalog.tasks import Modality

_CLEAR = 128  # alpha below this is transparent


def mask_of(data: bytes) -> bytes:
    """A mask as a PNG file that is white where the picture is painted anew, and black elsewhere.

    One without any transparency counts as white already where it is to be painted.

    Raises:
        MediaError: it is no picture.

    """
    picture = decode(File(data, media_type(data)), Modality.IMAGE)
    assert isinstance(picture, Image)  # noqa: S101
    pixels = picture.pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        painted = pixels[:, :, 3] < _CLEAR
    else:
        painted = (pixels if pixels.ndim == 2 else pixels.mean(axis=2)) >= _CLEAR
    return encode(Image(np.where(painted, 255, 0).astype(np.uint8))).data
