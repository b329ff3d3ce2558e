"""The embedded planner: what words point at, attachments, talk, and requests of any shape."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.errors import TooManyTasksError
from controller.plan import Plan
from controller.planner import Reply
from controller.request import Message
from controller.rules.planner import guess, plan_text
from model_catalog.tasks import Modality
from tests.support.plans import SAY_0, Step, ask, attached, steps_of


def test_the_request_of_hugginggpts_readme() -> None:
    tasks = plan_text(
        "based on pose of /examples/d.jpg and content of /examples/e.jpg, please show me a new image"
    )
    assert Plan.parse(tasks).wire() == [
        {"task": "openpose-control", "id": 0, "dep": [-1], "args": {"image": "/examples/d.jpg"}},
        {"task": "image-to-text", "id": 1, "dep": [-1], "args": {"image": "/examples/e.jpg"}},
        {
            "task": "openpose-text-to-image",
            "id": 2,
            "dep": [1, 0],
            "args": {"text": "<GENERATED>-1", "image": "<GENERATED>-0"},
        },
    ]
    assert not any("want" in task for task in tasks)


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (
            "Summarize 'a long text'. Translate the original text to German, then say the result aloud",
            [
                ("summarization", {"text": "a long text"}),
                ("translation", {"text": "a long text", "target_language": "German"}),
                ("text-to-speech", {"text": "<GENERATED>-1"}),
            ],
        ),
        (
            "Detect the objects in a.jpg, translate the labels into French and describe the picture",
            [
                ("object-detection", {"image": "a.jpg"}),
                ("translation", {"text": "<GENERATED>-0", "target_language": "French"}),
                ("image-to-text", {"image": "a.jpg"}),
            ],
        ),
        (
            "Make the car in a.jpg red, then detect the objects in the edited image",
            [
                ("image-to-image", {"image": "a.jpg", "text": "Make the car in the picture red"}),
                ("object-detection", {"image": "<GENERATED>-0"}),
            ],
        ),
        (
            "My question is 'Who is she?'. Translate my question to German, and answer the question on a.jpg",
            [
                ("visual-question-answering", {"image": "a.jpg", "text": "Who is she?"}),
                ("translation", {"text": "Who is she?", "target_language": "German"}),
            ],
        ),
        (
            "Transcribe x.wav and y.wav. Is the transcript on sports? Write a poem based on the transcript",
            [
                ("automatic-speech-recognition", {"audio": "x.wav"}),
                ("automatic-speech-recognition", {"audio": "y.wav"}),
                (
                    "question-answering",
                    {"question": "Is the transcript on sports?", "context": "<GENERATED>-0"},
                ),
                (
                    "question-answering",
                    {"question": "Is the transcript on sports?", "context": "<GENERATED>-1"},
                ),
                ("text-generation", {"text": "<GENERATED>-0"}),
                ("text-generation", {"text": "<GENERATED>-1"}),
            ],
        ),
        (
            "How many dogs are in a.jpg? Is the answer over two?",
            [
                (
                    "visual-question-answering",
                    {"image": "a.jpg", "text": "How many dogs are in the picture?"},
                ),
                (
                    "question-answering",
                    {"question": "Is the answer over two?", "context": "<GENERATED>-0"},
                ),
            ],
        ),
        (
            "Use visual question answering on a.jpg to answer the question 'What is the dog doing?'",
            [("visual-question-answering", {"image": "a.jpg", "text": "What is the dog doing?"})],
        ),
        (
            "I need to know the price of the shoes in a.jpg",
            [
                (
                    "visual-question-answering",
                    {"image": "a.jpg", "text": "The price of the shoes in the picture?"},
                )
            ],
        ),
        ("Reply to 'How are you?' in a friendly way", [("conversational", {"text": "How are you?"})]),
        ("Write a short text", [("text-generation", {"text": "Write a short text"})]),
        (
            "Inpaint 'a red ball' into room.png with the mask mask.png",
            [("inpainting", {"image": "room.png", "text": "a red ball", "mask": "mask.png"})],
        ),
    ],
)
def test_words_point_at_results(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    "request_text",
    [
        "Generate an image of a cat with the pose of d.jpg",
        "Find the pose in d.jpg. Then draw a cat using that pose",
    ],
)
def test_drawing_along_a_pose(request_text: str) -> None:
    assert steps_of(request_text) == [
        ("openpose-control", {"image": "d.jpg"}),
        ("openpose-text-to-image", {"text": "a cat", "image": "<GENERATED>-0"}),
    ]


def test_a_pose_that_nothing_is_based_on_is_no_guide() -> None:
    assert steps_of("Find the pose in d.jpg and draw a cat") == [
        ("openpose-control", {"image": "d.jpg"}),
        ("text-to-image", {"text": "a cat"}),
    ]


def test_each_of_several_pictures_is_asked() -> None:
    names = ("/examples/a.jpg", "/examples/b.jpg", "/examples/c.jpg")
    text = f"Given the images {', '.join(names)}, please tell me how many zebras are in these pictures"
    question = "How many zebras are in the picture?"
    assert steps_of(text) == [
        ("visual-question-answering", {"image": name, "text": question}) for name in names
    ]


def test_several_pictures_described_then_compared() -> None:
    assert steps_of("Describe a.jpg and b.jpg and tell me how similar the descriptions are") == [
        ("image-to-text", {"image": "a.jpg"}),
        ("image-to-text", {"image": "b.jpg"}),
        ("sentence-similarity", {"text1": "<GENERATED>-0", "text2": "<GENERATED>-1"}),
    ]


@pytest.mark.parametrize("joint", ["; ", ". ", " and then ", ", then ", "\n", ", and "])
def test_steps_may_be_joined_in_any_way(joint: str) -> None:
    assert steps_of(f"Detect objects in a.jpg{joint}describe b.jpg{joint}read the description aloud") == [
        ("object-detection", {"image": "a.jpg"}),
        ("image-to-text", {"image": "b.jpg"}),
        ("text-to-speech", {"text": "<GENERATED>-1"}),
    ]


def test_the_same_task_is_planned_once() -> None:
    assert steps_of("Transcribe x.wav and then summarize the transcript of x.wav") == [
        ("automatic-speech-recognition", {"audio": "x.wav"}),
        ("summarization", {"text": "<GENERATED>-0"}),
    ]


@pytest.mark.parametrize(
    ("request_text", "modality", "steps"),
    [
        ("Read this aloud", Modality.IMAGE, [("image-to-text:ocr", {"image": "/files/1"}), SAY_0]),
        ("Describe it", Modality.IMAGE, [("image-to-text", {"image": "/files/1"})]),
        ("What is this?", Modality.IMAGE, [("image-to-text", {"image": "/files/1"})]),
        (
            "How many people are there?",
            Modality.IMAGE,
            [("visual-question-answering", {"image": "/files/1", "text": "How many people are there?"})],
        ),
        ("Transcribe this", Modality.AUDIO, [("automatic-speech-recognition", {"audio": "/files/1"})]),
        ("Remove the noise", Modality.AUDIO, [("audio-to-audio", {"audio": "/files/1"})]),
        ("Classify this table", Modality.TABLE, [("tabular-classification", {"table": "/files/1"})]),
        ("Classify this table", Modality.IMAGE, [("tabular-classification", {"image": "/files/1"})]),
        ("Summarize this", Modality.TEXT, [("summarization", {"text": "/files/1"})]),
    ],
)
def test_attachments_need_no_mention(request_text: str, modality: Modality, steps: list[Step]) -> None:
    assert steps_of(request_text, attached(modality)) == steps


def test_every_attachment_is_taken() -> None:
    attachments = (attached(Modality.IMAGE, "/images/1.png"), attached(Modality.IMAGE, "/images/2.png"))
    assert [step[1] for step in steps_of("Describe them", *attachments)] == [
        {"image": "/images/1.png"},
        {"image": "/images/2.png"},
    ]


def test_a_mention_wins_over_an_attachment() -> None:
    assert steps_of("Describe b.jpg", attached(Modality.IMAGE)) == [("image-to-text", {"image": "b.jpg"})]


def test_the_conversation_is_asked_last() -> None:
    context = (
        Message(role="system", content="You see /images/system.png"),
        Message(role="user", content="draw a cat"),
        Message(role="assistant", content="Here is the picture you asked for: /images/cat.png"),
    )
    assert steps_of("Now detect the objects in it", context=context) == [
        ("object-detection", {"image": "/images/cat.png"})
    ]
    assert steps_of("Detect the objects in dog.png", context=context) == [
        ("object-detection", {"image": "dog.png"})
    ]


def test_it_may_mean_the_last_answer() -> None:
    quoted = (Message(role="assistant", content="The text in the picture reads: “OPEN”."),)
    assert steps_of("Read it aloud", context=quoted) == [("text-to-speech", {"text": "OPEN"})]
    plain = (Message(role="assistant", content="It is raining."),)
    assert steps_of("Translate it to German", context=plain) == [
        ("translation", {"text": "It is raining.", "target_language": "German"})
    ]


@pytest.mark.parametrize(
    "talk",
    ["Hello there!", "Thanks a lot", "Who are you?", "What is the capital of France?", "", "???", "help"],
)
def test_mere_talk_plans_nothing_and_is_replied_to(talk: str) -> None:
    assert plan_text(talk) == []
    (reply,) = ask(talk)
    assert isinstance(reply, Reply)
    assert "/examples/sign.png" in reply.text


@pytest.mark.parametrize(
    ("request_text", "thing"),
    [
        ("Describe the image", "picture"),
        ("Transcribe the recording", "recording"),
        ("Classify the table", "table"),
        ("Summarize it", "text"),
    ],
)
def test_a_request_without_its_file_is_asked_for_it(request_text: str, thing: str) -> None:
    (reply,) = ask(request_text)
    assert isinstance(reply, Reply)
    assert f"I would need the {thing}" in reply.text


def test_what_can_be_done_is_planned_and_the_rest_left_to_the_plan() -> None:
    steps = ask("Say 'hello' aloud. Then describe the image")
    assert [step["task"] for step in steps] == ["text-to-speech", "image-to-text"]
    assert steps[1]["args"] == {}


def test_a_guess_takes_mere_talk_for_a_conversation() -> None:
    assert guess("Hello there!") == [
        {"task": "conversational", "id": 0, "dep": [-1], "args": {"text": "Hello there!"}}
    ]
    assert guess("draw a cat") == plan_text("draw a cat")


def test_the_planner_yields_the_tasks_of_the_request() -> None:
    assert ask("Describe it", attached(Modality.IMAGE)) == plan_text(
        "Describe it", [attached(Modality.IMAGE)]
    )


def test_long_requests_are_planned_as_short_ones() -> None:
    article = "The cat sat on the mat. " * 600
    (task,) = ask(f"Summarize this: {article}")
    assert task == {"task": "summarization", "id": 0, "dep": [-1], "args": {"text": article.strip()}}


def test_two_thousand_pictures_are_planned_and_refused_by_the_plan() -> None:
    names = [f"/images/{number:032x}.png" for number in range(2000)]
    tasks = plan_text(f"Describe {', '.join(names)}")
    assert [task["args"]["image"] for task in tasks] == names
    with pytest.raises(TooManyTasksError):
        Plan.parse(tasks)


def test_planning_loads_no_heavy_library() -> None:
    code = (
        "import sys; from controller.rules.planner import guess; guess('draw a cat'); "
        "print([name for name in ('ray', 'torch', 'numpy', 'transformers', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_TALK = (
    "read the text in aloud translate to French describe it draw summary of what is how many question pose "
    "based on edges classify compare similar and then 'a text' 'who?' a.png b.wav c.csv , . ? ; :"
)
_PIECES = st.lists(st.sampled_from([*_TALK.split(), "\n"]) | st.text(max_size=4), min_size=1, max_size=25)


@settings(max_examples=300, deadline=None)
@given(_PIECES)
def test_any_words_give_tasks_in_order_that_refer_to_earlier_ones(pieces: list[str]) -> None:
    tasks = guess("Well " + " ".join(pieces))
    assert [task["id"] for task in tasks] == list(range(len(tasks)))
    for task in tasks:
        assert all(upstream < task["id"] for upstream in task["dep"])
        assert all(isinstance(value, str) and value for value in task["args"].values())
    faults = Plan.parse(tasks, max_tasks=200).faults
    assert all("it needs" in fault.reason or "left out" in fault.reason for fault in faults)
