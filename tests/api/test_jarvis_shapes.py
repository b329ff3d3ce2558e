"""HuggingGPT's own dialect: the shape of each kind of result, as JARVIS's clients read it."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from controller.planner import Reply
from controller.settings import Settings
from deployments.account import Account, Artifact
from deployments.errors import ExpertError
from deployments.result import Result
from model_catalog.tasks import TASKS, Modality
from tests.api.doors import asked, doors
from tests.support.brains import FakeResponder
from tests.support.cluster import card
from tests.support.fakes import Called, FakeCluster, answer, wrapped
from tests.support.stage import FAULTY, Stage

IMAGE = Artifact(path="/images/y.png", modality=Modality.IMAGE, media_type="image/png", size=1)
AUDIO = Artifact(path="/audios/y.wav", modality=Modality.AUDIO, media_type="audio/wav", size=1)
VIDEO = Artifact(path="/videos/y.mp4", modality=Modality.VIDEO, media_type="video/mp4", size=1)
LABELS = [{"label": "cat", "score": 0.5}]
INPUTS = {"image": "/images/x.png", "audio": "/audios/x.wav", "video": "/videos/x.mp4"}
FILES = {
    "/images/x.png": Modality.IMAGE,
    "/audios/x.wav": Modality.AUDIO,
    "/videos/x.mp4": Modality.VIDEO,
}


def _stage(
    steps: list[Any], results: Mapping[int, Result | Exception], *artifacts: Artifact, **more: Any
) -> Stage:
    """A stage whose tasks end with these results, by id; media are stored as these artifacts."""
    results = dict(results)

    def script(called: Called) -> Result | BaseException:
        return results.get(called.call.id, answer(called.card))

    def keep(result: Result) -> Account:
        return Account.of(result, artifacts)

    stage = Stage(steps, cluster=FakeCluster(script, keep, files=dict(FILES)), **more)
    types = {step["task"] for step in steps if isinstance(step, dict) and step["task"] in TASKS}
    cards = [card(f"model-of-{task}", task, "Echo") for task in types]
    selector = stage.controller.selector
    selector.catalog = type(selector.catalog)(cards)
    selector.fleet = type(selector.fleet)(frozenset(item.id for item in cards))
    return stage


async def _post(stage: Stage, door: str = "/results", **more: Any) -> httpx2.Response:
    async with doors(stage) as http:
        return await http.post(door, json=asked(**more))


async def _result(task: str, result: Result, *artifacts: Artifact) -> Any:
    """The inference result of one task."""
    row = TASKS[task]
    args = {item.name: INPUTS.get(item.modality, "words") for item in row.arguments if item.required}
    stage = _stage([{"task": task, "id": 0, "args": args}], {0: result}, *artifacts)
    answered = (await _post(stage)).json()
    assert list(answered) == ["0"]
    return answered["0"]["inference result"]


# One result ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "result", "artifacts", "told"),
    [
        ("summarization", Result(text="short"), (), {"response": "short"}),
        ("translation", Result(text="court"), (), {"response": "court"}),
        ("conversational", Result(text="hi"), (), {"response": "hi"}),
        ("text-generation", Result(text="on"), (), {"response": "on"}),
        ("text2text-generation", Result(), (), {"response": ""}),
        ("image-to-text", Result(text="a cat", data=LABELS), (), {"generated text": "a cat"}),
        ("image-classification", Result(text="cat", data=LABELS), (), LABELS),
        ("token-classification", Result(text="", data=[]), (), []),
        ("audio-classification", Result(text="dog", data=LABELS), (), LABELS),
        ("object-detection", Result(text="a cat", data=LABELS), (IMAGE,),
         {"generated image": "/images/y.png", "predicted": LABELS}),
        ("image-segmentation", Result(data=LABELS), (IMAGE,),
         {"generated image": "/images/y.png", "predicted": LABELS}),
        ("depth-estimation", Result(), (IMAGE,), {"generated image": "/images/y.png"}),
        ("text-to-image", Result(), (IMAGE,), {"generated image": "/images/y.png"}),
        ("text-to-speech", Result(), (AUDIO,), {"generated audio": "/audios/y.wav"}),
        ("audio-to-audio", Result(), (AUDIO,), {"generated audio": "/audios/y.wav"}),
        ("text-to-video", Result(), (VIDEO,), {"generated video": "/videos/y.mp4"}),
        ("automatic-speech-recognition", Result(text="said"), (), {"text": "said", "generated text": "said"}),
        ("automatic-speech-recognition", Result(text="said", data=LABELS), (),
         {"text": "said", "generated text": "said"}),
        ("automatic-speech-recognition", Result(text="said", data={"chunks": []}), (),
         {"text": "said", "predicted": {"chunks": []}, "generated text": "said"}),
        ("question-answering", Result(text="42", data={"answer": "42", "score": 1.0}), (),
         {"predicted": {"answer": "42", "score": 1.0}, "generated text": "42"}),
        ("visual-question-answering", Result(text="yes", data=LABELS), (), LABELS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_each_kind_of_result_has_jarviss_shape(
    task: str, result: Result, artifacts: tuple[Artifact, ...], told: Any
) -> None:
    assert await _result(task, result, *artifacts) == told


# Whole answers -------------------------------------------------------------------------------------------

CHAIN = [
    {"task": "image-to-text", "id": 0, "args": {"image": "/images/x.png"}},
    {"task": "object-detection", "id": 1, "args": {"image": "/images/x.png"}},
    {"task": "text-to-speech", "id": 2, "args": {"text": "It says: <GENERATED>-0!"}},
    {"task": "depth-estimation", "id": 3, "args": {"image": "<GENERATED>-1"}},
]


async def test_arguments_are_told_as_what_they_refer_to() -> None:
    stage = _stage(CHAIN, {0: Result(text="NOON")}, IMAGE)
    told = (await _post(stage)).json()
    assert list(told) == ["0", "1", "2", "3"]
    assert [told[n]["task"]["args"] for n in told] == [
        {"image": "/images/x.png"},
        {"image": "/images/x.png"},
        {"text": "It says: NOON!"},
        {"image": "/images/y.png"},
    ]
    assert [told[n]["task"]["dep"] for n in told] == [[-1], [-1], [0], [1]]
    assert told["0"]["choose model result"] == {
        "id": "test/model-of-image-to-text",
        "reason": "the only model that can run this task here",
    }
    assert told["2"]["task"]["id"] == 2


async def test_a_result_without_what_is_referred_to_keeps_the_reference() -> None:
    stage = _stage(CHAIN[:2] + CHAIN[3:], {}, AUDIO)
    told = (await _post(stage)).json()
    assert told["3"]["task"]["args"] == {"image": "<GENERATED>-1"}, "task 1 made no picture"


async def test_what_failed_says_why_and_keeps_its_references() -> None:
    broken = wrapped(ExpertError("the model is broken"))
    stage = _stage(CHAIN, {0: broken, 1: broken}, IMAGE)
    told = (await _post(stage)).json()
    assert told["0"]["inference result"] == {"error": {"message": "the model is broken"}}
    assert told["2"]["inference result"] == {
        "error": {"message": "Task 0 (image-to-text), which it needs, failed: the model is broken"}
    }
    assert told["2"]["task"]["args"] == {"text": "It says: <GENERATED>-0!"}
    assert told["2"]["choose model result"] == ""


async def test_the_plan_alone_is_told_in_wire_form() -> None:
    stage = _stage(CHAIN[:1] + CHAIN[2:3], {})
    assert (await _post(stage, "/tasks")).json() == [
        CHAIN[0] | {"dep": [-1]},
        CHAIN[2] | {"dep": [0]},
    ]
    assert stage.cluster.calls == []


@pytest.mark.parametrize("door", ["/tasks", "/results", "/hugginggpt"])
async def test_a_reply_is_a_message_and_holds_no_markup(door: str) -> None:
    reply = Reply("1 < 2 & 3 > 2, <b>bold</b> <!-- x --> </p> <?php <3")
    told = (await _post(Stage([reply]), door)).json()
    assert told == {"message": "1 < 2 & 3 > 2, &lt;b>bold&lt;/b> &lt;!-- x --> &lt;/p> &lt;?php <3"}


async def test_an_answer_is_a_message() -> None:
    stage = _stage(CHAIN[:1], {}, responder=FakeResponder(["It ", "says <i>NOON</i>."]))
    assert (await _post(stage, "/hugginggpt")).json() == {"message": "It says &lt;i>NOON&lt;/i>."}


# Requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["/tasks", "/results", "/hugginggpt"])
async def test_what_jarviss_clients_send_besides_is_ignored(door: str) -> None:
    answered = await _post(Stage([Reply("hi")]), door, model="gpt-4", temperature=0, api_key="", nonsense=[1])
    assert answered.status_code == 200


@pytest.mark.parametrize("field", ["api_key", "api_type", "api_endpoint"])
async def test_a_clients_own_llm_is_taken_only_where_it_is_allowed(field: str) -> None:
    for allowed, status in ((False, 403), (True, 200)):
        stage = Stage([Reply("hi")], settings=Settings(allow_client_llm=allowed))
        assert (await _post(stage, **{field: "x"})).status_code == status


@pytest.mark.parametrize("door", ["/tasks", "/results", "/hugginggpt"])
async def test_a_plan_of_which_nothing_can_run_is_a_clients_error(door: str) -> None:
    answered = await _post(Stage([FAULTY]), door)
    assert answered.status_code == 422
    assert answered.json()["error"]["code"] == "invalid_plan"
