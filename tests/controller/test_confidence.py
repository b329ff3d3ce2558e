"""Confidence: what it grows with, what the embedded brain asks back, and what it does not ask about."""

import asyncio
import time
from dataclasses import astuple, fields, replace
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan import Plan
from controller.planner import Reply
from controller.request import Attachment, Message, Request
from controller.rules.confidence import FLOORS, THRESHOLD, Confidence, PlanSigns, TaskSigns, confidence
from controller.rules.planner import EmbeddedPlanner, guess, plan_text
from controller.rules.reading import read
from controller.rules.vocabulary import ASKING, Vocabulary, vocabularies
from model_catalog.tasks import MEDIA, Modality
from tests.support.plans import ask, attached

PICTURE = attached(Modality.IMAGE, "/images/1.png")
RECORDING = attached(Modality.AUDIO, "/audios/1.wav")

_UNRELATED = (
    "umbrella quietly seventeen river butter under a the of and with brave lantern thursday pencil green "
    "marmalade whisper mountain eleven rather velvet window because cactus gravel"
)

_share = st.floats(0, 1)
_tasks = st.builds(TaskSigns, _share, _share, _share)
_plans = st.builds(PlanSigns, _share, _share, _share)
_confidences = st.builds(Confidence, _plans, st.lists(_tasks, min_size=1, max_size=4).map(tuple))


def _sure(text: str) -> Confidence:
    return confidence(read(text), plan_text(text))


def _said(text: str, *attachments: Attachment) -> str:
    (reply,) = ask(text, *attachments)
    assert isinstance(reply, Reply)
    return reply.text


@given(_confidences)
def test_a_confidence_lies_between_nought_and_one(sure: Confidence) -> None:
    assert 0 <= sure.value <= sure.understood <= 1
    assert all(0 <= task.value <= 1 for task in sure.tasks)


@given(_confidences, st.data())
def test_it_grows_with_each_sign_of_the_plan(sure: Confidence, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(PlanSigns)]))
    more = data.draw(st.floats(getattr(sure.signs, name), 1))
    assert replace(sure, signs=replace(sure.signs, **{name: more})).value >= sure.value


@given(_confidences, st.data())
def test_it_grows_with_each_sign_of_a_task(sure: Confidence, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(TaskSigns)]))
    first, *others = sure.tasks
    better = replace(first, **{name: data.draw(st.floats(getattr(first, name), 1))})
    assert better.value >= first.value
    grown = replace(sure, tasks=(better, *others))
    assert grown.value >= sure.value - 1e-12
    assert grown.understood >= sure.understood - 1e-12


def test_every_sign_counts() -> None:
    assert {field.name for signs in (PlanSigns, TaskSigns) for field in fields(signs)} == FLOORS.keys()
    for signs in (PlanSigns, TaskSigns):
        assert signs().value == 1
        for field in fields(signs):
            assert signs(**{field.name: 0.5}).value < 1
            assert signs(**{field.name: 0.0}).value == pytest.approx(FLOORS[field.name])


def test_a_plan_without_tasks_has_none() -> None:
    assert Confidence(PlanSigns(), ()).value == 0
    assert Confidence(PlanSigns(), ()).understood == 0


@pytest.mark.parametrize(
    ("less", "more", "sign"),
    [
        ("describe the blorgy zorkish picture a.jpg", "describe the picture a.jpg", "explained"),
        ("translate the detect of 'car' under the edges of it", "translate 'car'", "followed"),
        ("describe a.jpg and water the plants", "describe a.jpg and read it aloud", "heeded"),
        ("describe a.jpg and email it to a friend", "describe a.jpg and translate it to French", "heeded"),
    ],
)
def test_signs_of_a_plan(less: str, more: str, sign: str) -> None:
    assert getattr(_sure(less).signs, sign) < getattr(_sure(more).signs, sign) == 1


