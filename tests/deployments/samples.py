"""Small files of every kind, made by the libraries that people's programs use."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image as Pillow

RATE = 16_000


def gradient(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """A smooth RGB picture, whose corners differ."""
    down, across = np.mgrid[0:height, 0:width]
    levels = np.stack([across * 255 // width, down * 255 // height, 255 - across * 255 // width], axis=2)
    return levels.astype(np.uint8)


def tone(seconds: float = 0.5, channels: int = 1, rate: int = RATE) -> NDArray[np.float32]:
    """A 440 Hz tone at half level; each channel is a little quieter than the one before."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    levels = 0.9 ** np.arange(channels)
    samples = (wave[:, None] * levels).astype(np.float32)
    return samples[:, 0] if channels == 1 else samples


def picture(kind: str, image: Pillow.Image | None = None, **options: Any) -> bytes:
    """A picture file; the gradient where no other image is given."""
    buffer = io.BytesIO()
    (image or Pillow.fromarray(gradient())).save(buffer, kind, **options)
    return buffer.getvalue()


def sound(
    kind: str, samples: NDArray[np.float32] | None = None, rate: int = RATE, subtype: str | None = None
) -> bytes:
    """A sound file; the tone where no other samples are given."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone() if samples is None else samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def film(
    container: str = "mp4",
    codec: str = "libx264",
    frames: int = 12,
    size: tuple[int, int] = (48, 32),
    rate: int = 12,
    voice: str | None = None,
    **options: str,
) -> bytes:
    """A film whose frames go from black to white, with a sound track where a codec for it is named."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=Fraction(rate))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        track = output.add_stream(voice, rate=48_000, layout="mono") if voice else None
        for index in range(frames):
            pixels = np.full((size[1], size[0], 3), 255 * index // max(1, frames - 1), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
        if track is not None:
            assert isinstance(track, av.AudioStream)
            _add_sound(output, track)
    return buffer.getvalue()


def recording(container: str = "ipod", codec: str = "aac") -> bytes:
    """A sound track alone in a film's container, as phones record it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        track = output.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(track, av.AudioStream)
        _add_sound(output, track)
    return buffer.getvalue()


def _add_sound(output: "av.container.OutputContainer", track: "av.AudioStream") -> None:
    samples = tone(1.0, rate=48_000)
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
    frame.sample_rate = 48_000
    for part in av.AudioResampler(format=track.format, layout=track.layout, rate=48_000).resample(frame):
        output.mux(track.encode(part))
    output.mux(track.encode(None))


PICTURES = {
    "image/png": picture("PNG"),
    "image/jpeg": picture("JPEG", quality=95),
    "image/webp": picture("WEBP", lossless=True),
    "image/gif": picture("GIF"),
    "image/bmp": picture("BMP"),
    "image/tiff": picture("TIFF"),
}
SOUNDS = {
    "audio/wav": sound("WAV"),
    "audio/flac": sound("FLAC"),
    "audio/ogg": sound("OGG"),
    "audio/mpeg": sound("MP3"),
    "audio/mp4": recording(),
}
FILMS = {
    "video/mp4": film(),
    "video/quicktime": film("mov"),
    "video/webm": film("webm", "libvpx"),
    "video/x-matroska": film("matroska"),
    "video/x-msvideo": film("avi", "mpeg4"),
}
TEXTS = {"text/plain": "Grüße, 世界".encode()}
FILES = PICTURES | SOUNDS | FILMS | TEXTS
