"""From files to values: every limit is checked before the expensive part, and no decoder's words get out."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deployments.errors import MediaError, TooLargeError
from deployments.media import LIMITS, Audio, File, Image, Limits, Table, Value, Video, media_type, modality_of
from model_catalog.tasks import Modality

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image as Picture

# The one decoder that may look at each kind of file: a forged file cannot pick a rarer, weaker one, and
# playlists, which name other files, are never followed.
_PICTURES = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
_CONTAINERS = {
    "audio/mp4": "mp4",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
}
_ORIENTATION = 0x0112
_FASTEST = 240  # frames a second that a camera may have
_DELIMITERS = ",;\t|"
_TEXTS = frozenset({"text/plain", "text/csv", "application/json"})


def check(file: File, limits: Limits = LIMITS) -> None:
    """Look at a file's header alone, for whether it is what its bytes say and within the limits.

    Raises:
        MediaError: it is of no known kind, or its header is broken.
        TooLargeError: it is over a limit.

    """
    kind = _kind(file, limits)
    with _reading():
        if kind in _PICTURES:
            _open_picture(file.data, kind, limits).close()
        elif kind in _CONTAINERS:
            with _container(file.data, kind) as container:
                _check_tracks(container, limits)
        elif kind in _TEXTS:
            _text(file.data)
        else:
            _check_sound(file.data, limits)


def seconds(file: File, limits: Limits = LIMITS) -> float | None:
    """The length of a recording or film as its header tells it; None where it tells none, as live ones do.

    Raises:
        MediaError: it is of no known kind, or its header is broken.

    """
    import soundfile

    kind = _kind(file, limits)
    with _reading():
        if kind in _CONTAINERS:
            with _container(file.data, kind) as container:
                return _seconds(container) or None
        return float(soundfile.info(io.BytesIO(file.data)).duration)


def decode(file: File, modality: Modality, limits: Limits = LIMITS) -> Value:
    """The value of a file, as the modality asks: the sound of a video where audio is wanted.

    A picture comes upright; a 16-bit one is brought to 8 bits; of an animation the first frame counts.

    Raises:
        MediaError: it is damaged, of no known kind, or of another modality.
        TooLargeError: it is over a limit.

    """
    kind = _kind(file, limits)
    decoder = _decoder(kind, modality)
    if decoder is None:
        found = modality_of(kind)
        raise MediaError(
            f"A file of {found.value} was given where {modality.value} is needed; send another file."
        )
    with _reading():
        return decoder(file.data, kind, limits)


def _kind(file: File, limits: Limits) -> str:
    if len(file.data) > limits.max_bytes:
        raise TooLargeError(f"The file is over {limits.max_bytes / 2**20:.3g} MiB; send a smaller one.")
    kind = media_type(file.data)
    if kind == "text/plain" and file.media_type in _TEXTS:
        kind = file.media_type
    modality_of(kind)
    return kind


Decoder = Callable[[bytes, str, Limits], Value]


def _decoder(kind: str, modality: Modality) -> Decoder | None:
    if kind in _TEXTS:
        if modality is Modality.TEXT:
            return lambda data, _kind, _limits: _text(data)
        return _table if modality is Modality.TABLE and kind != "application/json" else None
    if modality is Modality.AUDIO:
        return None if kind in _PICTURES else _track if kind in _CONTAINERS else _sound
    if modality is not modality_of(kind):
        return None
    return _picture if modality is Modality.IMAGE else _film


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever a decoder stumbles over becomes one plain error."""
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(
            "The file cannot be read: it is damaged, cut short or of a rare kind; save it anew and resend it."
        ) from error


def _open_picture(data: bytes, kind: str, limits: Limits) -> "Picture":
    from PIL import Image as Pillow

    try:
        picture = Pillow.open(io.BytesIO(data), formats=[_PICTURES[kind]])
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise _too_many_pixels(limits) from error
    if picture.width * picture.height > limits.max_pixels:
        picture.close()
        raise _too_many_pixels(limits)
    return picture


def _too_many_pixels(limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"The picture has over {limits.max_pixels / 1e6:.3g} million pixels; scale it down and send it again."
    )


def _picture(data: bytes, kind: str, limits: Limits) -> Image:
    from PIL import ImageOps

    with _open_picture(data, kind, limits) as picture:
        picture.load()
        upright = picture
        with suppress(Exception):  # damaged EXIF data does not spoil a good picture
            if picture.getexif().get(_ORIENTATION, 1) != 1:
                upright = ImageOps.exif_transpose(picture)
        return Image(_pixels(upright))


