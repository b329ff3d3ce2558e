"""What files are by their bytes, and the small conversions of values."""

import subprocess
import sys

import numpy as np
import pytest

from deployments.errors import MediaError
from deployments.media import Audio, Image, extension, media_type, modality_of, mono, rgb, sniff
from model_catalog.tasks import Modality
from tests.deployments.samples import FILES, sound, tone


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_of_file_is_known_by_its_first_bytes(kind: str) -> None:
    assert sniff(FILES[kind][:64]) == kind
    assert media_type(FILES[kind], "wrong.exe") == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xfb\x90\x64" + bytes(60), "audio/mpeg"),
        (b"ID3\x04\x00" + bytes(60), "audio/mpeg"),
        (b"RF64\xff\xff\xff\xffWAVE", "audio/wav"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
    ],
)
def test_rarer_headers_are_known(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize("brand", ["avif", "avis", "heic", "heix", "mif1", "msf1", "jp2 "])
def test_pictures_in_boxes_are_not_taken_for_films(brand: str) -> None:
    assert sniff(b"\0\0\0\x1cftyp" + brand.encode() + b"\0\0\0\0") is None


@pytest.mark.parametrize(
    "words", ["BMW cars are fast", "ID3 tags", "RIFF raff", "GIF or PNG?", "fLaCid", "OggSays", "MM", ""]
)
def test_words_that_begin_like_a_signature_are_text(words: str) -> None:
    assert sniff(words.encode()) == "text/plain"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a\0b", b"\x80abc", bytes(100), b"%PDF-1.7 \xe2\xe3"])
def test_bytes_of_no_known_kind_are_unknown(data: bytes) -> None:
    assert sniff(data) is None
    assert media_type(data) == "application/octet-stream"
    with pytest.raises(MediaError, match="send one of: png"):
        modality_of(media_type(data))


def test_a_letter_cut_at_the_end_of_the_head_is_still_text() -> None:
    assert sniff("é".encode()[:1]) == "text/plain"
    assert media_type("é".encode() * 4000) == "text/plain"


@pytest.mark.parametrize(
    "markup", [b"<html><script>alert(1)</script>", b"<svg xmlns='x'/>", b"<?xml version='1.0'?>"]
)
@pytest.mark.parametrize("name", ["", "page.html", "drawing.svg"])
def test_markup_is_plain_text_whatever_its_name(markup: bytes, name: str) -> None:
    assert media_type(markup, name) == "text/plain"


def test_a_name_tells_csv_and_json_from_other_text_and_nothing_else() -> None:
    assert media_type(b"a,b\n1,2", "Prices.CSV") == "text/csv"
    assert media_type(b"a\tb", "prices.tsv") == "text/csv"
    assert media_type(b"{}", "x.json") == "application/json"
    assert media_type(b"a,b", "csv") == "text/plain"
    assert media_type(FILES["image/png"], "x.csv") == "image/png"


def test_modalities_and_endings_follow_from_the_media_type() -> None:
    assert modality_of("image/webp") is Modality.IMAGE
    assert modality_of("AUDIO/WAV") is Modality.AUDIO
    assert modality_of("text/plain; charset=utf-8") is Modality.TEXT
    assert modality_of("text/csv") is Modality.TABLE
    assert modality_of("application/json") is Modality.DATA
    assert [extension(kind) for kind in ("image/jpeg", "video/x-matroska", "text/plain; x", "a/b")] == [
        "jpg",
        "mkv",
        "txt",
        "bin",
    ]


def test_grey_and_transparent_pixels_become_rgb() -> None:
    grey = np.array([[0, 200]], np.uint8)
    assert rgb(Image(grey)).tolist() == [[[0, 0, 0], [200, 200, 200]]]
    glass = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    assert rgb(Image(glass)).tolist() == [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    opaque = np.zeros((2, 2, 3), np.uint8)
    assert rgb(Image(opaque)) is opaque


def test_channels_are_averaged() -> None:
    stereo = np.array([[0.5, -0.5], [0.25, 0.75]], np.float32)
    mixed = mono(Audio(stereo, 8000))
    assert mixed.samples.tolist() == [0.0, 0.5]
    assert mixed.samples.dtype == np.float32
    assert mixed.rate == 8000


@pytest.mark.parametrize(("old", "new"), [(16_000, 48_000), (44_100, 16_000), (48_000, 44_100)])
def test_resampling_keeps_the_tone_and_its_length(old: int, new: int) -> None:
    result = mono(Audio(tone(1.0, rate=old), old), new)
    assert result.rate == new
    assert len(result.samples) == new
    middle = slice(new // 10, -new // 10)
    assert np.abs(result.samples[middle] - tone(1.0, rate=new)[middle]).max() < 0.01


@pytest.mark.parametrize("length", [0, 1, 3, 17])
def test_clips_shorter_than_the_filter_are_resampled(length: int) -> None:
    result = mono(Audio(np.full(length, 0.25, np.float32), 8000), 24_000)
    assert len(result.samples) == 3 * length
    assert np.allclose(result.samples, 0.25, atol=0.1)


def test_importing_media_loads_no_decoder() -> None:
    program = (
        "import sys, deployments.media, deployments.decode, deployments.encode\n"
        "print([name for name in ('PIL', 'soundfile', 'av', 'scipy', 'torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_samples_differ_from_their_neighbours() -> None:
    assert sound("WAV", tone(channels=2)) != sound("WAV")
