"""Files become values, or one of two errors; limits hold before the work is done."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from deployments.decode import check, decode
from deployments.errors import MediaError, TooLargeError
from deployments.media import LIMITS, Audio, File, Image, Limits, Video, media_type, modality_of
from model_catalog.tasks import MEDIA, Modality
from tests.deployments.samples import (
    FILES,
    FILMS,
    PICTURES,
    RATE,
    SOUNDS,
    film,
    gradient,
    picture,
    recording,
    sound,
    tone,
)


def file(data: bytes, name: str = "") -> File:
    return File(data, media_type(data, name))


def image(data: bytes, limits: Limits = LIMITS) -> Image:
    value = decode(file(data), Modality.IMAGE, limits)
    assert isinstance(value, Image)
    return value


def audio(data: bytes, limits: Limits = LIMITS) -> Audio:
    value = decode(file(data), Modality.AUDIO, limits)
    assert isinstance(value, Audio)
    return value


def video(data: bytes, limits: Limits = LIMITS) -> Video:
    value = decode(file(data), Modality.VIDEO, limits)
    assert isinstance(value, Video)
    return value


def complaint(look: Callable[[File], object], data: bytes) -> str:
    """What a look at the bytes says, empty where they pass; no other error may come out."""
    try:
        look(file(data))
    except MediaError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_every_format_are_decoded(kind: str) -> None:
    check(file(PICTURES[kind]))
    pixels = image(PICTURES[kind]).pixels
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - gradient()).mean()
    assert difference < {"image/jpeg": 6, "image/gif": 12}.get(kind, 0.001)


def test_grey_alpha_palette_and_cmyk_pictures() -> None:
    base = Pillow.fromarray(gradient())
    assert image(picture("PNG", base.convert("L"))).pixels.ndim == 2
    assert set(np.unique(image(picture("PNG", base.convert("1"))).pixels)) == {0, 255}
    assert image(picture("PNG", base.convert("LA"))).pixels.shape == (24, 40, 4)
    assert image(picture("PNG", base.convert("RGBA"))).pixels.shape == (24, 40, 4)
    assert image(picture("PNG", base.convert("P"))).pixels.shape == (24, 40, 3)
    assert image(picture("PNG", base.convert("P"), transparency=0)).pixels.shape == (24, 40, 4)
    cmyk = image(picture("JPEG", base.convert("CMYK"), quality=95)).pixels
    assert cmyk.shape == (24, 40, 3)
    assert np.abs(cmyk.astype(int) - gradient()).mean() < 12


def test_deep_pictures_are_brought_to_eight_bits() -> None:
    deep = np.array([[0, 32768, 65535]], np.uint16)
    assert image(picture("PNG", Pillow.fromarray(deep))).pixels.tolist() == [[0, 128, 255]]
    assert image(picture("TIFF", Pillow.fromarray(deep))).pixels.tolist() == [[0, 128, 255]]
    floats = np.array([[-1.0, 0.0, np.nan, 1.0]], np.float32)
    assert image(picture("TIFF", Pillow.fromarray(floats))).pixels.tolist() == [[0, 128, 128, 255]]
    flat = np.full((1, 2), 7, np.int32)
    assert image(picture("TIFF", Pillow.fromarray(flat))).pixels.tolist() == [[0, 0]]


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_photographs_come_upright(orientation: int, turns: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    lying = picture("JPEG", exif=exif, quality=95, subsampling=0)
    upright = np.rot90(gradient(), turns)
    assert np.abs(image(lying).pixels.astype(int) - upright).mean() < 6


def test_damaged_exif_data_does_not_spoil_a_picture() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = picture("JPEG", exif=exif).replace(b"Exif\0\0MM\0*", b"Exif\0\0MM\0*".replace(b"*", b"!"), 1)
    assert image(data).pixels.shape[2] == 3


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = picture("GIF", frames[0], save_all=True, append_images=frames[1:])
    assert image(data).pixels[0, 0].tolist() == [255, 0, 0]


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("width", "height"), [(7000, 7000), (10_000, 9_500), (60_000, 60_000), (2**31 - 1, 1)]
)
def test_decompression_bombs_are_refused_by_their_header(width: int, height: int) -> None:
    rows = zlib.compress(bytes(1000))
    bomb = _png_header(width, height) + struct.pack(">I", len(rows)) + b"IDAT" + rows + bytes(4)
    begun = time.thread_time()
    for look in (check, lambda f: decode(f, Modality.IMAGE)):
        with pytest.raises(TooLargeError, match="40 million pixels; scale it down"):
            look(file(bomb))
    assert time.thread_time() - begun < 0.5


def test_a_picture_at_the_limit_passes_and_one_over_it_does_not() -> None:
    data = PICTURES["image/png"]
    assert image(data, replace(LIMITS, max_pixels=24 * 40)).pixels.shape == (24, 40, 3)
    with pytest.raises(TooLargeError):
        image(data, replace(LIMITS, max_pixels=24 * 40 - 1))


@pytest.mark.parametrize("kind", FILES)
def test_files_over_the_byte_limit_are_refused(kind: str) -> None:
    limits = replace(LIMITS, max_bytes=len(FILES[kind]) - 1)
    with pytest.raises(TooLargeError, match="MiB; send a smaller one"):
        check(file(FILES[kind]), limits)
    check(file(FILES[kind]), replace(LIMITS, max_bytes=len(FILES[kind])))


@pytest.mark.parametrize("kind", SOUNDS)
def test_recordings_of_every_format_are_decoded(kind: str) -> None:
    check(file(SOUNDS[kind]))
    value = audio(SOUNDS[kind])
    seconds, rate = (1.0, 48_000) if kind == "audio/mp4" else (0.5, RATE)
    assert value.rate == rate
    assert value.samples.dtype == np.float32
    assert len(value.samples) / rate == pytest.approx(seconds, abs=0.1)
    spectrum = np.abs(np.fft.rfft(value.samples[: rate // 2]))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_depths_of_wav_and_channels_are_kept(subtype: str) -> None:
    samples = tone(0.1, channels=3)
    value = audio(sound("WAV", samples, subtype=subtype))
    assert value.samples.shape == samples.shape
    assert np.abs(value.samples - samples).max() < 0.05


def test_samples_outside_the_scale_are_brought_inside() -> None:
    wild = np.array([3.0, -3.0, np.nan, np.inf, 0.5] * 10, np.float32)
    value = audio(sound("WAV", wild, subtype="FLOAT"))
    assert value.samples[:5].tolist() == [1.0, -1.0, 0.0, 1.0, 0.5]


def test_limits_of_recordings() -> None:
    two = sound("FLAC", tone(1.0, channels=2))
    for limits, words in (
        (replace(LIMITS, max_audio_seconds=0.9), "over 0.9 seconds"),
        (replace(LIMITS, max_audio_channels=1), "over 1 channels"),
        (replace(LIMITS, max_audio_samples=2 * RATE - 1), "too many samples"),
    ):
        with pytest.raises(TooLargeError, match=words):
            check(file(two), limits)
        with pytest.raises(TooLargeError, match=words):
            audio(two, limits)
    at_the_limit = Limits(max_audio_seconds=1.0, max_audio_channels=2, max_audio_samples=2 * RATE)
    assert audio(two, at_the_limit).samples.shape == (RATE, 2)


def test_a_long_silence_in_a_small_file_is_refused_before_it_is_decoded() -> None:
    silence = sound("FLAC", np.zeros(8000 * 1801, np.float32), 8000)
    assert len(silence) < 200_000
    with pytest.raises(TooLargeError, match="1800 seconds"):
        check(file(silence))
    with pytest.raises(TooLargeError, match="1800 seconds"):
        audio(silence)


def test_an_empty_recording_is_refused() -> None:
    for look in (check, lambda f: decode(f, Modality.AUDIO)):
        with pytest.raises(MediaError, match="empty"):
            look(file(sound("WAV", np.zeros(0, np.float32))))


@pytest.mark.parametrize("kind", FILMS)
def test_films_of_every_format_are_decoded(kind: str) -> None:
    check(file(FILMS[kind]))
    value = video(FILMS[kind])
    assert value.frames.shape == (12, 32, 48, 3)
    assert value.rate == pytest.approx(12, rel=0.01)
    levels = value.frames.mean(axis=(1, 2, 3))
    assert levels[0] < 8
    assert levels[-1] > 247
    assert (np.diff(levels) > 5).all()


def test_a_long_film_is_thinned_evenly() -> None:
    value = video(film(frames=50), replace(LIMITS, max_video_frames=20))
    levels = value.frames.mean(axis=(1, 2, 3))
    assert len(value.frames) == 17
    assert value.rate == pytest.approx(4)
    assert levels == pytest.approx(np.arange(0, 50, 3) * 255 / 49, abs=4)


def test_limits_of_films() -> None:
    data = film(frames=24)
    for limits, words in (
        (replace(LIMITS, max_video_seconds=1.9), "over 1.9 seconds"),
        (replace(LIMITS, max_frame_pixels=48 * 32 - 1), "pixels a frame"),
    ):
        with pytest.raises(TooLargeError, match=words):
            check(file(data), limits)
        with pytest.raises(TooLargeError, match=words):
            video(data, limits)
    check(file(data), replace(LIMITS, max_video_seconds=2.0, max_frame_pixels=48 * 32))


def test_a_film_that_hides_its_length_is_held_to_the_limits_while_it_is_read() -> None:
    data = film("matroska", frames=24, live="1")
    with av.open(io.BytesIO(data), "r") as container:
        assert not container.duration
        assert not container.streams.video[0].frames
    check(file(data), replace(LIMITS, max_video_seconds=0.5))
    with pytest.raises(TooLargeError, match=r"over 0\.5 seconds"):
        video(data, replace(LIMITS, max_video_seconds=0.5))
    assert len(video(data, replace(LIMITS, max_video_frames=10)).frames) == 10


def _turned(data: bytes) -> bytes:
    """The film with a header that says: show it turned by 90 degrees clockwise."""
    start = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    return data[:start] + matrix + data[start + 36 :]


def test_films_come_upright() -> None:
    buffer = io.BytesIO()
    top_white = np.zeros((32, 48, 3), np.uint8)
    top_white[:16] = 255
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=4)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(top_white, format="rgb24")))
        output.mux(stream.encode(None))
    lying = buffer.getvalue()
    assert video(lying).frames[0, 4, :, 0].min() > 240
    upright = video(_turned(lying)).frames[0]
    assert upright.shape == (48, 32, 3)
    assert upright[:, 28, 0].min() > 240
    assert upright[:, 4, 0].max() < 15


def test_the_sound_of_a_film_is_heard() -> None:
    data = film(frames=12, voice="aac")
    check(file(data))
    value = audio(data)
    assert value.rate == 48_000
    assert len(value.samples) / value.rate == pytest.approx(1.0, abs=0.1)
    assert np.sqrt(np.square(value.samples).mean()) == pytest.approx(0.35, abs=0.05)
    with pytest.raises(TooLargeError, match="seconds"):
        audio(data, replace(LIMITS, max_audio_seconds=0.5))


def test_films_without_sound_and_sound_without_pictures_say_so() -> None:
    with pytest.raises(MediaError, match="no sound"):
        audio(FILMS["video/mp4"])
    alone = recording("webm", "libopus")
    check(file(alone))
    with pytest.raises(MediaError, match="sound alone"):
        video(alone)
    with pytest.raises(TooLargeError, match="seconds"):
        check(file(alone), replace(LIMITS, max_audio_seconds=0.5))


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("modality", sorted(MEDIA))
def test_a_file_of_another_modality_is_refused(kind: str, modality: Modality) -> None:
    own = modality_of(kind)
    if modality is own or (own, modality) in {
        (Modality.VIDEO, Modality.AUDIO),
        (Modality.TEXT, Modality.TABLE),
    }:
        return
    with pytest.raises(MediaError, match=f"file of {own} was given where {modality} is needed"):
        decode(file(FILES[kind]), modality)


def test_a_declared_type_is_not_believed() -> None:
    lied = File(FILES["image/png"], "audio/wav")
    check(lied)
    assert isinstance(decode(lied, Modality.IMAGE), Image)
    with pytest.raises(MediaError, match="file of image was given where audio"):
        decode(lied, Modality.AUDIO)
    with pytest.raises(MediaError):
        decode(File(b"#EXTM3U\nfile:///etc/hostname\n", "video/mp4"), Modality.VIDEO)


@pytest.mark.parametrize("kind", [*PICTURES, *SOUNDS, *FILMS])
def test_truncated_files_give_a_value_or_one_plain_error(kind: str) -> None:
    data = FILES[kind]
    words = [
        complaint(lambda f: decode(f, modality_of(kind)), data[: int(len(data) * share)])
        for share in (0.001, 0.05, 0.3, 0.6, 0.9)
    ]
    assert words[0]
    for said in filter(None, words):
        assert said.endswith(".")
        assert not any(leak in said for leak in ("PIL", "libsnd", "Invalid data", "rrno", "<none>"))


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "image/tiff", "video/mp4"])
def test_a_file_cut_in_half_is_refused(kind: str) -> None:
    with pytest.raises(MediaError, match="damaged, cut short"):
        decode(file(FILES[kind][: len(FILES[kind]) // 2]), modality_of(kind))


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", *(data[:40] for data in FILES.values())]),
    st.sampled_from(list(Modality)),
)
def test_no_bytes_bring_out_any_other_error(tail: bytes, head: bytes, modality: Modality) -> None:
    for look in (check, lambda f: decode(f, modality)):
        assert complaint(look, head + tail)[-1:] in {"", "."}


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_no_flipped_byte_brings_out_any_other_error(kind: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[kind])
    for place, value in flips:
        data[int(place * (len(data) - 1))] = value
    for look in (check, lambda f: decode(f, modality_of(kind))):
        assert complaint(look, bytes(data))[-1:] in {"", "."}