def _pixels(picture: "Picture") -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        return (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
    if picture.mode in {"I", "F"}:
        return _stretched(np.asarray(picture, dtype=np.float64))
    if picture.has_transparency_data:
        return np.array(picture.convert("RGBA"))
    return np.array(picture.convert("L" if picture.mode in {"1", "L"} else "RGB"))


def _stretched(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Levels of any range brought to 0…255, the lowest black and the highest white."""
    levels = np.nan_to_num(levels, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    return np.rint((levels - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)


def _check_sound(data: bytes, limits: Limits) -> None:
    import soundfile

    info = soundfile.info(io.BytesIO(data))
    _check_length(info.frames, info.samplerate, info.channels, limits)
    if not info.frames:
        raise MediaError("The recording is empty; send one with sound in it.")


def _check_length(frames: int, rate: int, channels: int, limits: Limits) -> None:
    if frames > limits.max_audio_seconds * rate:
        raise TooLargeError(
            f"The recording is over {limits.max_audio_seconds:.6g} seconds; send a shorter part of it."
        )
    if channels > limits.max_audio_channels:
        raise TooLargeError(
            f"The recording has over {limits.max_audio_channels} channels; mix it down first."
        )
    if frames * channels > limits.max_audio_samples:
        raise TooLargeError(
            "The recording holds too many samples; lower its rate, mix it down or shorten it."
        )


def _sound(data: bytes, _kind: str, limits: Limits) -> Audio:
    import soundfile

    _check_sound(data, limits)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    if not samples.size:
        raise MediaError("The recording is empty; send one with sound in it.")
    return Audio(_bounded(samples), int(rate))


def _bounded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    np.nan_to_num(samples, copy=False, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0, out=samples)


@contextmanager
def _container(data: bytes, kind: str) -> Iterator["InputContainer"]:
    import av

    with av.open(
        io.BytesIO(data), mode="r", format=_CONTAINERS[kind], metadata_errors="replace"
    ) as container:
        yield container


def _check_tracks(container: "InputContainer", limits: Limits) -> None:
    if container.streams.video:
        _check_film(container, limits)
    elif container.streams.audio:
        stream = container.streams.audio[0]
        _check_length(int(_seconds(container) * stream.rate), stream.rate, stream.channels, limits)
    else:
        raise MediaError("The file holds neither pictures nor sound; send another one.")


def _seconds(container: "InputContainer") -> float:
    """The length that the header claims, 0 where it claims none."""
    return max(0.0, (container.duration or 0) / 1e6)


def _track(data: bytes, kind: str, limits: Limits) -> Audio:
    """The first sound track of a film, or of an audio file in a film's container."""
    import av

    with _container(data, kind) as container:
        if not container.streams.audio:
            raise MediaError("The video has no sound; send one with a sound track.")
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
        _check_length(int(_seconds(container) * rate), rate, channels, limits)
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
        blocks: list[NDArray[np.float32]] = []
        length = 0
        for frame in container.decode(stream):
            length += frame.samples
            _check_length(length, rate, channels, limits)
            blocks.extend(_blocks(resampler.resample(frame), channels))
        blocks.extend(_blocks(resampler.resample(None), channels))
    if not length:
        raise MediaError("The recording is empty; send one with sound in it.")
    samples = np.concatenate(blocks)
    return Audio(_bounded(samples[:, 0] if channels == 1 else samples), rate)


def _blocks(frames: "list[AudioFrame]", channels: int) -> Iterator[NDArray[np.float32]]:
    return (frame.to_ndarray().reshape(-1, channels).astype(np.float32, copy=False) for frame in frames)


def _check_film(container: "InputContainer", limits: Limits) -> "VideoStream":
    if not container.streams.video:
        raise MediaError("The file holds sound alone; send a video.")
    stream = container.streams.video[0]
    if _seconds(container) > limits.max_video_seconds:
        raise _too_long(limits)
    _check_frame(stream, limits)
    return stream


def _check_frame(frame: "VideoStream | VideoFrame", limits: Limits) -> None:
    if frame.width * frame.height > limits.max_frame_pixels:
        raise TooLargeError(
            f"The video has over {limits.max_frame_pixels / 1e6:.3g} million pixels a frame; scale it down, "
            "to 1080p for instance."
        )


def _too_long(limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"The video is over {limits.max_video_seconds:g} seconds; send a shorter part of it."
    )


def _film(data: bytes, kind: str, limits: Limits) -> Video:
    """The frames of a video; one with too many keeps every n-th, at an n-th of its rate."""
    with _container(data, kind) as container:
        stream = _check_film(container, limits)
        stream.codec_context.thread_count = 2
        stream.codec_context.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or Fraction(25))
        count = stream.frames or round(_seconds(container) * rate)
        step = max(1, -(-count // limits.max_video_frames))
        frames: list[NDArray[np.uint8]] = []
        for index, frame in enumerate(container.decode(stream)):
            if max(frame.time or 0.0, index / _FASTEST) > limits.max_video_seconds:
                raise _too_long(limits)
            if index % step or len(frames) >= limits.max_video_frames:
                continue
            _check_frame(frame, limits)
            frames.append(_frame(frame, frames[0].shape if frames else None))
    if not frames:
        raise MediaError("The video has no frames; send another one.")
    return Video(np.stack(frames), rate / step)


def _frame(frame: "VideoFrame", shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """One upright RGB frame; where the size changes midway, scaled to the first frame's."""
    turns = round(frame.rotation / 90) % 4
    height, width = frame.height, frame.width
    if shape is not None:
        height, width = shape[:2] if turns % 2 == 0 else shape[1::-1]
    pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels.astype(np.uint8, copy=False), turns))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError("The text is not in UTF-8; save it in that encoding and send it again.") from error


def _table(data: bytes, _kind: str, limits: Limits) -> Table:
    text = _text(data)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    for cells in reader:
        if not cells:
            continue
        if not columns:
            columns = tuple(cells)
        else:
            rows.append(_row(cells, len(columns), reader.line_num))
        if len(columns) * (len(rows) + 1) > limits.max_table_cells:
            raise TooLargeError(f"The table has over {limits.max_table_cells:,} cells; send a part of it.")
    if not columns:
        raise MediaError("The table is empty; send one with a first row of column names.")
    return Table(columns, tuple(rows))


def _row(cells: list[str], width: int, line: int) -> tuple[str, ...]:
    if any(cells[width:]):
        raise MediaError(f"Line {line} of the table has more cells than the first row; put the row right.")
    return tuple(cells[:width]) + ("",) * (width - len(cells))
