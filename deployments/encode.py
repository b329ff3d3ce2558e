"""From values to files, in the formats that every browser shows."""

import csv
import io
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.errors import MediaError
from deployments.media import Audio, File, Image, Table, Value, Video


def encode(value: Value) -> File:
    """The value as a file: PNG, WAV (16-bit), MP4 (H.264), CSV or plain text.

    Raises:
        MediaError: the value is empty or of a shape its modality does not have.

    """
    match value:
        case str():
            # Lone surrogates come out of broken JSON escapes and have no UTF-8 form.
            return File(value.encode("utf-8", errors="replace"), "text/plain")
        case Image():
            return File(_png(value.pixels), "image/png")
        case Audio():
            return File(_wav(value), "audio/wav")
        case Video():
            return File(_mp4(value), "video/mp4")
        case Table():
            return File(_csv(value), "text/csv")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image as Pillow

    if not pixels.size or pixels.dtype != np.uint8 or pixels.shape[2:] not in {(), (3,), (4,)}:
        raise MediaError("A picture without usable pixels cannot be stored; run the task again.")
    buffer = io.BytesIO()
    # Level 1 takes a sixth to a half of the default level's time, and a picture is stored once.
    Pillow.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _wav(audio: Audio) -> bytes:
    if audio.samples.ndim not in {1, 2} or audio.rate <= 0:
        raise MediaError("A recording without usable samples cannot be stored; run the task again.")
    samples = np.nan_to_num(audio.samples.astype(np.float32, copy=False))
    levels = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1 if levels.ndim == 1 else levels.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(audio.rate)
        writer.writeframes(levels.tobytes())
    return buffer.getvalue()


def _mp4(video: Video) -> bytes:
    import av

    frames = video.frames
    if frames.ndim != 4 or frames.shape[3] != 3 or not frames.size or video.rate <= 0:
        raise MediaError("A video without usable frames cannot be stored; run the task again.")
    height, width = frames.shape[1:3]
    # H.264 in 4:2:0 has even sides; an odd one repeats its last line.
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        # The index moves to the front in a second pass over the file, which needs a real one.
        path = Path(folder, "video.mp4")
        with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(video.rate).limit_denominator(1001))
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "20"}
            stream.codec_context.thread_count = 2
            for pixels in frames:
                frame = av.VideoFrame.from_ndarray(np.pad(pixels, padding, mode="edge"), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _csv(table: Table) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return buffer.getvalue().encode("utf-8", errors="replace")