@pytest.mark.parametrize(
    ("less", "more", "sign"),
    [
        ("There is a picture, a.jpg. Who is it?", "describe a.jpg", "explicit"),
        ("summarize a.jpg", "describe a.jpg", "explicit"),
        ("segment the picture", "segment the picture a.jpg", "inputs"),
        ("a.jpg and b.jpg are mine. Then segment one picture.", "a.jpg is mine. Segment it.", "wiring"),
    ],
)
def test_signs_of_a_task(less: str, more: str, sign: str) -> None:
    assert getattr(_sure(less).tasks[0], sign) < getattr(_sure(more).tasks[0], sign) == 1


def test_words_of_an_argument_are_understood() -> None:
    assert _sure("draw a quokka juggling kumquats").signs.explained == 1
    assert _sure("Dessine un éléphant géant").signs.explained == 1
    assert _sure("what is the sentiment of 'zork blorg'").signs.explained == 1


def test_words_that_tell_a_story_doubt_less_than_those_of_an_order() -> None:
    aside = _sure("Yesterday granny knitted mittens. Describe a.jpg.").signs.explained
    within = _sure("Yesterday granny knitted mittens, describe a.jpg.").signs.explained
    assert within < aside < 1


@pytest.mark.parametrize(
    "text",
    [
        "purple monkey dishwasher draw banana edges",
        "lkjh edges wqeoi summary zxmn aloud poiu",
        "banana classify umbrella yesterday outline of soup translate tax",
        "detect fraud in my account",
        "Describe a.jpg, fix my car, mow the lawn and water the plants.",
    ],
)
def test_what_is_not_understood_is_asked(text: str) -> None:
    said = _said(text)
    assert said.startswith("I am not sure that I understand “")
    assert said.count("?") == 1
    assert said.endswith(("translate a text or read a text aloud.", "find the objects in it."))


@pytest.mark.parametrize(
    ("attachment", "named"),
    [
        (PICTURE, "the picture, /images/1.png? I can, for example, describe it, read"),
        (RECORDING, "transcribe it"),
    ],
)
@pytest.mark.parametrize(
    "text", ["book me a flight", "fix my car", "asdf qwer zxcv", "hello", "colourless ideas sleep furiously"]
)
def test_what_to_do_with_a_file_is_asked(text: str, attachment: Attachment, named: str) -> None:
    said = _said(text, attachment)
    assert said.startswith("What shall I do with the ")
    assert named in said
    assert said.count("?") == 1


def test_a_file_the_request_names_goes_before_those_attached() -> None:
    assert "the table, sales.csv?" in _said("email sales.csv to my boss", PICTURE)
    assert "the recording, /audios/1.wav?" in _said("book me a flight", PICTURE, RECORDING)


@pytest.mark.parametrize(
    "text",
    [
        "book me a flight",
        "what is the capital of France",
        "fix my car",
        "turn off the lights",
        "hello",
        "thanks!",
    ],
)
def test_requests_outside_of_any_task_are_told_what_can_be_done(text: str) -> None:
    assert _said(text) == vocabularies()[0].reply


@given(st.lists(st.sampled_from(_UNRELATED.split()), min_size=1, max_size=12))
def test_words_without_an_order_are_never_a_plan(words: list[str]) -> None:
    (reply,) = ask(" ".join(words), PICTURE)
    assert isinstance(reply, Reply)


def test_long_doubts_are_cut() -> None:
    said = _said("frobnicated " * 50 + "edges summary aloud")
    assert len(said) < 300
    assert "…”" in said


@pytest.mark.parametrize(
    "text",
    [
        "yo whats in a.jpg",
        "pls transcribe x.wav asap thx!!",
        "can u plz read whats written on sign.png and translate it to french thx",
        "Summarise 'lorem ipsum dolor sit amet' quickly mate",
        "turn 'good night moon' into speech w/ a british accent",
        "Kindly be so good as to describe /examples/a.jpg for my blind aunt",
        "I'm sitting in a cafe in Lisbon, the waiter brought menu.jpg, please translate it to English",
        "Hello there! My colleague forwarded me the invoice inv.png yesterday. What's the total? Cheers, Tom",
        "Detect objects in street.jpg; segment it; estimate its depth",
        "how many lions are in lions.jpg",
        "write a limerick about kubernetes and read it aloud",
        "draw a cat",
    ],
)
def test_plain_requests_are_not_asked_about(text: str) -> None:
    assert _sure(text).value >= THRESHOLD
    assert not [step for step in ask(text) if isinstance(step, Reply)]


