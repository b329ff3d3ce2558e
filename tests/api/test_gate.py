"""The gate alone and before the doors: requests under way, deadlines, and every door's refusal."""

import asyncio
from contextlib import ExitStack

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from controller.admission import Wanted
from controller.api.gate import MOST, ONGOING, Gate
from controller.errand import Errand, errand, undertaking
from controller.errors import OverloadedError, RequestError
from controller.identity import Caller, afresh, calling
from tests.api.doors import asked, doors
from tests.support.dispatching import ONE
from tests.support.fakes import FakeCluster, answers
from tests.support.stage import Stage


class Held:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.errands: list[Errand] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.errands.append(errand())
        await self.go_on.wait()


async def _ask(gate: Gate, method: str = "POST", path: str = "/v1/runs", **headers: str) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": method, "path": path, "headers": raw}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    await gate(scope, receive, send)


def _begin(gate: Gate, count: int, owner: str) -> list[asyncio.Task[None]]:
    with calling(Caller(owner)):
        return [asyncio.create_task(_ask(gate)) for _ in range(count)]


def test_fewer_are_let_in_than_serve_takes() -> None:
    assert MOST < ONGOING


async def test_what_is_over_the_number_is_refused_and_callers_share_it() -> None:
    held = Held()
    gate = Gate(held, 10)
    under_way = _begin(gate, 10, "hog")
    await asyncio.sleep(0)
    refused = [task for task in under_way if task.done()]
    assert [type(task.exception()) for task in refused] == [OverloadedError]
    light = _begin(gate, 1, "light")
    await asyncio.sleep(0)
    assert len(held.errands) == 10
    assert len({one.id for one in held.errands}) == 10
    with pytest.raises(OverloadedError):
        await _ask(gate)
    always = [asyncio.create_task(_ask(gate, "DELETE")), asyncio.create_task(_ask(gate, "GET", "/healthz"))]
    await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.gather(*light, *always, *under_way, return_exceptions=True)
    await _ask(gate)


@pytest.mark.parametrize("said", ["0", "-1", "nan", "inf", "soon", ""])
async def test_a_deadline_that_is_no_number_of_seconds_is_refused(said: str) -> None:
    gate = Gate(Held(), 1)
    for _ in range(2):  # and takes no place
        with pytest.raises(RequestError, match="X-Deadline-Seconds"):
            await _ask(gate, x_deadline_seconds=said)


async def test_a_request_and_what_outlives_it_keep_its_deadline() -> None:
    held = Held()
    held.go_on.set()
    await _ask(Gate(held), x_deadline_seconds="2.5")
    assert held.errands[0].seconds == 2.5
    assert errand() == Errand()
    with undertaking(held.errands[0]):
        kept = afresh()
    assert kept.run(errand) == held.errands[0]


# Every door ----------------------------------------------------------------------------------------------


_DOORS = {
    "/v1/runs": asked(),
    "/v1/runs streamed": asked(stream=True),
    "/v1/runs in the background": asked(background=True),
    "/hugginggpt": asked(),
    "/v1/chat/completions": asked(model="hugginggpt"),
    "/v1/chat/completions streamed": asked(model="hugginggpt", stream=True),
    "/v1/responses": {"model": "hugginggpt", "input": "do it"},
}


@pytest.mark.parametrize("door", _DOORS)
async def test_every_door_tells_that_there_is_no_room_and_when_there_is(door: str) -> None:
    stage = Stage(ONE, cluster=FakeCluster(answers))
    async with doors(stage) as http:
        with ExitStack() as stack:
            for model in ("test/a", "test/a2"):
                ticket = stack.enter_context(stage.controller.entrance.admission.run("", model))
                ticket.admit([Wanted(number, (model,)) for number in range(64)], 1e9)
            refused = await http.post(door.partition(" ")[0], json=_DOORS[door])
        assert refused.status_code == 429, refused.text
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "overloaded"
        assert stage.cluster.calls == []
        assert (await http.post(door.partition(" ")[0], json=_DOORS[door])).status_code in (200, 202)


async def test_a_clients_deadline_reaches_the_expert() -> None:
    stage = Stage(ONE, cluster=FakeCluster(answers))
    async with doors(stage) as http:
        told = [await _run(http, {"x-deadline-seconds": "7"}), await _run(http, {})]
    assert told == [200, 200]
    first, second = (called.call.deadline for called in stage.cluster.calls)
    assert first is not None
    assert second is not None
    assert second - first > 100


async def _run(http: httpx2.AsyncClient, headers: dict[str, str]) -> int:
    return (await http.post("/v1/runs", json=asked(), headers=headers)).status_code
