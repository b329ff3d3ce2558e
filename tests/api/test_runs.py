"""The runs door: plans of a client's own, the background, events read again, keys, cancellation."""

import asyncio
from typing import Any

import httpx2
import pytest

from controller.api.app import Backend, build
from controller.outcome import Status
from controller.planner import Reply
from controller.registry import Runs
from tests.api.doors import asked, doors
from tests.api.leaving import Visit
from tests.support.dispatching import CHAIN, ONE
from tests.support.fakes import FakeCluster, turns
from tests.support.stage import Stage


def _waiting() -> Stage:
    """A stage whose one task waits for the test."""
    return Stage(ONE, cluster=FakeCluster())


async def _under_way(stage: Stage) -> None:
    """Wait until the task is called."""
    await turns(500)
    assert stage.cluster.calls


def _ids(answer: httpx2.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(line[4:]) for line in answer.text.splitlines() if line.startswith("id: ")]


# A client's own plan -------------------------------------------------------------------------------------


async def test_a_plan_is_run_without_words() -> None:
    async with doors(Stage([RuntimeError("never asked")])) as http:
        told = (await http.post("/v1/runs", json={"plan": CHAIN})).json()
        assert [task["id"] for task in told["plan"]["plan"]] == [0, 1, 2]
        assert [outcome["text"] for outcome in told["run"]["outcomes"]] == [
            "by test/a",
            "by test/b",
            "by test/c",
        ]
        assert told["run"]["answer"] == ""
        named = (await http.post("/v1/runs", json={"plan": [ONE[0] | {"model": "test/a2"}]})).json()
        assert named["run"]["outcomes"][0]["choice"]["model"] == "test/a2"


@pytest.mark.parametrize(
    ("plan", "status", "code"),
    [
        ([], 422, "invalid_plan"),
        ([{"task": "mind-reading", "id": 0, "args": {}}], 422, "invalid_plan"),
        (ONE * 2, 422, "invalid_plan"),
        ([ONE[0] | {"model": "no/such"}], 404, "unknown_model"),
        ([ONE[0] | {"model": "test/b"}], 400, "unfit_model"),
        ([{**ONE[0], "id": n} for n in range(40)], 422, "too_many_tasks"),
        ("x", 400, "invalid_request"),
        ([1], 400, "invalid_request"),
    ],
)
async def test_a_plan_that_cannot_be_run_says_why(plan: Any, status: int, code: str) -> None:
    async with doors(Stage()) as http:
        answer = await http.post("/v1/runs", json={"plan": plan})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


# The background ------------------------------------------------------------------------------------------


async def test_a_run_in_the_background_answers_at_once() -> None:
    stage = _waiting()
    async with doors(stage) as http:
        answer = await http.post("/v1/runs", json=asked("go on", background=True))
        begun = answer.json()
        assert (answer.status_code, begun["state"], begun["request"]) == (202, "running", "go on")
        assert answer.headers["location"] == f"/v1/runs/{begun['id']}"
        assert begun["url"] == f"http://127.0.0.1:8000/v1/runs/{begun['id']}"
        await _under_way(stage)
        so_far = (await http.get(begun["url"])).json()
        assert (so_far["state"], so_far["outcomes"], so_far["ended"]) == ("running", [], None)
        assert [task["task"] for task in so_far["plan"]] == ["fill-mask"]
        stage.cluster.calls[0].give("hi")
        assert _ids(await http.get(begun["events_url"]))[-1] > 5
        done = (await http.get(begun["url"])).json()
        assert (done["state"], done["answer"], done["error"]) == ("done", "All done.", None)
        assert [outcome["text"] for outcome in done["outcomes"]] == ["hi"]
        assert done["ended"] >= done["created"]
        assert done["seconds"]["total"] >= 0


async def test_the_latest_runs_are_listed() -> None:
    async with doors(Stage([Reply("hi")])) as http:
        for number in range(3):
            await http.post("/v1/runs", json=asked(f"number {number}"))
        listed = (await http.get("/v1/runs", params={"limit": 2})).json()
        assert [run["request"] for run in listed["data"]] == ["number 2", "number 1"]
        assert "answer" not in listed["data"][0]
        for limit in (0, 101, "many"):
            refused = await http.get("/v1/runs", params={"limit": limit})
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/events"), ("DELETE", "")])
async def test_a_run_that_is_not_here(method: str, path: str) -> None:
    async with doors(Stage()) as http:
        answer = await http.request(method, f"/v1/runs/run-00{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_run")


async def test_a_run_that_failed_says_so_later() -> None:
    async with doors(Stage([RuntimeError("inner words")])) as http:
        run = (await http.post("/v1/runs", json=asked(background=True))).json()
        assert "run.failed" in (await http.get(run["events_url"])).text
        failed = (await http.get(run["url"])).json()
    assert (failed["state"], failed["error"]["code"]) == ("failed", "internal")
    assert "inner words" not in str(failed)


# Events --------------------------------------------------------------------------------------------------


async def test_events_are_read_again_from_where_a_client_stood() -> None:
    async with doors(Stage(CHAIN)) as http:
        streamed = await http.post("/v1/runs", json=asked(stream=True))
        events = f"{streamed.headers['location']}/events"
        numbers = _ids(streamed)
        assert numbers == list(range(len(numbers)))
        whole = await http.get(events)
        assert whole.text == streamed.text
        assert whole.headers["x-accel-buffering"] == "no"
        assert _ids(await http.get(events, params={"after": 4})) == numbers[5:]
        resumed = await http.get(events, headers={"last-event-id": "2"}, params={"after": 9})
        assert _ids(resumed) == numbers[3:], "what an EventSource says is newer than its address"
        for last in (numbers[-1], 10**9):
            assert (await http.get(events, headers={"last-event-id": str(last)})).status_code == 204
        assert (await http.get(events, headers={"last-event-id": "x"})).status_code == 400


