"""The LLM planner over a real endpoint: tasks as they are written, replies, one call if nothing is amiss."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from controller.errors import TooManyTasksError
from controller.llm.planner import LlmPlanner
from controller.plan import Plan
from controller.planner import RawTask
from controller.planner import Reply as Said
from controller.request import Message
from deployments.llm.errors import (
    LlmAuthError,
    LlmError,
    LlmLengthError,
    LlmRateError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from model_catalog.card import ModelCard
from model_catalog.tasks import Modality
from tests.controller.llm.planning import (
    Planned,
    asked,
    caption,
    llm_of,
    nothing,
    plan,
    speak,
    strict_form,
    task,
    written,
)
from tests.support.endpoint import Reply, ScriptedEndpoint, broken, limited
from tests.support.plans import attached

CHAIN = [caption(0), task("translation", 1, [0], text="<GENERATED>-0"), speak(2, "<GENERATED>-1", [1])]


def _ids(done: Planned) -> list[int]:
    return [task.id for task in done.plan.tasks]


async def test_a_plan_takes_one_call() -> None:
    done = await plan([written(*map(strict_form, CHAIN))])
    assert done.wire == [{**CHAIN[0], "dep": [-1]}, *CHAIN[1:]]
    assert (done.plan.notes, done.plan.faults, done.plan.remarks) == ([], [], [])
    assert (len(done.requests), done.usage.calls) == (1, 1)
    assert done.usage.completion_tokens > 0
    assert done.reply == ""


async def test_each_task_comes_while_the_next_is_not_yet_written() -> None:
    """The endpoint stops for good in the middle of the second task; the first one is there nevertheless."""
    text = written(*CHAIN)
    script = Reply(text, tokens=len(text), stall_after=text.index("}}") + 4)
    with ScriptedEndpoint(script) as endpoint:
        llm = llm_of(endpoint)
        steps = LlmPlanner(llm).plan(asked("Describe and say it"), nothing, Plan())
        step = await asyncio.wait_for(anext(steps), 10)
        assert not isinstance(step, Said)
        assert step["task"] == "image-to-text"
        await steps.aclose()
        assert await asyncio.to_thread(endpoint.requests[0].over.wait, 10)
        assert endpoint.requests[0].gone  # closing the plan closed the connection
        await llm.close()


@pytest.mark.parametrize("none", [-1, -7, True])
async def test_what_is_no_task_in_dep_holds_nothing_up(none: int) -> None:
    seen: list[str] = []
    script = [Reply(written(speak(3, dep=[none]), caption(0)), tokens=100)]
    await plan(script, seen=lambda _, step: seen.append(step["task"]))
    assert seen == ["text-to-speech", "image-to-text"]


async def test_the_request_is_strict_and_has_no_more_than_any_endpoint_takes() -> None:
    (request,) = (await plan([written(speak(0))])).requests
    assert request.format == "json_schema"
    assert request.body["temperature"] == 0
    assert {"logit_bias", "max_tokens", "max_completion_tokens", "tools", "functions"}.isdisjoint(
        request.body
    )
    assert [message["role"] for message in request.messages] == ["system", "user"]


@pytest.mark.parametrize("refused", [("json_schema",), ("json_schema", "json_object")])
async def test_an_endpoint_without_schemas_plans_as_well(refused: tuple[str, ...]) -> None:
    text = f"Sure, here is the plan:\n```json\n{written(*CHAIN)}\n```\n"
    done = await plan(text, server={"refuses": refused})
    assert _ids(done) == [0, 1, 2]
    assert done.reply == ""


async def test_small_talk_is_answered_in_the_same_call_while_it_is_written() -> None:
    done = await plan([Reply(written(reply='Hello, "friend"!\nWhat shall I do?'), tokens=30)])
    assert done.reply == 'Hello, "friend"!\nWhat shall I do?'
    assert len(done.replies) > 3
    assert (done.wire, len(done.requests)) == ([], 1)


async def test_prose_is_a_reply() -> None:
    done = await plan("I can draw, speak [and listen].", server={"refuses": ("json_schema", "json_object")})
    assert (done.reply, done.wire) == ("I can draw, speak [and listen].", [])


async def test_words_behind_an_empty_plan_are_the_reply() -> None:
    done = await plan('{"tasks": []}\n\nHello, I am fine.')
    assert (done.reply, done.wire, len(done.requests)) == ("Hello, I am fine.", [], 1)


@pytest.mark.parametrize(
    "nothing_said", ["", "[]", written(), written(reply=" \n"), "```json\n[]\n```", '{"tasks": [{"ta']
)
async def test_an_llm_that_says_nothing_leaves_the_plan_to_another(nothing_said: str) -> None:
    with pytest.raises(LlmError):
        await plan([nothing_said])


async def test_tasks_written_before_what_they_refer_to_wait_for_it() -> None:
    seen: list[int] = []
    done = await plan(
        [written(CHAIN[2], CHAIN[1], speak(3), CHAIN[0])], seen=lambda _, step: seen.append(step["id"])
    )
    assert seen == [3, 0, 1, 2]
    assert (len(done.requests), done.plan.faults) == (1, [])
    assert done.plan.task(2).dep == (1,)


async def test_a_list_of_references_unfolds() -> None:
    pictures = [caption(0), caption(1, "/images/b.png")]
    done = await plan([written(*pictures, speak(2, "<GENERATED>-0, <GENERATED>-1"))])
    assert [dict(one.args) for one in done.plan.tasks[2:]] == [
        {"text": "<GENERATED>-0"},
        {"text": "<GENERATED>-1"},
    ]


async def test_options_become_arguments_and_strange_ones_are_noted() -> None:
    options = [{"name": "seed", "value": "7"}, {"name": "voice", "value": "low"}]
    raw = strict_form(task("text-to-image", 0, text="a cat")) | {"options": options}
    done = await plan([written(raw)])
    assert done.wire[0]["args"] == {"text": "a cat", "seed": "7"}
    assert done.plan.notes == ["task 0 (text-to-image): text-to-image takes no argument 'voice'; ignored"]


def _offers(name: str) -> tuple[ModelCard, ...]:
    ids = {"text-to-image": ["big/one", "small/one"]}.get(name, [])
    return tuple(ModelCard(id=model, tasks=(name,)) for model in ids)


async def test_the_model_and_the_reason_are_taken() -> None:
    raw = strict_form(task("text-to-image", 0, text="a cat")) | {"model": "small/one", "reason": "it is fast"}
    done = await plan([written(raw)], offers=_offers)
    assert (done.plan.tasks[0].model, done.plan.tasks[0].reason) == ("small/one", "it is fast")
    schema = done.requests[0].schema
    assert schema is not None
    assert "small/one" in str(schema)
    assert "small/one" in done.requests[0].system


async def test_a_reply_beside_tasks_is_passed_over() -> None:
    done = await plan([written(speak(0), reply="I am on it")])
    assert (_ids(done), done.reply) == ([0], "")


# Failures of the endpoint before anything came: another planner takes over.


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (broken(), LlmUnavailableError),
        (limited(), LlmRateError),
        (Reply(status=401, error="Incorrect API key provided"), LlmAuthError),
        (Reply(refusal="I will not"), LlmRefusedError),
        (Reply(written(*CHAIN), cut_after=2), LlmUnavailableError),
        (Reply('{"tasks": [{"task": "image', finish="length"), LlmLengthError),
        (Reply(written(*CHAIN), stall_after=1), LlmTimeoutError),
        (Reply("Well, I think that", finish="length"), LlmLengthError),
    ],
)
async def test_a_failure_before_any_task_is_the_endpoints(script: Reply, error: type[LlmError]) -> None:
    done = Planned(Plan(), [])
    late = 0.5 if error is LlmTimeoutError else 30
    with pytest.raises(error):
        await plan([script], timeout_s=late, seen=lambda planned, _: setattr(done, "plan", planned.plan))
    assert (done.plan.tasks, done.plan.faults) == ([], [])


async def test_a_failure_after_nothing_but_faults_leaves_the_plan_empty() -> None:
    last: list[Plan] = []
    text = written(speak(0, None), *CHAIN)
    script = [Reply(text, tokens=len(text), cut_after=text.index("}}") + 8)]
    with pytest.raises(LlmUnavailableError):
        await plan(script, seen=lambda done, _: last.append(done.plan))
    assert last
    assert last[-1].faults == []


async def test_a_reply_that_breaks_off_says_so() -> None:
    text = written(reply="one two three four five six")
    done = await plan([Reply(text, tokens=len(text), cut_after=len(text) - 8)])
    assert done.reply.startswith("one two three four")
    (remark,) = done.plan.remarks
    assert "answer broke off" in remark


@pytest.mark.parametrize(
    "end", [{"finish": "length"}, {"finish": None}, {"cut_after": 200}, {"finish": "content_filter"}]
)
@pytest.mark.parametrize("text", [written(*CHAIN), written(reply="Hello")])
async def test_how_a_whole_answer_ends_is_of_no_matter(text: str, end: dict[str, Any]) -> None:
    done = await plan([Reply(text + " " * 200, tokens=len(text) + 200, **_behind(text, end))])
    assert (_ids(done), done.reply) in (([0, 1, 2], ""), ([], "Hello"))
    assert (done.plan.remarks, len(done.requests)) == ([], 1)


def _behind(text: str, end: dict[str, Any]) -> dict[str, Any]:
    return {name: value + len(text) - 100 if name == "cut_after" else value for name, value in end.items()}


def _refusing(text: str) -> Reply:
    """An answer that turns into a refusal."""
    deltas = [({"content": text}, None), ({"refusal": "I will not go on."}, None), ({}, "stop")]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    return Reply(lines=(*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (_refusing(written(CHAIN[0]).rpartition("]")[0]), "refuses: I will not go on."),
        (Reply(written(*CHAIN)[:-40], finish="content_filter"), "A content filter of"),
    ],
)
async def test_a_refusal_after_some_tasks_is_told_and_not_gone_around(script: Reply, told: str) -> None:
    done = await plan([script, written(speak(1, "what was refused"))])
    assert _ids(done)[:1] == [0]
    assert "what was refused" not in str(done.wire)
    (remark,) = done.plan.remarks
    assert remark.startswith("The plan broke off. ")
    assert told in remark
    assert len(done.requests) == 1


# Thoughts whose beginning is not written.


DRAFT = task("sing", 0, text="la")


@pytest.mark.parametrize("tokens", [1, 7, 60])
@pytest.mark.parametrize("thoughts", [written(DRAFT, speak(1, "<GENERATED>-0")), json.dumps(DRAFT), "Hm."])
async def test_drafts_among_thoughts_are_taken_back(thoughts: str, tokens: int) -> None:
    text = f"Okay. A plan:\n{thoughts[:-1]}\nNo.\n</think>\n\n"
    done = await plan([Reply(text + written(*CHAIN), tokens=tokens)])
    assert (_ids(done), done.plan.faults, done.plan.remarks) == ([0, 1, 2], [], [])
    assert (done.reply, len(done.requests)) == ("", 1)
    said = await plan([Reply(f"{text}Hello", tokens=tokens)])
    assert (said.reply, said.plan.faults) == ("Hello", [])


async def test_what_runs_is_not_taken_back() -> None:
    """An endpoint that is not known for such thoughts, and a draft that was read as the plan."""
    text = f"Maybe {json.dumps(caption(0))}\n</think>\n{written(speak(1))}"
    done = await plan([Reply(text, tokens=len(text))])
    assert sorted(_ids(done)) == [0, 1]


# Limits.


async def test_a_plan_of_500_tasks_is_refused_and_the_stream_closed() -> None:
    text = written(*(speak(n, f"text {n}") for n in range(500)))
    with ScriptedEndpoint(Reply(text, tokens=5000, stall_after=2500)) as endpoint:
        llm = llm_of(endpoint)
        made = Plan(32)
        steps = LlmPlanner(llm).plan(asked("Do it 500 times"), nothing, made)
        with pytest.raises(TooManyTasksError, match="more than 32 tasks"):
            await _add_all(steps, made)
        assert len(made.tasks) == 32
        assert await asyncio.to_thread(endpoint.requests[0].over.wait, 10)
        assert endpoint.requests[0].sent < 5000
        assert len(endpoint.requests) == 1
        await llm.close()


async def _add_all(steps: AsyncGenerator[RawTask | Said], made: Plan) -> None:
    async with aclosing(steps):
        async for step in steps:
            assert not isinstance(step, Said)
            made.add(step)


@pytest.mark.parametrize(
    "tasks",
    [
        [speak(n, None) for n in range(500)],  # all faulty
        [speak(n, f"<GENERATED>-{n + 1}") for n in range(500)],  # all waiting
        [{"task": "text-to-speech"}] * 500,
        [3] * 500,
    ],
)
async def test_500_tasks_that_cannot_run_are_refused_as_well(tasks: list[Any]) -> None:
    with pytest.raises(TooManyTasksError):
        await plan([written(*tasks)])


async def test_a_narrow_context_still_has_the_request() -> None:
    """JARVIS took messages away until none was left (P7)."""
    context = [Message(role="user", content=f"turn {n} " * 400) for n in range(60)]
    request = asked("Say hello aloud", attached(Modality.IMAGE, "/images/z.png"), context=context)
    for tokens in (2_000, 8_000, 16_000):
        (sent,) = (await plan([written(speak(0))], request, context_tokens=tokens)).requests
        assert sent.user.startswith("Say hello aloud") or "\nSay hello aloud" in sent.user
        assert "/images/z.png (image)" in sent.user
        assert sum(len(message["content"]) for message in sent.messages[1:]) < 4 * tokens
