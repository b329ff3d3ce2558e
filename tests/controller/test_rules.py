"""The embedded planner: requests in plain words, and the very plans they must give."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.errors import TooManyTasksError
from controller.plan import Plan
from controller.planner import Reply
from controller.request import Attachment, Message, Request
from controller.rules.planner import EmbeddedPlanner, guess, plan_text
from model_catalog.tasks import Modality

Step = tuple[str, dict[str, str]]

REVIEW = "I loved every minute of it, wonderful!"
NOISY = f"http://127.0.0.1:8000/audios/{'0a' * 16}.wav"


def _steps(text: str, *attachments: Attachment, context: tuple[Message, ...] = ()) -> list[Step]:
    """Each task with its arguments; a task that has a ``want`` is written ``task:want``."""
    tasks = plan_text(text, attachments, context)
    plan = Plan.parse(tasks, max_tasks=100)
    assert plan.notes == []
    assert plan.faults == []
    assert plan.wire() == [{key: task[key] for key in ("task", "id", "dep", "args")} for task in tasks]
    return [(":".join([task["task"], *filter(None, [task.get("want")])]), task["args"]) for task in tasks]


def _attached(modality: Modality, path: str = "/files/1") -> Attachment:
    return Attachment(path=path, modality=modality)


async def _answers(request: Request) -> list[Any]:
    return [step async for step in EmbeddedPlanner().plan(request, lambda task: ())]


def _ask(text: str, *attachments: Attachment) -> list[Any]:
    request = Request(messages=(Message(role="user", content=text),), attachments=attachments)
    return asyncio.run(_answers(request))


OCR_SIGN: Step = ("image-to-text:ocr", {"image": "/examples/sign.png"})
CAPTION_A: Step = ("image-to-text", {"image": "/examples/a.jpg"})
SAY_0: Step = ("text-to-speech", {"text": "<GENERATED>-0"})


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("Read the text in /examples/sign.png aloud", [OCR_SIGN, SAY_0]),
        ("hello, please read /examples/sign.png aloud, thanks", [OCR_SIGN, SAY_0]),
        (
            "Show me the edges of /examples/sign.png and tell me what it says",
            [("canny-control", {"image": "/examples/sign.png"}), OCR_SIGN],
        ),
        ("What does /examples/sign.png say?", [OCR_SIGN]),
        ("What is written on the sign in /examples/sign.png?", [OCR_SIGN]),
        (
            "summarize the text in /examples/sign.png",
            [OCR_SIGN, ("summarization", {"text": "<GENERATED>-0"})],
        ),
        (
            "Translate the text in /examples/sign.png into Spanish and read it out loud",
            [
                OCR_SIGN,
                ("translation", {"text": "<GENERATED>-0", "target_language": "Spanish"}),
                ("text-to-speech", {"text": "<GENERATED>-1"}),
            ],
        ),
        (
            "What is written in /examples/sign.png? Translate it into German.",
            [OCR_SIGN, ("translation", {"text": "<GENERATED>-0", "target_language": "German"})],
        ),
    ],
)
def test_reading_what_pictures_say(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("What is in /examples/a.jpg?", [CAPTION_A]),
        ("What's in this picture: /examples/a.jpg?", [CAPTION_A]),
        ("Tell me about /examples/a.jpg", [CAPTION_A]),
        ("What do you see in /examples/a.jpg and say it aloud", [CAPTION_A, SAY_0]),
        (
            "Describe /examples/a.jpg in French",
            [CAPTION_A, ("translation", {"text": "<GENERATED>-0", "target_language": "French"})],
        ),
        ("classify /examples/a.jpg", [("image-classification", {"image": "/examples/a.jpg"})]),
        ("Detect the objects in /examples/a.jpg", [("object-detection", {"image": "/examples/a.jpg"})]),
        ("segment /examples/a.jpg", [("image-segmentation", {"image": "/examples/a.jpg"})]),
        ("Estimate the depth of /examples/a.jpg", [("depth-estimation", {"image": "/examples/a.jpg"})]),
        ("Find the pose in /examples/a.jpg", [("openpose-control", {"image": "/examples/a.jpg"})]),
        ("Show the straight lines in /examples/a.jpg", [("mlsd-control", {"image": "/examples/a.jpg"})]),
        ("Show the soft edges of /examples/a.jpg", [("hed-control", {"image": "/examples/a.jpg"})]),
        ("Make a normal map of /examples/a.jpg", [("normal-control", {"image": "/examples/a.jpg"})]),
        ("Animate /examples/a.jpg", [("image-to-video", {"image": "/examples/a.jpg"})]),
        (
            "Classify /examples/a.jpg as cat, dog or bird",
            [("zero-shot-image-classification", {"image": "/examples/a.jpg", "labels": "cat, dog, bird"})],
        ),
        (
            "classify and describe /examples/a.jpg",
            [("image-classification", {"image": "/examples/a.jpg"}), CAPTION_A],
        ),
        (
            "Make a depth map of /examples/a.jpg and describe it",
            [("depth-estimation", {"image": "/examples/a.jpg"}), CAPTION_A],
        ),
        (
            "Estimate the depth of /examples/a.jpg and describe the depth map",
            [
                ("depth-estimation", {"image": "/examples/a.jpg"}),
                ("image-to-text", {"image": "<GENERATED>-0"}),
            ],
        ),
    ],
)
def test_looking_at_pictures(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (
            "How many people are in /examples/a.jpg?",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many people are in the picture?"},
                )
            ],
        ),
        (
            "Is there a dog in /examples/a.jpg?",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "Is there a dog in the picture?"},
                )
            ],
        ),
        (
            "how many people are there in /examples/a.jpg and read the answer aloud",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many people are there in the picture?"},
                ),
                SAY_0,
            ],
        ),
        (
            "Look at /examples/a.jpg. What is the man doing? How many dogs are there?",
            [
                ("visual-question-answering", {"image": "/examples/a.jpg", "text": "What is the man doing?"}),
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many dogs are there?"},
                ),
            ],
        ),
        (
            "Please answer the question 'What colour is the car?' based on the image 'car.png'.",
            [("visual-question-answering", {"image": "car.png", "text": "What colour is the car?"})],
        ),
        (
            "What is the total on the invoice /images/i.png?",
            [
                (
                    "document-question-answering",
                    {"image": "/images/i.png", "text": "What is the total on the invoice?"},
                )
            ],
        ),
        (
            "I have a document image (scan.png) and want to find the answer to the question 'Who signed it?'",
            [("document-question-answering", {"image": "scan.png", "text": "Who signed it?"})],
        ),
        (
            "Which city has the highest sales in sales.csv?",
            [
                (
                    "table-question-answering",
                    {"table": "sales.csv", "text": "Which city has the highest sales in the table?"},
                )
            ],
        ),
        (
            "Answer the question 'Who wrote it?' using the text 'Hamlet was written by Shakespeare.'",
            [
                (
                    "question-answering",
                    {"question": "Who wrote it?", "context": "Hamlet was written by Shakespeare."},
                )
            ],
        ),
        (
            "I have a recording, talk.wav. What is the talk about?",
            [
                ("automatic-speech-recognition", {"audio": "talk.wav"}),
                ("question-answering", {"question": "What is the talk about?", "context": "<GENERATED>-0"}),
            ],
        ),
    ],
)
def test_questions(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (
            f"Is this review positive: '{REVIEW}'? And read it aloud",
            [("text-classification", {"text": REVIEW}), ("text-to-speech", {"text": REVIEW})],
        ),
        ("What's the sentiment of 'I hate this'?", [("text-classification", {"text": "I hate this"})]),
        (
            "Classify 'The team won the cup' as sport, politics or art",
            [
                (
                    "zero-shot-classification",
                    {"text": "The team won the cup", "labels": "sport, politics, art"},
                )
            ],
        ),
        (
            "How similar are 'I like cats' and 'I love dogs'?",
            [("sentence-similarity", {"text1": "I like cats", "text2": "I love dogs"})],
        ),
        (
            "Compare 'a b c' with 'a b d' and tell me how similar they are",
            [("sentence-similarity", {"text1": "a b c", "text2": "a b d"})],
        ),
        (
            "Translate 'good morning' to French, then read it aloud",
            [("translation", {"text": "good morning", "target_language": "French"}), SAY_0],
        ),
        (
            "Translate good morning to French and read it aloud",
            [("translation", {"text": "good morning", "target_language": "French"}), SAY_0],
        ),
        (
            "Say 'hello' in French",
            [("translation", {"text": "hello", "target_language": "French"}), SAY_0],
        ),
        (
            "Translate 'hi' from English to German and Spanish",
            [
                ("translation", {"text": "hi", "target_language": "German"}),
                ("translation", {"text": "hi", "target_language": "Spanish"}),
            ],
        ),
        ("Summarize this: 'The cat sat. It slept.'", [("summarization", {"text": "The cat sat. It slept."})]),
        (
            "Summarize this article: The cat sat on the mat. Then it went home.",
            [("summarization", {"text": "The cat sat on the mat. Then it went home."})],
        ),
        (
            "Summarize the following text:\n\nThe cat sat.\n\nIt slept.",
            [("summarization", {"text": "The cat sat.\n\nIt slept."})],
        ),
        (
            "Summarize the text below\n\nThe cat sat.\nIt slept.",
            [("summarization", {"text": "The cat sat.\nIt slept."})],
        ),
        (
            "Translate this to German: Good night. Then read it aloud.",
            [("translation", {"text": "Good night.", "target_language": "German"}), SAY_0],
        ),
        ("Say hello world", [("text-to-speech", {"text": "hello world"})]),
        ("Convert 'Hello there' to speech", [("text-to-speech", {"text": "Hello there"})]),
        ("Text to speech: Hello there my friend", [("text-to-speech", {"text": "Hello there my friend"})]),
        (
            "find the named entities in 'John lives in Paris'",
            [("token-classification", {"text": "John lives in Paris"})],
        ),
        (
            "Fill in the blank: Paris is the [MASK] of France.",
            [("fill-mask", {"text": "Paris is the [MASK] of France."})],
        ),
        ("Embed the sentence 'hello world'", [("feature-extraction", {"text": "hello world"})]),
        ("Rewrite 'he go to school'", [("text2text-generation", {"text": "he go to school"})]),
        (
            "Don't translate it, just summarize 'so long a text'",
            [("summarization", {"text": "so long a text"})],
        ),
        (
            "Write a poem about autumn and read it aloud",
            [("text-generation", {"text": "Write a poem about autumn"}), SAY_0],
        ),
    ],
)
def test_working_with_texts(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (f"Clean the noise from {NOISY}", [("audio-to-audio", {"audio": NOISY})]),
        ("remove the background noise of /audios/x.wav", [("audio-to-audio", {"audio": "/audios/x.wav"})]),
        ("denoise /audios/x.wav", [("audio-to-audio", {"audio": "/audios/x.wav"})]),
        ("Transcribe /audios/x.wav", [("automatic-speech-recognition", {"audio": "/audios/x.wav"})]),
        ("What is said in /audios/x.wav?", [("automatic-speech-recognition", {"audio": "/audios/x.wav"})]),
        ("Transcribe /videos/x.mp4", [("automatic-speech-recognition", {"audio": "/videos/x.mp4"})]),
        ("What kind of sound is in /audios/x.wav?", [("audio-classification", {"audio": "/audios/x.wav"})]),
        (
            "Summarize /audios/x.wav",
            [
                ("automatic-speech-recognition", {"audio": "/audios/x.wav"}),
                ("summarization", {"text": "<GENERATED>-0"}),
            ],
        ),
        (
            "Clean the noise from x.wav, transcribe it, and translate the transcript to German",
            [
                ("audio-to-audio", {"audio": "x.wav"}),
                ("automatic-speech-recognition", {"audio": "<GENERATED>-0"}),
                ("translation", {"text": "<GENERATED>-1", "target_language": "German"}),
            ],
        ),
    ],
)
def test_working_with_recordings(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("draw a cat", [("text-to-image", {"text": "a cat"})]),
        (
            "I'd like a picture of a red fox in the snow.",
            [("text-to-image", {"text": "a red fox in the snow"})],
        ),
        (
            "Create a black and white picture of a dog",
            [("text-to-image", {"text": "a black and white picture of a dog"})],
        ),
        ("make a video of a dog on the beach", [("text-to-video", {"text": "a dog on the beach"})]),
        (
            "describe /examples/a.jpg then draw what you described",
            [CAPTION_A, ("text-to-image", {"text": "<GENERATED>-0"})],
        ),
        (
            "Describe /examples/a.jpg and then draw it as a watercolor painting",
            [CAPTION_A, ("text-to-image", {"text": "<GENERATED>-0 as a watercolor painting"})],
        ),
        (
            "Draw the Eiffel Tower, then find the edges of it and describe the picture",
            [
                ("text-to-image", {"text": "the Eiffel Tower"}),
                ("canny-control", {"image": "<GENERATED>-0"}),
                ("image-to-text", {"image": "<GENERATED>-0"}),
            ],
        ),
        (
            "Draw something like what is said in x.wav",
            [
                ("automatic-speech-recognition", {"audio": "x.wav"}),
                ("text-to-image", {"text": "something like"}),
            ],
        ),
        (
            "Make the sky in /examples/a.jpg purple",
            [("image-to-image", {"image": "/examples/a.jpg", "text": "Make the sky in the picture purple"})],
        ),
        ("Upscale /examples/a.jpg", [("image-to-image", {"image": "/examples/a.jpg"})]),
    ],
)
def test_making_pictures(request_text: str, steps: list[Step]) -> None:
    assert _steps(request_text) == steps


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
    assert _steps(request_text) == steps


@pytest.mark.parametrize(
    "request_text",
    [
        "Generate an image of a cat with the pose of d.jpg",
        "Find the pose in d.jpg. Then draw a cat using that pose",
    ],
)
def test_drawing_along_a_pose(request_text: str) -> None:
    assert _steps(request_text) == [
        ("openpose-control", {"image": "d.jpg"}),
        ("openpose-text-to-image", {"text": "a cat", "image": "<GENERATED>-0"}),
    ]


def test_a_pose_that_nothing_is_based_on_is_no_guide() -> None:
    assert _steps("Find the pose in d.jpg and draw a cat") == [
        ("openpose-control", {"image": "d.jpg"}),
        ("text-to-image", {"text": "a cat"}),
    ]


def test_each_of_several_pictures_is_asked() -> None:
    names = ("/examples/a.jpg", "/examples/b.jpg", "/examples/c.jpg")
    text = f"Given the images {', '.join(names)}, please tell me how many zebras are in these pictures"
    question = "How many zebras are in the picture?"
    assert _steps(text) == [
        ("visual-question-answering", {"image": name, "text": question}) for name in names
    ]


def test_several_pictures_described_then_compared() -> None:
    assert _steps("Describe a.jpg and b.jpg and tell me how similar the descriptions are") == [
        ("image-to-text", {"image": "a.jpg"}),
        ("image-to-text", {"image": "b.jpg"}),
        ("sentence-similarity", {"text1": "<GENERATED>-0", "text2": "<GENERATED>-1"}),
    ]


@pytest.mark.parametrize("joint", ["; ", ". ", " and then ", ", then ", "\n", ", and "])
def test_steps_may_be_joined_in_any_way(joint: str) -> None:
    assert _steps(f"Detect objects in a.jpg{joint}describe b.jpg{joint}read the description aloud") == [
        ("object-detection", {"image": "a.jpg"}),
        ("image-to-text", {"image": "b.jpg"}),
        ("text-to-speech", {"text": "<GENERATED>-1"}),
    ]


def test_the_same_task_is_planned_once() -> None:
    assert _steps("Transcribe x.wav and then summarize the transcript of x.wav") == [
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
    assert _steps(request_text, _attached(modality)) == steps


def test_every_attachment_is_taken() -> None:
    attachments = (_attached(Modality.IMAGE, "/images/1.png"), _attached(Modality.IMAGE, "/images/2.png"))
    assert [step[1] for step in _steps("Describe them", *attachments)] == [
        {"image": "/images/1.png"},
        {"image": "/images/2.png"},
    ]


def test_a_mention_wins_over_an_attachment() -> None:
    assert _steps("Describe b.jpg", _attached(Modality.IMAGE)) == [("image-to-text", {"image": "b.jpg"})]


def test_the_conversation_is_asked_last() -> None:
    context = (
        Message(role="system", content="You see /images/system.png"),
        Message(role="user", content="draw a cat"),
        Message(role="assistant", content="Here is the picture you asked for: /images/cat.png"),
    )
    assert _steps("Now detect the objects in it", context=context) == [
        ("object-detection", {"image": "/images/cat.png"})
    ]
    assert _steps("Detect the objects in dog.png", context=context) == [
        ("object-detection", {"image": "dog.png"})
    ]


def test_it_may_mean_the_last_answer() -> None:
    quoted = (Message(role="assistant", content="The text in the picture reads: “OPEN”."),)
    assert _steps("Read it aloud", context=quoted) == [("text-to-speech", {"text": "OPEN"})]
    plain = (Message(role="assistant", content="It is raining."),)
    assert _steps("Translate it to German", context=plain) == [
        ("translation", {"text": "It is raining.", "target_language": "German"})
    ]


@pytest.mark.parametrize(
    "talk",
    ["Hello there!", "Thanks a lot", "Who are you?", "What is the capital of France?", "", "???", "help"],
)
def test_mere_talk_plans_nothing_and_is_replied_to(talk: str) -> None:
    assert plan_text(talk) == []
    (reply,) = _ask(talk)
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
    (reply,) = _ask(request_text)
    assert isinstance(reply, Reply)
    assert f"I would need the {thing}" in reply.text


def test_what_can_be_done_is_planned_and_the_rest_left_to_the_plan() -> None:
    steps = _ask("Say 'hello' aloud. Then describe the image")
    assert [step["task"] for step in steps] == ["text-to-speech", "image-to-text"]
    assert steps[1]["args"] == {}


def test_a_guess_takes_mere_talk_for_a_conversation() -> None:
    assert guess("Hello there!") == [
        {"task": "conversational", "id": 0, "dep": [-1], "args": {"text": "Hello there!"}}
    ]
    assert guess("draw a cat") == plan_text("draw a cat")


def test_the_planner_yields_the_tasks_of_the_request() -> None:
    assert _ask("Describe it", _attached(Modality.IMAGE)) == plan_text(
        "Describe it", [_attached(Modality.IMAGE)]
    )


def test_long_requests_are_planned_as_short_ones() -> None:
    article = "The cat sat on the mat. " * 600
    (task,) = _ask(f"Summarize this: {article}")
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
