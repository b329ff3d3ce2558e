"""Sound files in the formats that OpenAI's speech endpoint names, at another speed where asked."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.errors import RequestError
from deployments.decode import decode
from deployments.encode import encode
from deployments.media import Audio, File, mono
from model_catalog.tasks import Modality

if TYPE_CHECKING:
    from av import AudioFrame

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]

MEDIA_TYPES: dict[Format, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""The media type of each format; ``pcm`` is 16-bit little-endian mono at 24 kHz."""

_CODECS: dict[Format, tuple[str, str, int | None]] = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "opus": ("ogg", "libopus", 48_000),
    "aac": ("adts", "aac", 44_100),
    "flac": ("flac", "flac", None),
}
"""Container, encoder, and the rate it is given in Hz; None for the sound's own."""

_PCM_RATE = 24_000
_SLOWEST = 0.5
"""One filter slows no more than to this."""


def convert(data: bytes, kind: str, form: Format, speed: float = 1.0) -> bytes:
    """A sound file in another format; speech keeps its pitch at another speed.

    Args:
        data: the file.
        kind: its media type.
        form: the format wanted.
        speed: how much faster, from 0.25 to 4.

    Raises:
        MediaError: the file cannot be read.
        RequestError: this build of FFmpeg has no encoder for the format.

    """
    if form == "wav" and speed == 1.0 and kind == "audio/wav":
        return data
    sound = decode(File(data, kind), Modality.AUDIO)
    assert isinstance(sound, Audio)  # noqa: S101
    if speed != 1.0:
        sound = faster(mono(sound), speed)
    if form == "wav":
        return encode(sound).data
    if form == "pcm":
        samples = mono(sound, _PCM_RATE).samples
        return bytes(np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return _encoded(sound, form)


def _encoded(sound: Audio, form: Format) -> bytes:
    import av

    container, codec, rate = _CODECS[form]
    sound = mono(sound, rate)
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=container) as output:
            stream = output.add_stream(codec, rate=sound.rate, layout="mono")
            assert isinstance(stream, av.AudioStream)  # noqa: S101
            resampler = av.AudioResampler(stream.codec_context.format, "mono", sound.rate)
            for frame in _frames(sound):
                for piece in resampler.resample(frame):
                    output.mux(stream.encode(piece))
            for piece in resampler.resample(None):
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
    except (av.codec.codec.UnknownCodecError, ValueError):
        raise RequestError(
            f"This server cannot write {form}; ask for wav or pcm.", "response_format"
        ) from None
    return buffer.getvalue()


def _frames(sound: Audio, size: int = 4_096) -> Iterator["AudioFrame"]:
    """The samples in pieces, with their place in time."""
    import av

    for start in range(0, len(sound.samples), size):
        piece = np.ascontiguousarray(sound.samples[start : start + size])[None, :]
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout="mono")
        frame.sample_rate = sound.rate
        frame.pts = start
        frame.time_base = Fraction(1, sound.rate)
        yield frame


def faster(sound: Audio, speed: float) -> Audio:
    """Mono sound at another speed, its pitch kept."""
    import av
    from av.filter import Graph

    graph = Graph()
    nodes = [
        graph.add_abuffer(
            format="flt", sample_rate=sound.rate, layout="mono", time_base=Fraction(1, sound.rate)
        )
    ]
    while speed < _SLOWEST:
        nodes.append(graph.add("atempo", str(_SLOWEST)))
        speed /= _SLOWEST
    nodes += [graph.add("atempo", f"{speed:.6f}"), graph.add("abuffersink")]
    graph.link_nodes(*nodes).configure()
    pieces = []
    for frame in (*_frames(sound), None):
        graph.push(frame)
        while True:
            try:
                pieces.append(graph.pull().to_ndarray().reshape(-1))
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    samples = np.concatenate(pieces) if pieces else sound.samples
    return Audio(samples.astype(np.float32, copy=False), sound.rate)
