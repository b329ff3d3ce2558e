"""Every door over a fake cluster and a real store: answers, streams, uploads, health, errors."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.api.guard import kind
from controller.events import EVENT, Event
from controller.planner import Reply
from controller.request import MAX_MESSAGES
from controller.selector import Fleet
from controller.settings import Settings
from deployments.artifacts import Artifacts
from deployments.errors import NotFoundError
from model_catalog.tasks import Modality
from tests.api.doors import Stored, asked, doors
from tests.deployments.samples import PICTURES
from tests.support.brains import FakeResponder
from tests.support.dispatching import ONE
from tests.support.fakes import FakeCluster, answers, died, wrapped
from tests.support.stage import EDGES, FAULTY, Stage
from tests.support.stored import kept

PNG = PICTURES["image/png"]


def _error(answer: httpx2.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["type"] == kind(status)
    message: str = error["message"]
    return message


async def _upload(
    http: httpx2.AsyncClient, data: bytes = PNG, name: str = "a.png", **fields: str
) -> httpx2.Response:
    return await http.post("/v1/files", files={"file": (name, data)}, data=fields)


# Runs ----------------------------------------------------------------------------------------------------


async def test_a_run_is_told_whole() -> None:
    async with doors(Stage([FAULTY, *ONE])) as http:
        answer = await http.post("/v1/runs", json=asked())
    told = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert [task["task"] for task in told["plan"]["plan"]] == ["fill-mask"]
    assert told["plan"]["left_out"][0]["task"] == "mind-reading"
    assert told["run"]["answer"] == "All done."
    assert told["run"]["outcomes"][0]["text"] == "by test/a"
    assert told["plan"]["run"] == told["run"]["run"]


async def _stream(stage: Stage, **more: Any) -> tuple[httpx2.Response, list[Event]]:
    async with doors(stage) as http:
        answer = await http.post("/v1/runs", json=asked(stream=True, **more))
    assert answer.status_code == 200
    blocks = [block.splitlines() for block in answer.text.split("\n\n") if block]
    events = []
    for number, lines in enumerate(blocks):
        fields = dict(line.split(": ", 1) for line in lines)
        assert fields["id"] == str(number)
        event = EVENT.validate_json(fields["data"])
        assert fields["event"] == event.type
        events.append(event)
    return answer, events


async def test_a_stream_gives_every_event_as_it_happens() -> None:
    stage = Stage(ONE, responder=FakeResponder(["two\nlines: \r\n", "data: x\n\nid: 7"]))
    answer, events = await _stream(stage)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    kinds = [event.type for event in events]
    assert kinds[0] == "run.created"
    assert kinds[-1] == "run.done"
    assert (
        "".join(event.text for event in events if event.type == "answer.delta")
        == "two\nlines: \r\ndata: x\n\nid: 7"
    )


@pytest.mark.parametrize(
    ("steps", "code"), [([FAULTY], "invalid_plan"), ([RuntimeError("inner words")], "internal")]
)
async def test_a_stream_that_fails_ends_with_why(steps: list[Any], code: str) -> None:
    stage = Stage(steps)
    _, events = await _stream(stage)
    assert events[-1].type == "run.failed"
    assert events[-1].error.code == code
    assert "inner words" not in events[-1].error.message
    assert len(stage.meter.runs) == 1


async def test_attachments_go_along_by_path_and_kind(tmp_path: Path) -> None:
    stage = Stage([Reply("hi")], cluster=Stored())
    async with doors(stage, tmp_path) as http:
        path = (await _upload(http)).json()["path"]
        body = asked(attachments=[path, f"http://127.0.0.1:8000{path}", f"public{path}"])
        assert (await http.post("/v1/runs", json=body)).status_code == 200
        for wrong, status, code in (
            ("/images/" + "0" * 32 + ".png", 422, "invalid_attachment"),
            ("http://evil.example/x.png", 422, "invalid_attachment"),
            ("/images/../x.png", 400, "invalid_request"),
        ):
            _error(await http.post("/v1/runs", json=asked(attachments=[path, wrong])), status, code)
    (request,) = stage.planner.asked
    assert [(item.path, item.modality) for item in request.attachments] == [(path, Modality.IMAGE)] * 3


async def test_a_store_that_is_down_is_told_as_that() -> None:
    stage = Stage([EDGES], cluster=FakeCluster(answers, stat_error=died()))
    async with doors(stage) as http:
        for body in (asked(), asked(attachments=["/images/x.png"])):
            message = _error(await http.post("/v1/runs", json=body), 503, "replica_died")
            assert message == "The model's replica died while it worked on this task."


@pytest.mark.parametrize(
    "body",
    [asked(stram=True), asked(attachments="x"), asked(stream="perhaps"),
     {"messages": [{"role": "tool", "content": "x"}]}, {"messages": [{"role": "assistant", "content": "x"}]},
     {"messages": [{"role": "user", "content": " "}]},
     {"messages": [{"role": "user", "content": "x" * 200_001}]}, asked(attachments=["x"] * 101),
     {"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}],
)  # fmt: skip
async def test_a_request_of_the_wrong_form_names_what_is_wrong(body: Any) -> None:
    async with doors(Stage([Reply("hi")])) as http:
        assert _error(await http.post("/v1/runs", json=body), 400, "invalid_request")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_body_that_is_not_said_to_be_json_is_not_read(kind: str) -> None:
    async with doors(Stage()) as http:
        headers = {"content-type": kind} if kind else {}
        content = json.dumps(asked()).encode()
        message = _error(
            await http.post("/v1/runs", content=content, headers=headers), 400, "invalid_request"
        )
    assert "Content-Type: application/json" in message


@pytest.mark.parametrize("door", ["/tasks", "/results", "/hugginggpt", "/v1/runs"])
async def test_every_door_refuses_what_is_no_request(door: str) -> None:
    async with doors(Stage()) as http:
        broken = await http.post(door, content=b"{", headers={"content-type": "application/json"})
        assert "no valid JSON" in _error(broken, 400, "invalid_request")
        assert "in words" in _error(await http.post(door, json=asked(" \n")), 400, "invalid_request")


async def test_json_may_say_its_charset() -> None:
    async with doors(Stage([Reply("hi")])) as http:
        headers = {"content-type": "Application/JSON; charset=utf-8"}
        answer = await http.post("/v1/runs", content=json.dumps(asked()).encode(), headers=headers)
    assert answer.status_code == 200


async def test_what_is_unexpected_is_told_without_its_words() -> None:
    async with doors(Stage([RuntimeError("inner words")])) as http:
        message = _error(await http.post("/v1/runs", json=asked()), 500, "internal")
    assert message == "An unexpected RuntimeError; the replica's log has the details."


async def test_unknown_routes_and_methods() -> None:
    async with doors(Stage()) as http:
        assert (await http.get("/")).json()["service"] == "hugginggpt"
        assert "GET /nowhere: Not Found." in _error(await http.get("/nowhere"), 404, "not_found")
        answer = await http.delete("/tasks")
        assert "Method Not Allowed" in _error(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]


# Files ---------------------------------------------------------------------------------------------------


async def test_an_upload_is_served_whole_and_in_parts(tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        told = (await _upload(http, purpose="vision")).json()
        assert told["url"] == f"http://127.0.0.1:8000{told['path']}"
        assert (told["purpose"], told["bytes"], told["media_type"]) == ("vision", len(PNG), "image/png")
        whole = await http.get(told["path"])
        assert whole.content == PNG
        assert whole.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in whole.headers["content-security-policy"]
        part = await http.get(told["path"], headers={"range": "bytes=1-3"})
        assert (part.status_code, part.content) == (206, b"PNG")
        assert (await http.head(told["path"])).headers["content-length"] == str(len(PNG))
        etag = whole.headers["etag"]
        assert (await http.get(told["path"], headers={"if-none-match": etag})).status_code == 304
        changed = await http.get(told["path"], headers={"range": "bytes=1-3", "if-range": '"other"'})
        assert changed.content == PNG
        same = await http.get(told["path"], headers={"range": "bytes=-2", "if-range": etag})
        assert (same.status_code, same.content) == (206, PNG[-2:])
        for asked_for in ("bytes=99999999-", "bytes=5-2", "bytes=-0"):
            assert (await http.get(told["path"], headers={"range": asked_for})).status_code == 416
        example = await http.get("/examples/sign.png")
        assert example.status_code == 200
        assert "etag" not in example.headers, "an example may change with a release"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=xx", b"no boundary here"),
        (
            "multipart/form-data; boundary=xx",
            b"--xx\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xx--\r\n",
        ),
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"file=x"),
        ("text/plain", b""),
    ],
)
async def test_an_upload_of_the_wrong_form_says_how(kind: str, body: bytes, tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        answer = await http.post("/v1/files", content=body, headers={"content-type": kind})
    assert "multipart/form-data" in _error(answer, 400, "invalid_request")
    assert not kept(tmp_path)


async def test_two_files_at_once_are_refused(tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        both = [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]
        assert "one field" in _error(await http.post("/v1/files", files=both), 400, "invalid_request")


async def test_a_file_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        _error(await _upload(http, b"no picture"), 415, "unsupported_media")
    assert not kept(tmp_path)


async def test_an_upload_over_the_limit_of_the_door(tmp_path: Path) -> None:
    async with doors(Stage(settings=Settings(max_upload_bytes=1024)), tmp_path) as http:
        answer = await _upload(http, bytes(200 << 10))
    assert "larger than 65 KiB" in _error(answer, 413, "body_too_large")


async def test_pages_of_this_machine_may_read_answers_and_others_may_not() -> None:
    stage = Stage([Reply("hi")], settings=Settings(origins=("https://ui.example",)))
    async with doors(stage) as http:
        for origin in ("http://localhost:3000", "http://[::1]:8000", "https://ui.example"):
            answer = await http.post("/tasks", json=asked(), headers={"origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            ask = {"origin": origin, "access-control-request-method": "POST",
                   "access-control-request-headers": "content-type"}  # fmt: skip
            assert (await http.options("/tasks", headers=ask)).status_code == 200
        foreign = await http.get("/healthz", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
        ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        assert (await http.options("/tasks", headers=ask)).status_code == 400


# Health --------------------------------------------------------------------------------------------------


async def test_readiness_needs_the_store_and_an_expert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(settings=Settings(experts=("test/a", "test/b")))
    async with doors(stage, tmp_path) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok", "service": "hugginggpt"}
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert "test/a" in ready.json()["experts"]
        stage.controller.selector.fleet = Fleet(frozenset({"test/a"}), frozenset({"test/b"}))
        unready = await http.get("/readyz")
        assert (unready.status_code, unready.json()["status"]) == (503, "unready")
        assert unready.json()["reason"] == "These experts are still starting: test/b."
        stage.controller.selector.fleet = Fleet()
        unready = await http.get("/readyz")
        assert (unready.status_code, unready.json()["reason"]) == (503, "No expert runs; see hugginggpt ps.")

        async def down(self: Artifacts) -> str:
            raise wrapped(NotFoundError("inner words"))

        monkeypatch.setattr(Artifacts, "location", down)
        unready = await http.get("/readyz")
        assert unready.status_code == 503
        assert unready.json()["reason"] == "The artifact deployment does not answer."


@pytest.mark.parametrize("door", ["/v1/runs", "/hugginggpt"])
async def test_a_conversation_of_200_turns_is_taken_whole(door: str) -> None:
    turns = [{"role": role, "content": f"{role} {n}"} for n in range(200) for role in ("user", "assistant")]
    stage = Stage([Reply("hi")])
    async with doors(stage) as http:
        answer = await http.post(door, json={"messages": [*turns, {"role": "user", "content": "last"}]})
    assert answer.status_code == 200
    (request,) = stage.planner.asked
    assert len(request.messages) == 401
    assert request.messages[0].content == "user 0"


async def test_hugginggpts_door_takes_the_latest_messages_of_a_longer_conversation() -> None:
    turns = [{"role": "user", "content": str(n)} for n in range(MAX_MESSAGES + 7)]
    stage = Stage([Reply("hi")])
    async with doors(stage) as http:
        assert (await http.post("/hugginggpt", json={"messages": turns})).status_code == 200
    (request,) = stage.planner.asked
    assert [message.content for message in request.messages] == [str(n) for n in range(7, MAX_MESSAGES + 7)]
