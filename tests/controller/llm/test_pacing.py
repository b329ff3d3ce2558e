"""The time of planning: an endpoint that writes without end, and one that is busy."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from controller.llm.pacing import Limit
from controller.llm.planner import LlmPlanner
from controller.plan import Plan
from controller.planner import Reply as Said
from deployments.llm.errors import LlmTimeoutError
from tests.controller.llm.planning import asked, caption, llm_of, nothing, plan, speak, task, written
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint
from tests.support.fakes import virtual

BLANKS = " \n" * 2_000


async def test_a_whole_plan_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.llm.planner.TAIL_S", 0.2)
    text = written(caption(0), speak(1))
    done = await asyncio.wait_for(plan([Reply(text + BLANKS, tokens=2_000, rate=100)]), 10)
    assert [one.id for one in done.plan.tasks] == [0, 1]
    assert (done.plan.remarks, len(done.requests)) == ([], 1)
    assert done.requests[0].sent < 300


@pytest.mark.parametrize("more", [BLANKS, '{"task": "' + "very " * 1_000])
async def test_a_plan_without_end_has_its_time(more: str) -> None:
    text = written(caption(0)).rpartition("]")[0] + ", " + more
    script = [Reply(text, tokens=len(text) // 4, rate=100)]
    done = await asyncio.wait_for(plan(script, times={"seconds": 4.0}), 30)
    assert [one.id for one in done.plan.tasks] == [0]
    assert done.plan.remarks == ["The plan broke off. The LLM did not end the plan within 4 s."]
    assert len(done.requests) == 1
    assert done.requests[0].sent < 900


async def test_a_reply_without_end_has_its_time() -> None:
    text = written(reply="Hello " + "word " * 1_000)
    done = await asyncio.wait_for(plan([Reply(text, tokens=1_000, rate=50)], times={"seconds": 4.0}), 30)
    assert done.reply.startswith("Hello word")
    assert done.plan.remarks == ["The answer broke off. The LLM did not end the plan within 4 s."]


async def test_blanks_without_end_leave_the_plan_to_another() -> None:
    with pytest.raises(LlmTimeoutError, match="did not end the plan within"):
        await asyncio.wait_for(plan([Reply(BLANKS, tokens=2_000, rate=50)], times={"seconds": 0.5}), 10)


async def test_a_second_call_has_what_the_first_left() -> None:
    script = [Reply(written(caption(0), task("sing", 1)), first_s=0.6), Reply("{}", first_s=30)]
    done = await asyncio.wait_for(plan(script, times={"seconds": 4.0}), 30)
    assert re.search(r"did not mend the plan within [123]\.", done.plan.remarks[0])


async def test_calls_that_wait_for_a_place_lose_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three plans at once over one place: each second call waits for two first ones."""
    monkeypatch.setattr("controller.llm.planner.REPAIR_S", 1.9)

    def script(given: Asked) -> Reply:
        again = given.messages[-2]["role"] == "assistant"
        return Reply(written(speak(1)) if again else written(caption(0), task("sing", 1)), first_s=1.0)

    with ScriptedEndpoint(script) as endpoint:
        llm = llm_of(endpoint, concurrency=1)

        async def one() -> Plan:
            made = Plan()
            async with aclosing(LlmPlanner(llm, seconds=20.0).plan(asked("Do it"), nothing, made)) as steps:
                async for step in steps:
                    assert not isinstance(step, Said)
                    made.add(step)
            return made

        plans = await asyncio.gather(one(), one(), one())
        await llm.close()
    assert [[one.id for one in made.tasks] for made in plans] == [[0, 1]] * 3
    assert [made.remarks for made in plans] == [[], [], []]


async def _waiting(begin: Callable[[], None], place_s: float, pause_s: float) -> AsyncGenerator[str]:
    await asyncio.sleep(place_s)
    begin()
    while True:
        await asyncio.sleep(pause_s)
        yield "more"


@virtual
async def test_a_limit_begins_with_the_call() -> None:
    limit = Limit("end", 10.0, 100.0)
    deltas = _waiting(limit.begin, 99.0, 4.0)
    assert [await limit.next(deltas), await limit.next(deltas)] == ["more", "more"]
    assert (limit.waited, limit.took) == (99.0, 8.0)
    with pytest.raises(LlmTimeoutError, match="did not end within 10 s"):
        await limit.next(deltas)
    assert limit.took == 10.0


@virtual
async def test_waiting_for_a_place_may_have_a_bound_too() -> None:
    limit = Limit("end", 10.0, 100.0)
    with pytest.raises(LlmTimeoutError, match="no place for another call within 100 s"):
        await limit.next(_waiting(limit.begin, 101.0, 1.0))
    assert (limit.waited, limit.took) == (100.0, 0.0)
    endless = Limit("end", 10.0)
    assert await endless.next(_waiting(endless.begin, 1e6, 1.0)) == "more"