async def test_a_silent_stream_shows_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.shown.HEARTBEAT_S", 0.01)
    app = build(Backend((stage := _waiting()).controller, None))  # type: ignore[arg-type]
    async with Visit(app, "/v1/runs", asked(stream=True)) as visit:
        await visit.until("task.started")
        assert await visit.piece() == ": still here\n\n"
        stage.cluster.calls[0].give()
        await visit.until("run.done")


# Going away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"stream": True}])
async def test_a_client_that_goes_away_cancels_its_run(how: dict[str, Any]) -> None:
    stage = _waiting()
    app = build(Backend(stage.controller, None))  # type: ignore[arg-type]
    async with Visit(app, "/v1/runs", asked(**how)):
        await _under_way(stage)
    (run,) = app.state.runs.latest(9)
    await run.settled()
    assert stage.cluster.calls[0].response.cancelled
    assert [outcome.status for outcome in stage.meter.tasks] == [Status.CANCELLED]
    assert (run.state, run.abandoned) == ("cancelled", True)


async def test_a_run_in_the_background_goes_on_when_its_client_leaves() -> None:
    stage = _waiting()
    app = build(Backend(stage.controller, None))  # type: ignore[arg-type]
    async with Visit(app, "/v1/runs", asked(stream=True, background=True)) as visit:
        await visit.until("task.started")
    stage.cluster.calls[0].give("hi")
    (run,) = app.state.runs.latest(9)
    await run.settled()
    assert run.state == "done"


async def test_who_only_reads_neither_ends_nor_keeps_a_run() -> None:
    stage = _waiting()
    app = build(Backend(stage.controller, None))  # type: ignore[arg-type]
    async with Visit(app, "/v1/runs", asked(stream=True)) as owner:
        await owner.until("task.started")
        (run,) = app.state.runs.latest(9)
        async with Visit(app, f"/v1/runs/{run.id}/events?after=2") as reader:
            await reader.until("task.started")
        assert run.state == "running"
        async with Visit(app, f"/v1/runs/{run.id}/events") as reader:
            await reader.until("task.started")
            await owner.leave()
            await reader.until("run.failed")
    assert run.state == "cancelled"


async def test_a_run_is_cancelled_down_to_the_models() -> None:
    stage = _waiting()
    async with doors(stage) as http:
        begun = (await http.post("/v1/runs", json=asked(background=True))).json()
        await _under_way(stage)
        for _ in range(2):
            cancelled = await http.delete(begun["url"])
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
            assert cancelled.json()["error"]["code"] == "cancelled"
        assert stage.cluster.calls[0].response.cancelled
        assert (await http.get(begun["events_url"])).text.count("event: run.failed") == 1


async def test_who_waits_for_a_run_that_another_cancels_is_told() -> None:
    stage = _waiting()
    async with doors(stage) as http:
        waiting = asyncio.create_task(http.post("/v1/runs", json=asked()))
        await _under_way(stage)
        (run,) = (await http.get("/v1/runs")).json()["data"]
        await http.delete(run["url"])
        answer = await waiting
    assert (answer.status_code, answer.json()["error"]["code"]) == (499, "cancelled")


async def test_a_run_that_ended_is_not_cancelled_any_more() -> None:
    async with doors(Stage([Reply("hi")])) as http:
        place = (await http.post("/v1/runs", json=asked())).headers["location"]
        left = (await http.delete(place)).json()
    assert (left["state"], left["answer"]) == ("done", "hi")


# Keys ----------------------------------------------------------------------------------------------------


async def test_a_key_gives_the_same_run_again() -> None:
    stage = Stage([Reply("hi")])
    key = {"idempotency-key": "mine"}
    async with doors(stage) as http:
        first, second = [await http.post("/v1/runs", json=asked(), headers=key) for _ in range(2)]
        assert first.json() == second.json()
        assert len(stage.planner.asked) == 1
        other = await http.post("/v1/runs", json=asked("else"), headers=key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
        third = await http.post("/v1/runs", json=asked(), headers={"idempotency-key": "other"})
        assert third.json()["run"]["run"] != first.json()["run"]["run"]
        for wrong in ("", "x" * 256):
            answer = await http.post("/v1/runs", json=asked(), headers={"idempotency-key": wrong})
            assert answer.status_code == 400


async def test_a_key_joins_a_run_that_is_under_way() -> None:
    stage = _waiting()
    key = {"idempotency-key": "mine"}
    async with doors(stage) as http:
        posts = [asyncio.create_task(http.post("/v1/runs", json=asked(), headers=key)) for _ in range(3)]
        await _under_way(stage)
        stage.cluster.calls[0].give("once")
        answers = [(await post).json()["run"]["outcomes"][0]["text"] for post in posts]
    assert answers == ["once"] * 3
    assert len(stage.planner.asked) == 1


async def test_a_refusal_is_given_again_under_its_key() -> None:
    stage = Stage()
    key = {"idempotency-key": "mine"}
    async with doors(stage) as http:
        for _ in range(2):
            answer = await http.post("/v1/runs", json={"plan": []}, headers=key)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_plan")
        assert len((await http.get("/v1/runs")).json()["data"]) == 1


async def test_more_runs_than_may_be_at_once_are_put_off() -> None:
    stage = _waiting()
    app = build(Backend(stage.controller, None))  # type: ignore[arg-type]
    app.state.runs = Runs(max_running=1)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        begun = (await http.post("/v1/runs", json=asked(background=True))).json()
        refused = await http.post("/v1/runs", json=asked())
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        await http.delete(begun["url"])
