"""The embedded responder: what an answer says, and how HuggingGPT's web client reads it."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.outcome import Artifact, Attempt, Choice, Failure, Outcome, Status
from controller.plan import Plan
from controller.request import Message, Request
from controller.responder import EmbeddedResponder
from controller.rules.prose import LONGEST
from controller.rules.telling import LONGEST_ASIDE
from model_catalog.tasks import TASKS, Modality

REQUEST = Request(messages=(Message(role="user", content="Do it"),))
SIGN = "/examples/sign.png"

_CLIENT = {
    "image": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.(?:jpg|jpeg|tiff|gif|png)"),
    "audio": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.(?:flac|wav)"),
    "video": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.mp4"),
}
"""The patterns by which the web client of HuggingGPT finds files in an answer."""

_ENDINGS = {Modality.IMAGE: "png", Modality.AUDIO: "wav", Modality.VIDEO: "mp4"}


def _path(modality: Modality, number: int) -> str:
    return f"/{modality}s/{number:032x}.{_ENDINGS[modality]}"


def _artifact(modality: Modality, number: int) -> Artifact:
    ending = _ENDINGS[modality]
    return Artifact(
        path=_path(modality, number), modality=modality, media_type=f"{modality}/{ending}", size=9
    )


def _done(task_id: int, task: str, text: str | None = None, data: Any = None, **more: Any) -> Outcome:
    choice = Choice(model=more.pop("model", f"embedded/{task}"), reason="the first by downloads")
    return Outcome(id=task_id, task=task, status=Status.DONE, text=text, data=data, choice=choice, **more)


def _failed(task_id: int, task: str, message: str, status: Status = Status.FAILED) -> Outcome:
    return Outcome(id=task_id, task=task, status=status, error=Failure(code="x", message=message))


def _task(task: str, task_id: int, want: str | None = None, **args: str) -> dict[str, Any]:
    return {"task": task, "id": task_id, "args": args, "want": want}


async def _collect(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    return [delta async for delta in EmbeddedResponder().respond(REQUEST, plan, outcomes)]


def _answer(raws: Sequence[Any], *outcomes: Outcome) -> str:
    return "".join(asyncio.run(_collect(Plan.parse(raws), outcomes)))


def test_a_chain_tells_words_file_and_models() -> None:
    answer = _answer(
        [_task("image-to-text", 0, "ocr", image=SIGN), _task("text-to-speech", 1, text="<GENERATED>-0")],
        _done(0, "image-to-text", "OPEN\n24 HOURS", model="embedded/rapidocr"),
        _done(1, "text-to-speech", artifacts=(_artifact(Modality.AUDIO, 1),), model="embedded/espeak"),
    )
    assert answer.split("\n\n") == [
        "The text in the picture reads: “OPEN\n24 HOURS”.",
        f"Here it is read aloud: {_path(Modality.AUDIO, 1)}",
        "Models used: embedded/rapidocr for image to text and embedded/espeak for text to speech.",
    ]


def test_the_order_of_the_outcomes_does_not_matter() -> None:
    raws = [_task("image-to-text", 0, image=SIGN), _task("summarization", 1, text="<node-0>")]
    outcomes = [_done(0, "image-to-text", "a cat"), _done(1, "summarization", "cat")]
    assert _answer(raws, *outcomes) == _answer(raws, *reversed(outcomes))


@pytest.mark.parametrize(
    ("raw", "text", "data", "told"),
    [
        (_task("image-to-text", 0, image=SIGN), "a cat", None, "The picture shows: “a cat”."),
        (_task("image-to-text", 0, "ocr", image=SIGN), "", [], "I found no text in the picture."),
        (_task("automatic-speech-recognition", 0, audio="a.wav"), "hi", None, "The recording says: “hi”."),
        (
            _task("automatic-speech-recognition", 0, audio="a.wav"),
            None,
            None,
            "I heard no words in the recording.",
        ),
        (_task("summarization", 0, text="long"), "short", None, "In short: “short”."),
        (_task("translation", 0, text="hi", target_language="French"), "salut", None, "In French: “salut”."),
        (_task("translation", 0, text="hi"), "salut", None, "The translation is: “salut”."),
        (
            _task("visual-question-answering", 0, image=SIGN, text="How many?"),
            "two",
            None,
            "The answer to “How many?” is: “two”.",
        ),
        (
            _task("question-answering", 0, question="Who?", context="c"),
            "she",
            None,
            "The answer to “Who?” is: “she”.",
        ),
        (
            _task("text-classification", 0, text="fine"),
            "positive (0.90)",
            [{"label": "neutral", "score": 0.1}, {"label": "positive", "score": 0.9}],
            "The text is classed as positive (90 %); then neutral (10 %).",
        ),
        (
            _task("image-classification", 0, image=SIGN),
            "cat",
            [{"label": "cat", "score": 1}],
            "The picture is classed as cat (100 %).",
        ),
        (
            _task("audio-classification", 0, audio="a.wav"),
            "dog",
            [{"label": "a/b", "score": 0.5}],
            "The recording is classed as “a/b” (50 %).",
        ),
        (
            _task("sentence-similarity", 0, text1="a", text2="b"),
            "similarity 0.73",
            {"score": 0.731},
            "The two texts are alike by 0.73, where 1 is the same and 0 nothing in common.",
        ),
        (
            _task("token-classification", 0, text="John"),
            "John",
            [{"word": "John", "entity_group": "PER"}, {"word": "Paris", "entity": "LOC"}, {"word": "x"}],
            "I found in the text: “John” (PER), “Paris” (LOC) and “x” (?).",
        ),
        (
            _task("object-detection", 0, image=SIGN),
            "cat, dog, cat",
            [{"label": "cat"}, {"label": "dog"}, {"label": "cat"}],
            "I found 3 objects: 2 cats and 1 dog.",
        ),
        (_task("object-detection", 0, image=SIGN), "cat", [{"label": "cat"}], "I found 1 cat."),
        (_task("object-detection", 0, image=SIGN), None, [], "I found no objects."),
        (_task("image-segmentation", 0, image=SIGN), "sky", [{"label": "sky"}], "I found 1 part: sky."),
        (
            _task("fill-mask", 0, text="a [MASK]"),
            None,
            {"best": "cat"},
            'The result of fill mask: “{"best": "cat"}”.',
        ),
        (_task("summarization", 0, text="long"), " ", None, "The result of summarization is empty."),
        (
            _task("tabular-classification", 0, table="t.csv"),
            "yes",
            None,
            "The result of tabular classification: “yes”.",
        ),
        (_task("canny-control", 0, image=SIGN), None, None, "The task canny control ended without a result."),
    ],
)
def test_what_each_task_found_is_told(raw: dict[str, Any], text: str | None, data: Any, told: str) -> None:
    answer = _answer([raw], _done(0, raw["task"], text, data))
    assert answer.split("\n\n")[0] == told


@pytest.mark.parametrize(
    ("task", "text", "data"),
    [
        ("text-classification", "odd", [{"label": 3, "score": "x"}, "y"]),
        ("sentence-similarity", "odd", {"scores": [0.1]}),
        ("object-detection", "odd", {"boxes": []}),
        ("token-classification", "odd", "words"),
    ],
)
def test_data_of_another_shape_leaves_the_text(task: str, text: str, data: Any) -> None:
    args = {argument.name: "a" for argument in TASKS[task].arguments}
    assert "“odd”" in _answer([_task(task, 0, **args)], _done(0, task, text, data))


def test_many_labels_are_cut() -> None:
    data = [{"label": f"thing {number}"} for number in range(50)]
    answer = _answer([_task("object-detection", 0, image=SIGN)], _done(0, "object-detection", "x", data))
    assert "I found 50 objects" in answer
    assert "and 30 other kinds" in answer
    entities = [{"word": f"w{number}", "entity": "PER"} for number in range(50)]
    answer = _answer(
        [_task("token-classification", 0, text="t")], _done(0, "token-classification", "x", entities)
    )
    assert "and 30 more" in answer


@pytest.mark.parametrize(
    ("task", "modality", "told"),
    [
        ("canny-control", Modality.IMAGE, "Here are the edges: "),
        ("openpose-control", Modality.IMAGE, "Here is the pose: "),
        ("text-to-image", Modality.IMAGE, "Here is the picture you asked for: "),
        ("openpose-text-to-image", Modality.IMAGE, "Here is the picture you asked for: "),
        ("image-to-image", Modality.IMAGE, "Here is the changed picture: "),
        ("audio-to-audio", Modality.AUDIO, "Here is the cleaned recording: "),
        ("text-to-video", Modality.VIDEO, "Here is the video: "),
        ("text-to-speech", Modality.AUDIO, "Here is “a” read aloud: "),
    ],
)
def test_files_are_given_by_their_paths(task: str, modality: Modality, told: str) -> None:
    args = {argument.name: "a" for argument in TASKS[task].arguments if argument.required}
    answer = _answer([_task(task, 0, **args)], _done(0, task, artifacts=(_artifact(modality, 7),)))
    assert answer.split("\n\n")[0] == f"{told}{_path(modality, 7)}"


def test_a_picture_with_boxes_follows_what_was_found() -> None:
    answer = _answer(
        [_task("object-detection", 0, image=SIGN)],
        _done(0, "object-detection", "cat", [{"label": "cat"}], artifacts=(_artifact(Modality.IMAGE, 1),)),
    )
    assert answer.startswith(f"I found 1 cat. Here is the marked picture: {_path(Modality.IMAGE, 1)}")


def test_files_on_the_way_are_not_mentioned() -> None:
    answer = _answer(
        [
            _task("openpose-control", 0, image="/examples/d.jpg"),
            _task("image-to-text", 1, image="/examples/e.jpg"),
            _task("openpose-text-to-image", 2, text="<node-1>", image="<node-0>"),
        ],
        _done(0, "openpose-control", artifacts=(_artifact(Modality.IMAGE, 1),)),
        _done(1, "image-to-text", "a girl"),
        _done(2, "openpose-text-to-image", artifacts=(_artifact(Modality.IMAGE, 2),)),
    )
    assert _path(Modality.IMAGE, 1) not in answer
    assert _path(Modality.IMAGE, 2) in answer
    assert "“a girl”" in answer


def test_a_file_whose_use_failed_is_delivered() -> None:
    answer = _answer(
        [_task("text-to-image", 0, text="a cat"), _task("object-detection", 1, image="<node-0>")],
        _done(0, "text-to-image", artifacts=(_artifact(Modality.IMAGE, 1),)),
        _failed(1, "object-detection", "No model can run it."),
    )
    assert _path(Modality.IMAGE, 1) in answer
    assert "The task object detection failed: No model can run it." in answer


def test_a_task_that_only_waits_for_another_hides_nothing_of_it() -> None:
    answer = _answer(
        [_task("text-to-image", 0, text="a cat"), _task("text-to-image", 1, text="a dog") | {"dep": [0]}],
        _done(0, "text-to-image", artifacts=(_artifact(Modality.IMAGE, 1),)),
        _done(1, "text-to-image", artifacts=(_artifact(Modality.IMAGE, 2),)),
    )
    assert _path(Modality.IMAGE, 1) in answer
    assert _path(Modality.IMAGE, 2) in answer


def test_results_of_one_kind_are_told_apart() -> None:
    answer = _answer(
        [
            _task("image-to-text", 0, image="/examples/a.jpg"),
            _task("image-to-text", 1, image="/examples/b.jpg"),
        ],
        _done(0, "image-to-text", "a cat"),
        _done(1, "image-to-text", "a dog"),
    )
    assert "For “/examples/a.jpg”: The picture shows: “a cat”." in answer
    assert "For “/examples/b.jpg”: The picture shows: “a dog”." in answer
    assert answer.count("embedded/image-to-text for image to text") == 1


def test_long_texts_are_cut_and_it_is_said() -> None:
    answer = _answer([_task("summarization", 0, text="t")], _done(0, "summarization", "x" * 5000))
    assert f"{'x' * LONGEST}…” (cut: the first 2,000 of 5,000 characters)" in answer
    assert "x" * (LONGEST + 1) not in answer


def test_texts_on_the_way_are_cut_sooner() -> None:
    answer = _answer(
        [_task("image-to-text", 0, image=SIGN), _task("text-to-speech", 1, text="<node-0>")],
        _done(0, "image-to-text", "x" * 1000),
        _done(1, "text-to-speech", artifacts=(_artifact(Modality.AUDIO, 1),)),
    )
    assert "x" * (LONGEST_ASIDE + 1) not in answer


def test_failures_and_what_they_took_along_are_told() -> None:
    answer = _answer(
        [
            _task("automatic-speech-recognition", 0, audio="a.wav"),
            _task("summarization", 1, text="<node-0>"),
            _task("text-to-speech", 2, text="hi"),
            _task("canny-control", 3, image=SIGN),
        ],
        _failed(0, "automatic-speech-recognition", "No model can transcribe here; install one."),
        _failed(1, "summarization", "It waits for task 0, which failed.", Status.SKIPPED),
        _done(2, "text-to-speech", artifacts=(_artifact(Modality.AUDIO, 1),)),
        _failed(3, "canny-control", "The run was stopped.", Status.CANCELLED),
    )
    assert answer.split("\n\n")[:4] == [
        f"Here is “hi” read aloud: {_path(Modality.AUDIO, 1)}",
        "The task automatic speech recognition failed: No model can transcribe here; install one.",
        "The task summarization was skipped: It waits for task 0, which failed.",
        "The task canny control was cancelled: The run was stopped.",
    ]


def test_an_answer_without_any_result_says_so_first() -> None:
    answer = _answer([_task("text-to-speech", 0, text="hi")], _failed(0, "text-to-speech", "It broke."))
    assert answer == "I am sorry: nothing of this could be done.\n\nThe task text to speech failed: It broke."


def test_a_task_without_an_outcome_is_told() -> None:
    assert "The task text to speech was skipped: It was not run" in _answer(
        [_task("text-to-speech", 0, text="hi")]
    )


def test_what_the_plan_left_out_and_mended_is_told() -> None:
    answer = _answer(
        [
            _task("image-to-text", 0, image=SIGN),
            _task("text-to-speech", 1, image="<node-0>"),
            _task("object-detection", 2),
            *[_task("sing/along.png", number) for number in range(3, 10)],
        ],
        _done(0, "image-to-text", "a cat"),
        _done(1, "text-to-speech", artifacts=(_artifact(Modality.AUDIO, 1),)),
    )
    assert "I left out the task “object-detection”: it needs an image." in answer
    assert "I left out 3 more tasks for like reasons." in answer
    assert "I mended the plan: task 1 (text-to-speech): took 'image' for 'text'." in answer


def test_many_mends_are_cut() -> None:
    odd = {"x": "1", "y": "2", "z": "3", "u": "4", "v": "5", "w": "6", "q": "7"}
    answer = _answer([_task("summarization", 0, text="t", **odd)], _done(0, "summarization", "s"))
    assert "; and 2 more." in answer


def test_a_fallback_is_told() -> None:
    attempts = (
        Attempt(model="a/first", seconds=1, failure=Failure(code="x", message="broke")),
        Attempt(model="b/second", seconds=1),
    )
    answer = _answer(
        [_task("summarization", 0, text="t")],
        _done(0, "summarization", "s", attempts=attempts, model="b/second"),
    )
    assert answer.endswith("Models used: b/second for summarization (after a/first failed).")


def test_long_causes_are_cut() -> None:
    answer = _answer([_task("text-to-speech", 0, text="hi")], _failed(0, "text-to-speech", "x" * 9000))
    assert len(answer) < 700


def test_the_answer_comes_in_pieces() -> None:
    plan = Plan.parse([_task("text-to-speech", 0, text="hi")])
    pieces = asyncio.run(_collect(plan, [_failed(0, "text-to-speech", "It broke.")]))
    assert len(pieces) == 2
    assert all(pieces)


_MADE = st.lists(
    st.tuples(
        st.sampled_from(
            ["text-to-image", "text-to-speech", "text-to-video", "canny-control", "object-detection"]
        ),
        st.integers(0, 3),
        st.sampled_from(["", "a/b", "see /x and", "two words. more", "http://x y"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(_MADE)
def test_the_web_client_finds_every_file_and_nothing_beside_it(
    made: list[tuple[str, int, str, bool]],
) -> None:
    raws, outcomes, paths = [], [], []
    for number, (task, files, text, fails) in enumerate(made):
        modality = TASKS[task].outputs[0]
        raws.append(_task(task, number, **{argument.name: f"{text} a" for argument in TASKS[task].arguments}))
        if fails:
            outcomes.append(_failed(number, task, f"{text} broke"))
            continue
        artifacts = tuple(_artifact(modality, 10 * number + file) for file in range(files))
        paths += [artifact.path for artifact in artifacts]
        outcomes.append(_done(number, task, text or None, artifacts=artifacts, model="owner/model.v1"))
    answer = _answer(raws, *outcomes)
    found = [match for pattern in _CLIENT.values() for match in pattern.findall(answer)]
    assert sorted(found) == sorted(paths)
