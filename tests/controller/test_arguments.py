"""Arguments: reading values from the wire, and binding them to the registry's names."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from controller.arguments import Faulty, Said, bind, read_values
from model_catalog.tasks import TASKS, Modality

_RESULTS: Mapping[int, tuple[Modality, ...]] = {
    0: (Modality.IMAGE,),
    1: (Modality.TEXT,),
    2: (Modality.TEXT, Modality.DATA),
    3: (Modality.AUDIO,),
}


def _bind(task: str, args: Mapping[str, Any], deps: Sequence[int] = ()) -> tuple[dict[str, list[str]], Said]:
    return bind(TASKS[task], read_values(args), deps, _RESULTS.__getitem__)


def test_values_are_read_as_lists_of_texts() -> None:
    assert read_values({"text": "hello", "n": 3, "flag": True, "map": {"a": "ä"}}) == {
        "text": ["hello"],
        "n": ["3"],
        "flag": ["true"],
        "map": ['{"a": "ä"}'],
    }


@pytest.mark.parametrize("args", [None, {}, {"text": None}, {"text": ""}, {"text": []}, {"text": [None, ""]}])
def test_absent_values_are_left_out(args: Any) -> None:
    assert read_values(args) == {}


@pytest.mark.parametrize("args", ["text", 3, ["text"], True])
def test_arguments_must_be_an_object(args: Any) -> None:
    with pytest.raises(Faulty, match="must be an object"):
        read_values(args)


def test_lists_of_references_stay_apart_and_other_lists_are_joined() -> None:
    assert read_values({"image": ["<node-0>", "<GENERATED-1>"]}) == {
        "image": ["<GENERATED>-0", "<GENERATED>-1"]
    }
    assert read_values({"labels": ["sport", "art"]}) == {"labels": ["sport, art"]}
    assert read_values({"text": ["<node-0>", "and more"]}) == {"text": ["<GENERATED>-0, and more"]}


def test_arguments_come_in_the_registrys_order() -> None:
    bound, said = _bind("openpose-text-to-image", {"image": "<GENERATED>-0", "text": "<GENERATED>-1"})
    assert list(bound) == ["text", "image"]
    assert said.notes == []


@pytest.mark.parametrize(
    ("task", "args", "name"),
    [
        ("question-answering", {"text": "Who?"}, "question"),
        ("visual-question-answering", {"image": "a.png", "question": "Who?"}, "text"),
        ("zero-shot-classification", {"text": "x", "candidate_labels": "a, b"}, "labels"),
        ("sentence-similarity", {"source_sentence": "a", "sentences": "b"}, "text1"),
    ],
)
def test_aliases_are_bound_without_a_note(task: str, args: Mapping[str, str], name: str) -> None:
    bound, said = _bind(task, args)
    assert name in bound
    assert said.notes == []


def test_hugginggpt_tasks_take_the_generic_names() -> None:
    bound, said = _bind("summarization", {"text": "long", "image": "a.png"})
    assert bound == {"text": ["long"], "image": ["a.png"]}
    assert said.notes == []


def test_unknown_names_are_ignored_with_a_note() -> None:
    bound, said = _bind("summarization", {"text": "long", "colour": "red"})
    assert bound == {"text": ["long"]}
    assert said.notes == ["summarization takes no argument 'colour'; ignored"]


def test_a_reference_under_the_wrong_name_goes_where_its_modality_fits() -> None:
    bound, said = _bind("text-to-speech", {"image": "<GENERATED>-1"})
    assert bound == {"text": ["<GENERATED>-1"]}
    assert said.notes == ["took 'image' for 'text'"]


def test_a_reference_of_the_wrong_modality_is_a_fault() -> None:
    with pytest.raises(Faulty, match="image needs image, but task 3 gives audio"):
        _bind("object-detection", {"image": "<GENERATED>-3"})
    with pytest.raises(Faulty, match="text needs text, but task 0 gives image"):
        _bind("summarization", {"text": "a story about <GENERATED>-0"})


def test_any_declared_output_may_be_taken() -> None:
    assert _bind("translation", {"text": "<GENERATED>-2"})[0] == {"text": ["<GENERATED>-2"]}


def test_words_around_a_media_reference_are_dropped_with_a_note() -> None:
    bound, said = _bind("object-detection", {"image": "the picture <GENERATED>-0"})
    assert bound == {"image": ["<GENERATED>-0"]}
    assert "without the words around it" in said.notes[0]


def test_words_around_a_text_reference_stay() -> None:
    bound, said = _bind("text-to-image", {"text": "an oil painting of <GENERATED>-1"})
    assert bound == {"text": ["an oil painting of <GENERATED>-1"]}
    assert said.notes == []


def test_a_media_argument_cannot_mix_references_with_words() -> None:
    with pytest.raises(Faulty, match="mixes several references"):
        bind(
            TASKS["object-detection"],
            {"image": ["<GENERATED>-0 or <GENERATED>-0 and <GENERATED>-4"]},
            (),
            lambda _: (Modality.IMAGE,),
        )


def test_a_missing_argument_is_taken_from_what_the_task_waits_for() -> None:
    bound, said = _bind("text-to-speech", {}, deps=[3, 1])
    assert bound == {"text": ["<GENERATED>-1"]}
    assert said.notes == ["took the result of task 1 for the missing 'text'"]


def test_one_result_fills_one_argument_only() -> None:
    with pytest.raises(Faulty, match=r"it needs a text \(text2\)"):
        _bind("sentence-similarity", {}, deps=[1])
    bound, _ = _bind("sentence-similarity", {}, deps=[1, 2])
    assert bound == {"text1": ["<GENERATED>-2"], "text2": ["<GENERATED>-1"]}


@pytest.mark.parametrize(
    ("task", "args", "reason"),
    [
        ("summarization", {}, "it needs a text"),
        ("object-detection", {}, "it needs an image"),
        ("automatic-speech-recognition", {}, "it needs an audio"),
        ("question-answering", {}, r"it needs a text \(question\)"),
        ("tabular-classification", {}, "it needs a table or an image"),
        ("visual-question-answering", {"image": "a.png"}, "it needs a text"),
    ],
)
def test_missing_required_arguments_are_faults(task: str, args: Mapping[str, str], reason: str) -> None:
    with pytest.raises(Faulty, match=reason):
        _bind(task, args)


@pytest.mark.parametrize("control", ["canny", "depth", "hed", "mlsd", "normal", "openpose", "seg"])
def test_drawing_along_a_map_without_a_text_is_the_map_itself(control: str) -> None:
    bound, said = _bind(f"{control}-text-to-image", {"image": "a.png"})
    assert said.row.name == f"{control}-control"
    assert bound == {"image": ["a.png"]}
    assert said.notes == [f"without a text this is {control}-control"]


def test_the_map_keeps_no_argument_that_it_does_not_take() -> None:
    bound, said = _bind("seg-text-to-image", {"image": "a.png", "audio": "b.wav"})
    assert said.row.name == "seg-control"
    assert bound == {"image": ["a.png"]}
