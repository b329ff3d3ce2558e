"""Values of each modality, the limits they are held to, and what a file is by its first bytes.

Nothing here believes a name or a declared type: the bytes decide. ``deployments.decode`` turns files into
values, ``deployments.encode`` values into files.
"""

import codecs
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.errors import MediaError
from model_catalog.tasks import Modality


@dataclass(frozen=True, slots=True)
class Image:
    """A picture; ``pixels`` is uint8, height × width × 3 (RGB) or 4 (RGBA), or height × width (grey)."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording; ``samples`` is float32 in [-1, 1], shape (n,) mono or (n, channels), at ``rate`` Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True, slots=True)
class Video:
    """Moving pictures; ``frames`` is uint8, n × height × width × 3, at ``rate`` frames a second."""

    frames: NDArray[np.uint8]
    rate: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table of strings; every row has as many cells as ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class File:
    """An encoded file, as it came from outside or goes out: bytes and their media type."""

    data: bytes
    media_type: str


Value = str | Image | Audio | Video | Table
"""What passes between the dispatcher, the experts and the artifact deployment."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is taken: from one file, and of a node.

    Attributes:
        max_bytes: bytes of the file itself.
        max_pixels: pixels of a picture.
        max_audio_seconds: length of a recording.
        max_audio_channels: channels of a recording.
        max_audio_samples: samples of a recording, all channels together; bounds its memory (4 bytes each).
        max_video_seconds: length of a video.
        max_video_frames: frames kept of a video; a longer one is thinned evenly to this many.
        max_frame_pixels: pixels of one frame of a video, 1080p by default.
        max_table_cells: cells of a table.
        max_text_characters: characters of a text that an expert is given.
        max_weights_ram: bytes of weights that a node keeps in RAM for models that sleep; None for a quarter
            of its RAM.

    """

    max_bytes: int = 100 * 2**20
    max_pixels: int = 40_000_000
    max_audio_seconds: float = 1800.0
    max_audio_channels: int = 8
    max_audio_samples: int = 180_000_000
    max_video_seconds: float = 300.0
    max_video_frames: int = 256
    max_frame_pixels: int = 1920 * 1088
    max_table_cells: int = 1_000_000
    max_text_characters: int = 50_000
    max_weights_ram: int | None = None


LIMITS = Limits()
"""The limits where an operator sets none."""

_KINDS: dict[str, tuple[Modality, str]] = {
    "image/png": (Modality.IMAGE, "png"),
    "image/jpeg": (Modality.IMAGE, "jpg"),
    "image/webp": (Modality.IMAGE, "webp"),
    "image/gif": (Modality.IMAGE, "gif"),
    "image/bmp": (Modality.IMAGE, "bmp"),
    "image/tiff": (Modality.IMAGE, "tiff"),
    "audio/wav": (Modality.AUDIO, "wav"),
    "audio/flac": (Modality.AUDIO, "flac"),
    "audio/ogg": (Modality.AUDIO, "ogg"),
    "audio/mpeg": (Modality.AUDIO, "mp3"),
    "audio/mp4": (Modality.AUDIO, "m4a"),
    "video/mp4": (Modality.VIDEO, "mp4"),
    "video/quicktime": (Modality.VIDEO, "mov"),
    "video/webm": (Modality.VIDEO, "webm"),
    "video/x-matroska": (Modality.VIDEO, "mkv"),
    "video/x-msvideo": (Modality.VIDEO, "avi"),
    "text/plain": (Modality.TEXT, "txt"),
    "text/csv": (Modality.TABLE, "csv"),
    "application/json": (Modality.DATA, "json"),
}

_NAMED_TEXT = {".csv": "text/csv", ".tsv": "text/csv", ".json": "application/json"}

UNKNOWN = "application/octet-stream"
"""The media type of bytes that are none of the known kinds."""

# Pictures of the HEIF family and JPEG 2000 share the box structure of MP4 and must not pass for films.
_SIGNATURES = tuple(
    (media_type, re.compile(pattern, re.DOTALL))
    for media_type, pattern in (
        ("image/png", rb"\x89PNG\r\n\x1a\n"),
        ("image/jpeg", rb"\xff\xd8\xff"),
        ("image/webp", rb"RIFF.{4}WEBP"),
        ("image/gif", rb"GIF8[79]a"),
        ("image/bmp", rb"BM.{4}\0{4}.{4}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0{3}"),
        ("image/tiff", rb"II[*+]\0|MM\0[*+]"),
        ("audio/wav", rb"(?:RIFF|RF64).{4}WAVE"),
        ("audio/flac", rb"fLaC[\x00\x80]\0\0\x22"),
        ("audio/ogg", rb"OggS\0"),
        ("audio/mpeg", rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]"),
        ("audio/mp4", rb"\0.{3}ftypM4[AB] "),
        ("video/quicktime", rb"\0.{3}(?:ftypqt|moov|mdat|wide)"),
        ("video/mp4", rb"\0.{3}ftyp(?!avi[fs]|he[iv][cmsx]|mif1|msf1|crx |jp[2mx] )"),
        ("video/webm", rb"\x1a\x45\xdf\xa3.{,60}webm"),
        ("video/x-matroska", rb"\x1a\x45\xdf\xa3"),
        ("video/x-msvideo", rb"RIFF.{4}AVI "),
    )
)


def sniff(head: bytes) -> str | None:
    """The media type of a file by its first bytes (64 or more), None where they tell nothing.

    UTF-8 text is ``text/plain`` whatever it says, markup included, so that no browser ever runs it.
    """
    for media_type, signature in _SIGNATURES:
        if signature.match(head):
            return media_type
    if head.startswith(b"%PDF-"):
        return None  # it may be all ASCII, and yet is no text to read
    return "text/plain" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def media_type(data: bytes, name: str = "") -> str:
    """The media type of a file; of its name, only the ending that tells CSV and JSON from other text counts.

    Bytes of no known kind are ``application/octet-stream``.
    """
    found = sniff(data[:4096])
    if found != "text/plain":
        return found or UNKNOWN
    lowered = name.lower()
    return next((kind for ending, kind in _NAMED_TEXT.items() if lowered.endswith(ending)), found)


def modality_of(media_type: str) -> Modality:
    """The modality of files of this media type.

    Raises:
        MediaError: it is none that can be used.

    """
    known = _KINDS.get(media_type.partition(";")[0].strip().lower())
    if known is None:
        endings = ", ".join(ending for _, ending in _KINDS.values())
        raise MediaError(f"This kind of file cannot be used; send one of: {endings}.")
    return known[0]


def extension(media_type: str) -> str:
    """The usual ending of a file's name, without the dot: ``png``; ``bin`` for unknown media types."""
    known = _KINDS.get(media_type.partition(";")[0].strip().lower())
    return known[1] if known else "bin"


