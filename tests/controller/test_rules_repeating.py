"""Requests that repeat others, slips of the finger, things wanted several times, files by their own names."""

import pytest

from controller.request import Message
from controller.rules.spelling import Spelling
from model_catalog.tasks import Modality
from tests.support.plans import CAPTION_A, SAY_0, Step, attached, steps_of

_CAPTION_B: Step = ("image-to-text", {"image": "/examples/b.jpg"})


@pytest.mark.parametrize(
    "request_text",
    [
        "Describe /examples/a.jpg. Do the same for /examples/b.jpg.",
        "describe /examples/a.jpg, and the same for /examples/b.jpg please",
        "Describe /examples/a.jpg. How about /examples/b.jpg?",
    ],
)
def test_the_same_for_another_file(request_text: str) -> None:
    assert steps_of(request_text) == [CAPTION_A, _CAPTION_B]


def test_a_whole_request_is_repeated_for_each_file_and_gone_on_with() -> None:
    text = (
        "Describe /examples/a.jpg and read it aloud. Do the same with b.jpg and c.jpg, then detect the edges"
    )
    assert steps_of(text) == [
        CAPTION_A,
        SAY_0,
        ("image-to-text", {"image": "b.jpg"}),
        ("text-to-speech", {"text": "<GENERATED>-2"}),
        ("image-to-text", {"image": "c.jpg"}),
        ("text-to-speech", {"text": "<GENERATED>-4"}),
        ("canny-control", {"image": "c.jpg"}),
    ]


def test_texts_are_repeated_too() -> None:
    assert steps_of("Translate 'hello' to German, and do the same for 'goodbye'") == [
        ("translation", {"text": "hello", "target_language": "German"}),
        ("translation", {"text": "goodbye", "target_language": "German"}),
    ]


def test_an_earlier_request_is_repeated_for_an_attached_file() -> None:
    context = (
        Message(role="user", content="Describe /examples/a.jpg and read the description aloud"),
        Message(role="assistant", content="The picture shows: “a boat”."),
        Message(role="user", content="thank you"),
        Message(role="assistant", content="You are welcome."),
    )
    assert steps_of("same for this one", attached(Modality.IMAGE, "/images/b.png"), context=context) == [
        ("image-to-text", {"image": "/images/b.png"}),
        SAY_0,
    ]


def test_nothing_is_repeated_where_nothing_was_asked() -> None:
    assert steps_of("do the same again") == []
    talk = (Message(role="user", content="hello"), Message(role="assistant", content="hello"))
    assert steps_of("do the same again", context=talk) == []


def test_repetitions_are_bounded() -> None:
    names = " ".join(f"Do the same for {number}.png." for number in range(50))
    assert len(steps_of(f"Describe a.png. {names}")) <= 20


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("Draw three cats", [("text-to-image", {"text": "three cats"})]),
        (
            "Make 2 images of a dog",
            [("text-to-image", {"text": "a dog", "seed": number}) for number in ("1", "2")],
        ),
        (
            "generate pictures of a cat, a dog and a bird",
            [("text-to-image", {"text": thing}) for thing in ("a cat", "a dog", "a bird")],
        ),
        ("draw a cat and a dog", [("text-to-image", {"text": "a cat and a dog"})]),
        (
            "Transcribe x.wav twice",
            [("automatic-speech-recognition", {"audio": "x.wav"})],
        ),
    ],
)
def test_things_wanted_several_times(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize("name", ["sign.png", "/examples/sign.png", "SIGN.png", "/images/1f-sign.png"])
def test_an_attached_file_is_known_by_its_own_name(name: str) -> None:
    files = (attached(Modality.IMAGE, "/images/2e-cat.png"), attached(Modality.IMAGE, "/images/1f-sign.png"))
    assert steps_of(f"Describe {name}", *files) == [("image-to-text", {"image": "/images/1f-sign.png"})]


@pytest.mark.parametrize("name", ["design.png", "ign.png", "https://example.com/sign.png", "sign.jpg"])
def test_other_names_are_left_as_they_are(name: str) -> None:
    file = attached(Modality.IMAGE, "/images/1f-sign.png")
    assert steps_of(f"Describe {name}", file) == [("image-to-text", {"image": name})]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("transcribe", "transcribe"),
        ("transcirbe", "transcribe"),
        ("trnscribe", "transcribe"),
        ("transscribe", "transcribe"),
        ("tranzcribe", "transcribe"),
        ("transcrib", "transcribe"),
        ("pls", "please"),
        ("detcet", "detect"),
        ("defect", "defect"),
        ("summaries", "summaries"),
        ("rnscribe", "rnscribe"),
        ("x" * 30, "x" * 30),
        ("12345678", "12345678"),
        ("cta", "cta"),
        ("", ""),
    ],
)
def test_slips_of_the_finger_are_put_right(written: str, meant: str) -> None:
    spelling = Spelling({"pls": "please"}, ["transcribe", "summarise", "detect", "cat"])
    assert spelling.right(written) == meant


@pytest.mark.parametrize(
    ("request_text", "first"),
    [
        ("Translate a.txt to German after summarizing it", "summarization"),
        ("Before translating a.txt to German, summarize it", "summarization"),
        ("After translating a.txt to German, summarize it", "translation"),
        ("Translate a.txt to German. After that, summarize it", "translation"),
        ("Translate a.txt to German before summarizing it", "translation"),
    ],
)
def test_what_is_done_first_comes_first(request_text: str, first: str) -> None:
    steps = steps_of(request_text)
    assert len(steps) == 2
    assert steps[0][0] == first
    assert steps[1][1]["text"] == "<GENERATED>-0"


@pytest.mark.parametrize(
    ("request_text", "question"),
    [
        ("tell me if there is a dog in a.jpg", "Is there a dog in the picture?"),
        ("I want to know what the man is doing in a.jpg", "What is the man doing in the picture?"),
        ("I wonder where the cat is in a.jpg", "Where is the cat in the picture?"),
        ("Which of the dogs in a.jpg is brown?", "Which of the dogs in the picture is brown?"),
        ("Who wrote the book that is in a.jpg?", "Who wrote the book that is in the picture?"),
    ],
)
def test_indirect_questions_are_put_directly(request_text: str, question: str) -> None:
    assert steps_of(request_text) == [
        ("visual-question-answering", {"image": "a.jpg", "text": question}),
    ]


def test_a_text_goes_by_the_name_that_the_request_gave_it() -> None:
    steps = steps_of("Given the review 'Nice' and the summary 'Good', translate the review to German")
    assert steps[-1] == ("translation", {"text": "Nice", "target_language": "German"})
