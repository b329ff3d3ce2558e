"""Resolving a call: references, files, and what cannot be filled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import InputError, MediaError, TooLargeError
from deployments.inputs import resolve
from deployments.media import LIMITS, Audio, File, Image, Limits, Table, Video
from deployments.result import Call, Input, Result, Upstream
from tests.deployments.samples import FILMS, PICTURES, SOUNDS

PICTURE = Image(np.zeros((2, 2, 3), np.uint8))
PNG = File(PICTURES["image/png"], "image/png")


def _resolve(
    args: Mapping[str, str],
    sources: Mapping[str, Upstream] | None = None,
    task: str = "image-to-image",
    limits: Limits = LIMITS,
) -> Input:
    named = sources or {}
    return resolve(Call("run", task, 9, args, tuple(named)), list(named.values()), limits)


# Texts -------------------------------------------------------------------------------------------------


def test_a_text_without_references_stays_as_it_is() -> None:
    made = _resolve({"text": "1 < 2, <GENERATED>-7 and {braces} \\g<0>"})
    assert made == Input("image-to-image", {"text": "1 < 2, <GENERATED>-7 and {braces} \\g<0>"})
    assert made.text() == made.args["text"]
    assert made.text("image") == ""


def test_references_inside_a_text_are_filled_in_one_pass() -> None:
    sources = {"<GENERATED>-1": Result(text="see <GENERATED>-2"), "<GENERATED>-2": Result(text="\\1 two")}
    made = _resolve({"text": "a <GENERATED>-1 b <GENERATED>-2 c <GENERATED>-1"}, sources)
    assert made.text() == "a see <GENERATED>-2 b \\1 two c see <GENERATED>-2"


def test_one_and_ten_are_told_apart() -> None:
    sources = {f"<GENERATED>-{n}": Result(text=f"({n})") for n in (1, 10, 100)}
    made = _resolve({"text": "<GENERATED>-10<GENERATED>-1 <GENERATED>-100, <GENERATED>-1."}, sources)
    assert made.text() == "(10)(1) (100), (1)."
    made = _resolve({"text": "<GENERATED>-10 <GENERATED>-1"}, {"<GENERATED>-1": Result(text="one")})
    assert made.text() == "<GENERATED>-10 one"


@given(
    st.lists(st.tuples(st.integers(0, 120), st.text("<>GENRATED-12 ", max_size=20)), min_size=1, max_size=8),
    st.data(),
)
def test_every_reference_becomes_its_own_text(pairs: list[tuple[int, str]], data: st.DataObject) -> None:
    texts = dict(pairs)
    parts = data.draw(
        st.lists(st.sampled_from(sorted(texts)) | st.sampled_from([" ", ", ", "<", "<GENERATED>", "x"]))
    )
    written = "|".join(f"<GENERATED>-{part}" if isinstance(part, int) else part for part in parts)
    expected = "|".join(texts[part] if isinstance(part, int) else part for part in parts)
    made = _resolve({"text": written}, {f"<GENERATED>-{n}": Result(text=text) for n, text in texts.items()})
    assert made.text() == expected


def test_a_whole_reference_may_be_an_empty_text() -> None:
    assert _resolve({"text": "<GENERATED>-1"}, {"<GENERATED>-1": Result(text="")}).args == {"text": ""}


@pytest.mark.parametrize("text", ["<GENERATED>-1", "so: <GENERATED>-1!"])
def test_a_result_without_words_cannot_fill_a_text(text: str) -> None:
    with pytest.raises(InputError, match="<GENERATED>-1 gave no text for 'text'; ask for a task"):
        _resolve({"text": text}, {"<GENERATED>-1": Result(image=PICTURE)})


def test_a_stored_text_is_read_and_its_references_are_not_filled() -> None:
    path = "/files/" + "0" * 32 + ".txt"
    sources: dict[str, Upstream] = {
        path: File("Grüße <GENERATED>-1".encode(), "text/plain"),
        "<GENERATED>-1": Result(text="no"),
    }
    assert _resolve({"text": path}, sources).text() == "Grüße <GENERATED>-1"
    assert _resolve({"text": f"see {path}"}, sources).text() == f"see {path}"


# Media -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "name", "result", "value"),
    [
        ("image-to-image", "image", Result(image=PICTURE, text="words"), PICTURE),
        ("image-to-image", "text", Result(image=PICTURE, text="words"), "words"),
        ("audio-to-audio", "audio", Result(audio=(sound := Audio(np.zeros(4, np.float32), 8000))), sound),
        ("video-classification", "video",
         Result(video=(film := Video(np.zeros((1, 2, 2, 3), np.uint8), 1.0))), film),
        ("table-question-answering", "table", Result(table=(table := Table(("a",), ()))), table),
    ],
)  # fmt: skip
def test_a_reference_takes_what_the_argument_needs(task: str, name: str, result: Result, value: Any) -> None:
    made = _resolve({name: "<GENERATED>-0"}, {"<GENERATED>-0": result}, task)
    assert made.args[name] is value


@pytest.mark.parametrize(
    ("task", "name"),
    [("image-to-image", "image"), ("audio-to-audio", "audio"), ("video-classification", "video")],
)
def test_a_result_without_the_modality_is_refused(task: str, name: str) -> None:
    with pytest.raises(InputError, match=f"gave no {name} for '{name}'"):
        _resolve({name: "<GENERATED>-0"}, {"<GENERATED>-0": Result(text="words", data=[1])}, task)


def test_files_are_decoded_as_the_argument_needs() -> None:
    made = _resolve({"image": "/images/x.png"}, {"/images/x.png": PNG})
    assert isinstance(made.args["image"], Image)
    wav = File(SOUNDS["audio/wav"], "audio/wav")
    assert isinstance(_resolve({"audio": "a"}, {"a": wav}, "audio-to-audio").args["audio"], Audio)
    mp4 = File(FILMS["video/mp4"], "video/mp4")
    assert isinstance(_resolve({"video": "v"}, {"v": mp4}, "video-classification").args["video"], Video)
    csv = File(b"a,b\n1,2\n", "text/csv")
    made = _resolve({"table": "t", "text": "t"}, {"t": csv}, "table-question-answering")
    assert made.args == {"table": Table(("a", "b"), (("1", "2"),)), "text": "a,b\n1,2\n"}


def test_a_file_of_another_kind_or_over_a_limit_is_refused() -> None:
    with pytest.raises(MediaError, match="audio is needed"):
        _resolve({"audio": "a"}, {"a": PNG}, "audio-to-audio")
    with pytest.raises(MediaError):
        _resolve({"text": "t"}, {"t": PNG})
    with pytest.raises(TooLargeError):
        _resolve({"image": "i"}, {"i": PNG}, limits=Limits(max_pixels=10))


@pytest.mark.parametrize("args", [{"text": "x" * 11}, {"text": "<GENERATED>-1"}, {"text": "ab<GENERATED>-2"}])
def test_a_text_over_the_limit_is_refused_wherever_it_comes_from(args: dict[str, str]) -> None:
    sources = {"<GENERATED>-1": Result(text="y" * 11), "<GENERATED>-2": Result(text="y" * 9)}
    with pytest.raises(TooLargeError, match="has 11 characters; at most 10 are taken"):
        _resolve(args, sources, limits=Limits(max_text_characters=10))
    assert _resolve({"text": "z" * 10}, limits=Limits(max_text_characters=10)).text() == "z" * 10


def test_media_that_were_not_delivered_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs image for 'image', but '/images/x\.png' was"):
        _resolve({"image": "/images/x.png"})
    with pytest.raises(InputError):
        _resolve({"image": "the <GENERATED>-1 one"}, {"<GENERATED>-1": Result(image=PICTURE)})


def test_an_argument_the_registry_does_not_know_is_a_text() -> None:
    made = _resolve({"seed": "4<GENERATED>-1"}, {"<GENERATED>-1": Result(text="2")}, "text-classification")
    assert made.args == {"seed": "42"}


def test_as_many_values_as_sources() -> None:
    with pytest.raises(ValueError, match="zip"):
        resolve(Call("run", "image-to-image", 0, {}, ("<GENERATED>-1",)), [], LIMITS)