_ENDINGS = {ending: media_type for media_type, (_, ending) in _KINDS.items()}


def kind_of(ending: str) -> str:
    """The media type of files with that ending, as ``extension`` gives it."""
    return _ENDINGS.get(ending, UNKNOWN)


def rgb(image: Image) -> NDArray[np.uint8]:
    """The picture's pixels as height × width × 3, what is transparent laid on white."""
    pixels = image.pixels
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[:, :, 3:].astype(np.uint16)
    blended = (pixels[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return blended.astype(np.uint8)


def mono(audio: Audio, rate: int | None = None) -> Audio:
    """The recording with its channels averaged into one, and resampled where a ``rate`` (Hz) is given."""
    samples = audio.samples if audio.samples.ndim == 1 else audio.samples.mean(axis=1, dtype=np.float32)
    if rate is None or rate == audio.rate or not samples.size:
        return Audio(samples, rate or audio.rate)
    return Audio(_resample(samples, audio.rate, rate), rate)


def _resample(samples: NDArray[np.float32], old: int, new: int) -> NDArray[np.float32]:
    """Band-limited resampling; the result has ``round(n * new / old)`` samples."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=new)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None, :], format="flt", layout="mono")
    frame.sample_rate = old
    blocks = [block.to_ndarray()[0] for part in (frame, None) for block in resampler.resample(part)]
    length = max(1, round(len(samples) * new / old))
    # A clip shorter than the filter comes out empty; it then stays level.
    joined = np.concatenate([*blocks, samples[-1:]] if blocks else [samples])[:length]
    return np.pad(joined, (0, length - len(joined)), mode="edge").astype(np.float32, copy=False)