async def _run(
    text: str, *context: Message, attachments: tuple[Attachment, ...] = ()
) -> tuple[Plan, list[str]]:
    plan, said = Plan(), []
    request = Request(messages=(*context, Message(role="user", content=text)), attachments=attachments)
    async for step in EmbeddedPlanner().plan(request, lambda task: (), plan):
        if isinstance(step, Reply):
            said.append(step.text)
        else:
            plan.add(step)
    return plan, said


def test_one_order_that_is_not_understood_stops_none_of_the_others_and_is_told() -> None:
    plan, said = asyncio.run(_run("Describe a.jpg and email it to Bob."))
    assert [task.task for task in plan.tasks] == ["image-to-text"]
    assert plan.remarks == ["I am not sure that I understand “email it to Bob”."]
    assert said == []
    plan, _ = asyncio.run(_run("Describe a.jpg and read it aloud."))
    assert plan.remarks == []


def test_the_answer_to_a_question_finds_the_file_asked_about() -> None:
    first = "book me a flight"
    _, said = asyncio.run(_run(first, attachments=(PICTURE,)))
    turns = (Message(role="user", content=first), Message(role="assistant", content=said[0]))
    plan, said = asyncio.run(_run("describe it", *turns))
    assert [(task.task, task.args) for task in plan.tasks] == [("image-to-text", {"image": "/images/1.png"})]
    assert said == []


def test_a_request_that_only_lacks_its_file_is_asked_for_it() -> None:
    assert _said("segment the picture").startswith("I would need the picture for that.")


def test_guesses_ask_nothing_back() -> None:
    for text in ("purple monkey dishwasher draw banana edges", "segment the picture"):
        assert [task["task"] for task in guess(text)] == [task["task"] for task in plan_text(text)] != []
    assert [task["task"] for task in guess("book me a flight")] == ["conversational"]


@pytest.mark.parametrize("vocabulary", vocabularies(), ids=lambda vocabulary: vocabulary.language)
def test_every_language_asks_back(vocabulary: Vocabulary) -> None:
    slots = {
        key: {name for _, name, _, _ in Formatter().parse(text) if name}
        for key, text in vocabulary.asking.items()
    }
    assert slots == dict(
        zip(ASKING, [{"words"}, {"things", "file", "options"}, {"options"}, set()], strict=True)
    )
    assert vocabulary.offers.keys() == {*MEDIA, Modality.TEXT, Modality.DATA}
    for modality, offers in vocabulary.offers.items():
        assert 2 <= len(offers) <= 3
        assert modality is Modality.DATA or modality in vocabulary.things


def test_it_is_the_same_every_time() -> None:
    text = "a.jpg and b.jpg are mine. Describe them, water the plants, and read it aloud."
    assert len({astuple(_sure(text)) for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "repeated",
    ["describe a.jpg and water the plants and ", "zork ", "summarize it. ", "What is it? ", "{}.jpg, "],
)
def test_time_grows_with_the_length_alone(repeated: str) -> None:
    def seconds(times: int) -> float:
        text = "describe " + "".join(repeated.format(number) for number in range(times))
        reading, drafts = read(text), plan_text(text)
        runs = []
        for _ in range(3):
            began = time.thread_time()
            confidence(reading, drafts)
            runs.append(time.thread_time() - began)
        return min(runs)

    assert seconds(4000) < 0.01 + 4 * 8 * seconds(500)


async def test_a_plan_tells_how_sure_it_is() -> None:
    sure, unsure = Plan(), Plan()
    said = ((sure, "Translate 'good morning' into French"), (unsure, "glorp the wizzle of seven"))
    for plan, words in said:
        request = Request(messages=(Message(role="user", content=words),))
        async for _ in EmbeddedPlanner().plan(request, lambda task: (), plan):
            pass
    assert sure.confidence is not None
    assert unsure.confidence is not None
    assert 0 <= unsure.confidence < sure.confidence <= 1
