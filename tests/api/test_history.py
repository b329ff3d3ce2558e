"""Runs and conversations that outlive the server: told from the database, repeated, forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import pytest
from pydantic import SecretStr

from controller.api.app import Backend, build
from controller.identity import Caller, Scope, calling
from controller.outcome import Artifact
from controller.planner import Reply
from controller.recorder import Recorder
from controller.writer import PATIENCE_S
from deployments.errors import NotFoundError
from deployments.history.history import History
from deployments.history.records import Made
from model_catalog.tasks import Modality
from tests.api.doors import asked
from tests.support import histories
from tests.support.dispatching import CHAIN, ONE
from tests.support.fakes import FakeCluster, turns
from tests.support.histories import Held
from tests.support.stage import Stage

ALICE = Caller("alice", frozenset({Scope.RUN, Scope.FILES}))
BOB = Caller("bob", frozenset({Scope.RUN, Scope.FILES}))


@dataclass
class Files:
    """A store that only knows which files were removed."""

    removed: list[str]

    async def remove(self, path: str) -> None:
        """See ``Store``."""
        if path in self.removed:
            raise NotFoundError("gone")
        self.removed.append(path)


@dataclass
class Server:
    """A server over a history; another one over the same database is the same server, started anew."""

    http: httpx2.AsyncClient
    stage: Stage
    files: Files
    history: History

    async def ids(self) -> list[str]:
        """The runs that are listed."""
        return [run["id"] for run in (await self.http.get("/v1/runs")).json()["data"]]


@asynccontextmanager
async def server(
    database: SecretStr, *steps: Any, cluster: FakeCluster | None = None
) -> AsyncIterator[Server]:
    stage = Stage(steps) if cluster is None else Stage(steps, cluster=cluster)
    files = Files([])
    async with histories.opened(database) as history:
        recorder = Recorder(history)
        recorder.start()
        app = build(Backend(stage.controller, cast("Any", files), recorder=recorder))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield Server(http, stage, files, history)
        await _settled(recorder)


async def _settled(recorder: Recorder) -> None:
    """Wait until all that was told is written."""
    writer = recorder._writer
    if writer._worker is not None:
        async with asyncio.timeout(10):
            await writer._worker
    writer._failing = -PATIENCE_S * 1e6  # what runs on has lost its history, and does not wait for it


def _numbers(answer: httpx2.Response) -> list[int]:
    return [int(line[4:]) for line in answer.text.splitlines() if line.startswith("id: ")]


async def test_a_run_is_told_by_a_server_that_was_started_anew(database: SecretStr) -> None:
    async with server(database, *CHAIN) as first:
        told = await first.http.post("/v1/runs", json=asked("three things"))
        place = told.headers["location"]
        seen = (await first.http.get(place)).json()
        events = (await first.http.get(f"{place}/events")).text
    async with server(database) as later:
        assert (await later.http.get(place)).json() == seen
        assert (await later.http.get(f"{place}/events")).text == events
        assert [outcome["text"] for outcome in seen["outcomes"]] == ["by test/a", "by test/b", "by test/c"]
        last = _numbers(await later.http.get(f"{place}/events"))[-1]
        assert _numbers(await later.http.get(f"{place}/events", params={"after": 3})) == list(
            range(4, last + 1)
        )
        assert (await later.http.get(f"{place}/events", params={"after": last})).status_code == 204
        listed = (await later.http.get("/v1/runs")).json()
        assert [(run["id"], run["state"], run["request"]) for run in listed["data"]] == [
            (seen["id"], "done", "three things")
        ]
        assert (await later.http.delete(place)).json() == seen, "what has ended stays as it was"


@pytest.mark.parametrize(
    ("path", "body", "door"),
    [
        ("/hugginggpt", asked("hi"), "hugginggpt"),
        ("/v1/chat/completions", {"model": "hugginggpt", **asked("hi")}, "chat/completions"),
        ("/v1/responses", {"model": "hugginggpt", "input": "hi"}, "responses"),
        ("/v1/runs", asked("hi", stream=True), "runs"),
    ],
)
async def test_every_door_that_plans_keeps_its_runs(
    database: SecretStr, path: str, body: dict[str, Any], door: str
) -> None:
    async with server(database, Reply("Hello!")) as here:
        answer = await here.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        (run,) = (await here.http.get("/v1/runs")).json()["data"]
        assert (run["door"], run["state"], run["request"]) == (door, "done", "hi")
        assert (await here.http.get(run["url"])).json()["answer"] == "Hello!"


async def test_one_task_alone_is_not_kept(database: SecretStr) -> None:
    async with server(database) as here:
        await here.http.post("/models/test/a", json={"inputs": "a <mask> b"})
        assert here.stage.cluster.calls
        assert await here.ids() == []


# Interrupted -----------------------------------------------------------------------------------------------


async def _interrupted(database: SecretStr) -> str:
    """A run whose server has died in its midst, by its place."""
    async with server(database, *ONE, cluster=FakeCluster()) as dies:
        answer = await dies.http.post("/v1/runs", json=asked("go on", background=True))
        assert answer.status_code == 202
        await turns(500)
        assert dies.stage.cluster.calls
    return str(answer.headers["location"])


async def test_a_run_that_was_interrupted_says_so_and_can_be_repeated(database: SecretStr) -> None:
    place = await _interrupted(database)
    async with server(database, *ONE) as later:
        await later.history.interrupt("the later one")
        run = (await later.http.get(place)).json()
        assert (run["state"], run["error"]["code"]) == ("interrupted", "interrupted")
        assert "repeat" in run["error"]["message"]
        events = await later.http.get(f"{place}/events")
        assert events.text.rstrip().rpartition("event: ")[2].startswith("run.failed")
        last = _numbers(events)[-1]
        assert _numbers(events) == list(range(last + 1))
        assert (await later.http.get(f"{place}/events", params={"after": last})).status_code == 204
        again = await later.http.post(f"{place}/repeat", json={"background": False})
        assert again.status_code == 200, again.text
        assert again.json()["run"]["answer"] == "All done."
        repeated = (await later.http.get(again.headers["location"])).json()
        assert (repeated["repeats"], repeated["request"]) == (run["id"], "go on")


async def test_a_repeated_plan_is_the_same_plan(database: SecretStr) -> None:
    async with server(database) as first:
        place = (await first.http.post("/v1/runs", json={"plan": CHAIN})).headers["location"]
    async with server(database, RuntimeError("never asked")) as later:
        again = await later.http.post(f"{place}/repeat", json={"stream": True})
        assert again.headers["content-type"].startswith("text/event-stream")
        assert "by test/c" in again.text
        missing = await later.http.post("/v1/runs/run-00/repeat", json={})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_run")


async def test_a_run_elsewhere_is_told_as_far_as_it_is_written(database: SecretStr) -> None:
    place = await _interrupted(database)
    async with server(database) as other:
        run = (await other.http.get(place)).json()
        assert (run["state"], run["ended"]) in [("running", None), ("interrupted", run["ended"])]
        async with asyncio.timeout(10):  # and nobody waits for what will never come
            assert _numbers(await other.http.get(f"{place}/events"))


# Keys ------------------------------------------------------------------------------------------------------


async def test_an_idempotency_key_outlives_the_server(database: SecretStr) -> None:
    headers = {"idempotency-key": "mine"}
    async with server(database, Reply("once")) as first:
        told = await first.http.post("/v1/runs", json=asked(), headers=headers)
    async with server(database, Reply("twice")) as later:
        same = await later.http.post("/v1/runs", json=asked(), headers=headers)
        assert same.json() == told.json()
        streamed = await later.http.post("/v1/runs", json=asked(), headers=headers)
        assert streamed.headers["location"] == told.headers["location"]
        other = await later.http.post("/v1/runs", json=asked("else"), headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
        with calling(BOB):
            new = await later.http.post("/v1/runs", json=asked(), headers=headers)
        assert new.headers["location"] != told.headers["location"]


async def test_a_key_of_an_interrupted_run_is_free(database: SecretStr) -> None:
    headers = {"idempotency-key": "mine"}
    body = asked("go on", background=True)
    async with server(database, *ONE, cluster=FakeCluster()) as dies:
        lost = await dies.http.post("/v1/runs", json=body, headers=headers)
    async with server(database, *ONE) as later:
        await later.history.interrupt("the later one")
        again = await later.http.post("/v1/runs", json=body, headers=headers)
        assert again.status_code == 202
        assert again.headers["location"] != lost.headers["location"]


# Whose -----------------------------------------------------------------------------------------------------


async def test_runs_and_conversations_are_their_owners_alone(database: SecretStr) -> None:
    async with server(database, Reply("hi")) as first:
        with calling(ALICE):
            place = (await first.http.post("/v1/runs", json=asked("secret"))).headers["location"]
            talk = (await first.http.post("/v1/conversations", json={})).json()["id"]
    async with server(database, Reply("hi")) as later:
        theirs = [
            ("GET", place), ("GET", f"{place}/events"), ("DELETE", place), ("DELETE", f"{place}?forget=true"),
            ("POST", f"{place}/repeat"), ("GET", f"/v1/conversations/{talk}"),
            ("GET", f"/v1/conversations/{talk}/items"), ("DELETE", f"/v1/conversations/{talk}"),
            ("POST", "/v1/runs"),
        ]  # fmt: skip
        with calling(BOB):
            for method, path in theirs:
                body = asked(conversation=talk) if path == "/v1/runs" else {}
                answer = await later.http.request(method, path, json=body)
                assert answer.status_code == 404, (method, path, answer.text)
            assert await later.ids() == []
            assert (await later.http.get("/v1/conversations")).json()["data"] == []
        assert len(await later.ids()) == 1, "the operator sees everything"
        with calling(ALICE):
            assert (await later.http.get(place)).status_code == 200


# Forgetting ------------------------------------------------------------------------------------------------


PICTURE = Artifact(
    path="/images/" + "0" * 32 + ".png", modality=Modality.IMAGE, media_type="image/png", size=4
)


async def test_a_run_is_forgotten_with_its_files(database: SecretStr) -> None:
    async with server(database, Reply("hi")) as here:
        place = (await here.http.post("/v1/runs", json=asked())).headers["location"]
        run = place.rpartition("/")[2]
        await here.history.write([Made(run, PICTURE.path, 0, "image/png", 4)])
        answer = await here.http.delete(place, params={"forget": "true"})
        assert answer.json() == {"id": run, "object": "run.deleted", "deleted": True}
        assert here.files.removed == [PICTURE.path]
        assert (await here.http.get(place)).status_code == 404
        assert await here.ids() == []
        assert histories.rows(here.history)["events"] == 0


async def test_forgetting_a_run_under_way_gives_it_up(database: SecretStr) -> None:
    async with server(database, *ONE, cluster=FakeCluster()) as here:
        place = (await here.http.post("/v1/runs", json=asked(background=True))).headers["location"]
        await turns(500)
        (call,) = here.stage.cluster.calls
        assert (await here.http.delete(place, params={"forget": "true"})).status_code == 200
        assert call.response.cancelled
        assert (await here.http.get(place)).status_code == 404


# Conversations ---------------------------------------------------------------------------------------------


async def test_a_conversation_is_kept_here(database: SecretStr) -> None:
    async with server(database, Reply("Nice to meet you.")) as first:
        made = (await first.http.post("/v1/conversations", json={"metadata": {"topic": "x"}})).json()
        assert made["object"] == "conversation"
        talk = made["id"]
        told = await first.http.post("/v1/runs", json=asked("I am Ada.", conversation=talk))
        assert told.status_code == 200, told.text
    async with server(database, Reply("Ada.")) as later:
        await later.http.post("/v1/runs", json=asked("Who am I?", conversation=talk))
        (request,) = later.stage.planner.asked
        assert [(message.role, message.content) for message in request.messages] == [
            ("user", "I am Ada."), ("assistant", "Nice to meet you."), ("user", "Who am I?")
        ]  # fmt: skip
        items = (await later.http.get(f"/v1/conversations/{talk}/items")).json()
        assert [item["content"][0]["text"] for item in items["data"]] == [
            "I am Ada.", "Nice to meet you.", "Who am I?", "Ada."
        ]  # fmt: skip
        assert (await later.http.get(f"/v1/conversations/{talk}")).json() == made
        listed = (await later.http.get("/v1/conversations")).json()
        assert (listed["data"], listed["has_more"]) == ([made], False)
        gone = await later.http.delete(f"/v1/conversations/{talk}")
        assert gone.json() == {"id": talk, "object": "conversation.deleted", "deleted": True}
        assert await later.ids() == [], "its runs went with it"
        assert (await later.http.get(f"/v1/conversations/{talk}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"messages": [{"role": "user", "content": "x"}] * 2}, 400, "invalid_request"),
        (asked(conversation="conv_none"), 404, "unknown_conversation"),
        (asked(conversation=""), 400, "invalid_request"),
    ],
)
async def test_a_conversation_that_cannot_go_on(
    database: SecretStr, body: dict[str, Any], status: int, code: str
) -> None:
    async with server(database, Reply("hi")) as here:
        talk = (await here.http.post("/v1/conversations", json={})).json()["id"]
        answer = await here.http.post("/v1/runs", json={"conversation": talk} | body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_conversation_may_begin_with_messages_from_elsewhere(database: SecretStr) -> None:
    items: Sequence[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    ]
    async with server(database, Reply("hi")) as here:
        talk = (await here.http.post("/v1/conversations", json={"items": items})).json()["id"]
        await here.http.post("/v1/runs", json=asked("And now?", conversation=talk))
        (request,) = here.stage.planner.asked
        assert [message.content for message in request.messages] == ["Be brief.", "Hi", "And now?"]


# A history that is away ------------------------------------------------------------------------------------


async def test_a_run_in_the_background_is_refused_without_a_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.writer.PATIENCE_S", 0.05)
    stage = Stage([Reply("hi")])
    app = build(Backend(stage.controller, cast("Any", None), recorder=Recorder(cast("Any", Held(away=True)))))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        for stream in (False, True):
            refused = await http.post("/v1/runs", json=asked(background=True, stream=stream))
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "history")
            assert refused.headers["retry-after"]
        told = await http.post("/v1/runs", json=asked())
        assert told.status_code == 200
        assert "may be missing in the history" in told.json()["run"]["answer"]
