"""Values become files that read back as the same values."""

import csv
import io
import time
import wave

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deployments.decode import decode
from deployments.encode import encode
from deployments.errors import MediaError
from deployments.media import Audio, File, Image, Table, Value, Video, media_type
from model_catalog.tasks import Modality
from tests.deployments.samples import gradient, tone


def encoded(value: Value) -> File:
    made = encode(value)
    if made.media_type != "text/csv":
        assert media_type(made.data) == made.media_type
    return made


@given(arrays.arrays(np.uint8, st.sampled_from([(1, 1), (5, 7), (3, 4, 3), (6, 2, 4)])))
def test_pictures_come_back_pixel_by_pixel(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    back = decode(encoded(Image(pixels)), Modality.IMAGE)
    assert isinstance(back, Image)
    assert back.pixels.shape == pixels.shape
    assert (back.pixels == pixels).all()


def test_a_picture_of_ten_megabytes_is_quick() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (1800, 1950, 3))
    pixels = np.clip(gradient(1800, 1950) + noise, 0, 255).astype(np.uint8)
    begun = time.thread_time()
    encode(Image(pixels))
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_recordings_come_back_sample_by_sample(channels: int) -> None:
    samples = tone(0.2, channels=channels)
    back = decode(encoded(Audio(samples, 22_050)), Modality.AUDIO)
    assert isinstance(back, Audio)
    assert back.rate == 22_050
    assert back.samples.shape == samples.shape
    assert np.abs(back.samples - samples).max() < 1e-4


def test_recordings_are_16_bit_and_clipped() -> None:
    made = encode(Audio(np.array([0, 2, -2, np.nan, 0.5], np.float32), 8000))
    with wave.open(io.BytesIO(made.data)) as reader:
        assert (reader.getsampwidth(), reader.getnchannels(), reader.getframerate()) == (2, 1, 8000)
        assert np.frombuffer(reader.readframes(9), "<i2").tolist() == [0, 32767, -32767, 0, 16384]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 48), (32, 49), (1, 1)])
def test_films_come_back_frame_by_frame(height: int, width: int) -> None:
    frames = np.stack([np.full((height, width, 3), level, np.uint8) for level in range(0, 250, 25)])
    back = decode(encoded(Video(frames, 12.5)), Modality.VIDEO)
    assert isinstance(back, Video)
    assert back.rate == pytest.approx(12.5)
    assert back.frames.shape == (10, height + height % 2, width + width % 2, 3)
    assert np.abs(back.frames.mean(axis=(1, 2, 3)) - np.arange(0, 250, 25)).max() < 4


def test_films_play_in_a_browser() -> None:
    data = encode(Video(np.zeros((3, 32, 32, 3), np.uint8), 29.97)).data
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == pytest.approx(29.97, abs=0.001)


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@given(
    st.integers(2, 4).flatmap(lambda width: st.lists(st.tuples(*[_CELLS] * width), min_size=1, max_size=5))
)
def test_tables_keep_every_cell(lines: list[tuple[str, ...]]) -> None:
    made = encode(Table(lines[0], tuple(lines[1:])))
    assert made.media_type == "text/csv"
    assert [tuple(row) for row in csv.reader(io.StringIO(made.data.decode(), newline=""))] == lines


def test_tables_come_back() -> None:
    value = Table(("name", "note"), (('a "quoted" one', "x, y; z\nnew line"), ("", "1")))
    assert decode(encoded(value), Modality.TABLE) == value


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff")))
def test_texts_come_back(text: str) -> None:
    made = encode(text)
    assert made.media_type == "text/plain"
    if media_type(made.data) == "text/plain":
        assert decode(made, Modality.TEXT) == text


def test_broken_surrogates_do_not_stop_a_text() -> None:
    assert encode("a\ud800b").data == b"a?b"


@pytest.mark.parametrize(
    "value",
    [
        Image(np.zeros((0, 4, 3), np.uint8)),
        Image(np.zeros((4, 4, 2), np.uint8)),
        Audio(np.zeros((2, 2, 2), np.float32), 8000),
        Audio(np.zeros(2, np.float32), 0),
        Video(np.zeros((0, 4, 4, 3), np.uint8), 8.0),
        Video(np.zeros((2, 4, 4), np.uint8), 8.0),
        Video(np.zeros((2, 4, 4, 3), np.uint8), 0.0),
    ],
)
def test_values_without_a_shape_are_refused(value: Value) -> None:
    with pytest.raises(MediaError, match="cannot be stored; run the task again"):
        encode(value)
