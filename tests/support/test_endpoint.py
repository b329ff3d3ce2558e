"""The scripted endpoint itself: what tests and benchmarks rely on, asked without the LLM's own client."""

import json
import subprocess
import sys
import threading
import time
from typing import Any

import httpx2
import pytest

from tests.support import strict
from tests.support.endpoint import Reply, ScriptedEndpoint, limited
from tests.support.scripts import REFUSALS

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
STREAM = ASK | {"stream": True, "stream_options": {"include_usage": True}}


def _post(server: ScriptedEndpoint, body: dict[str, Any], **headers: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False) as client:
        return client.post(f"{server.url}/chat/completions", json=body, headers=headers, timeout=10)


def _chunks(response: httpx2.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that ended as it should."""
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_whole_answer() -> None:
    with ScriptedEndpoint(["One two."]) as server:
        found = _post(server, ASK).json()
        asked = server.requests[0]
    assert found["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "One two.", "refusal": None},
         "finish_reason": "stop"}
    ]  # fmt: skip
    assert found["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert (asked.whole, asked.gone, asked.user, asked.format) == (True, False, "Hello there", "text")


def test_a_stream_with_its_usage() -> None:
    with ScriptedEndpoint(["One two."]) as server:
        response = _post(server, STREAM)
    *spoken, last = _chunks(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"] == "req-scripted-1"
    deltas = [chunk["choices"][0]["delta"] for chunk in spoken]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [delta.get("content") for delta in deltas[1:]] == ["One", " two.", None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in spoken] == [None, None, None, "stop"]
    assert [chunk["usage"] for chunk in spoken] == [None] * 4
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 2)


def test_without_being_asked_for_usage_it_tells_none() -> None:
    with ScriptedEndpoint(["One"]) as server:
        assert all("usage" not in chunk for chunk in _chunks(_post(server, ASK | {"stream": True})))


@pytest.mark.parametrize(("text", "tokens"), [("abcdefghij", 3), ("abc", 7), ("", 2), ("a b  c\n", None)])
def test_a_text_comes_in_so_many_tokens_and_whole(text: str, tokens: int | None) -> None:
    pieces = Reply(text, tokens=tokens).pieces
    assert "".join(pieces) == text
    assert len(pieces) == (4 if tokens is None else tokens)


def test_tokens_come_at_their_rate() -> None:
    with ScriptedEndpoint(lambda asked: Reply("x" * 25, tokens=25), rate=50) as server:
        began = time.monotonic()
        _post(server, STREAM)
        assert 0.49 <= time.monotonic() - began < 5


def test_answers_may_depend_on_the_request_and_come_at_the_same_time() -> None:
    with ScriptedEndpoint(lambda asked: f"You said {asked.user}") as server:
        found: list[str] = []

        def ask(word: str) -> None:
            body = ASK | {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": word}]}
            found.append(_post(server, body).json()["choices"][0]["message"]["content"])

        threads = [threading.Thread(target=ask, args=(str(word),)) for word in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [f"You said {word}" for word in range(8)]
        assert {asked.system for asked in server.requests} == {"S"}


def test_a_script_that_has_ended_says_so() -> None:
    with ScriptedEndpoint(["One"]) as server:
        _post(server, ASK)
        response = _post(server, ASK)
    assert response.status_code == 410
    assert "no answer left" in response.text


def test_limits_and_refusals_are_worded_as_real_ones() -> None:
    with ScriptedEndpoint([limited(7)]) as server:
        response = _post(server, STREAM)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    with ScriptedEndpoint("Hi", refuses=["temperature"]) as server:
        assert _post(server, ASK | {"temperature": 0}).json()["error"]["param"] == "temperature"
        assert _post(server, ASK | {"max_tokens": 5}).json()["error"]["param"] == "max_tokens"
        assert _post(server, ASK).status_code == 200
    assert all(reply.status in (400, 422) for reply in REFUSALS.values())


def test_a_cut_answer_and_a_client_that_leaves() -> None:
    with ScriptedEndpoint([Reply("One two", cut_after=1), Reply("One two", stall_after=1)]) as server:
        with pytest.raises(httpx2.RemoteProtocolError):
            _post(server, STREAM)
        with (
            httpx2.Client(trust_env=False) as client,
            client.stream("POST", f"{server.url}/chat/completions", json=STREAM) as response,
        ):
            for line in response.iter_lines():
                if "One" in line:
                    break
        assert server.requests[1].over.wait(5)
    assert [asked.gone for asked in server.requests] == [False, True]
    assert [asked.whole for asked in server.requests] == [False, False]


def test_a_server_that_stops_lets_go_of_those_that_wait() -> None:
    with ScriptedEndpoint([Reply("One", stall_after=0)]) as server:
        failed: list[Exception] = []

        def ask() -> None:
            try:
                _post(server, STREAM)
            except httpx2.HTTPError as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        server.wait_for(1)
    thread.join(5)
    assert len(failed) == 1


def test_keys_paths_and_azure() -> None:
    with ScriptedEndpoint("Hi", key="k") as server, httpx2.Client(trust_env=False) as client:
        assert _post(server, ASK).status_code == 401
        assert _post(server, ASK, Authorization="Bearer k").status_code == 200
        azure = f"{server.azure_url}/openai/deployments/d/chat/completions"
        assert client.post(azure, json=ASK, headers={"api-key": "k"}).status_code == 404, "no version"
        found = client.post(f"{azure}?api-version=1", json=ASK, headers={"api-key": "k"})
        assert (found.status_code, found.headers["apim-request-id"]) == (200, "req-scripted-4")
        assert client.post(f"{server.url}/completions", json=ASK).status_code == 404
        assert client.post(f"{azure}?api-version=1", json=ASK, headers={"api-key": "x"}).status_code == 401


def test_it_needs_nothing_of_the_tests() -> None:
    code = (
        "import sys; from tests.support.endpoint import ScriptedEndpoint\n"
        "with ScriptedEndpoint('Hi') as server: print(server.url)\n"
        "assert 'pytest' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("http://127.0.0.1:")


# Strict schemas ------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tasks": {
            "type": "array",
            "items": {"anyOf": [{"$ref": "#/$defs/task"}, {"type": "null"}]},
        }
    },
    "required": ["tasks"],
    "additionalProperties": False,
    "$defs": {
        "task": {
            "type": "object",
            "properties": {
                "task": {"type": "string", "enum": ["a", "b"]},
                "id": {"type": ["integer", "null"], "minimum": 0},
            },
            "required": ["id", "task"],
            "additionalProperties": False,
        }
    },
}


def _with(**changes: Any) -> dict[str, Any]:
    """The good schema with other keywords; None leaves one out."""
    return {name: value for name, value in (GOOD | changes).items() if value is not None}


def _field(schema: Any) -> dict[str, Any]:
    return _with(properties={"x": schema}, required=["x"])


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (_with(type="array"), 'must be a JSON Schema of \'type: "object"\''),
        (_with(required=[]), "Missing 'tasks'"),
        (_with(required=None), "'required' is required to be supplied"),
        (_with(required=["tasks", "more"]), "Extra required key 'more'"),
        (_with(additionalProperties=None), "'additionalProperties' is required to be supplied and to be"),
        (_with(additionalProperties=True), "'additionalProperties' is required"),
        (_with(oneOf=[]), "'oneOf' is not permitted"),
        (_with(anyOf=[]), "In context=(), 'anyOf' is not permitted"),
        (_field({"type": "string", "default": "a"}), "('properties', 'x'), 'default' is not permitted"),
        (_field({"type": "string", "minLength": 1}), "'minLength' is not permitted"),
        (_field({"type": "array"}), "array schema missing items"),
        (_field({"type": "array", "items": {"type": "object", "properties": {}, "required": []}}),
         "In context=('properties', 'x', 'items')"),
        (_field({}), "schema must have a 'type' key"),
        (_field({"type": "text"}), "'text' is not a valid type"),
        (_field({"type": "string", "enum": []}), "'enum' must be a non-empty array"),
        (_field({"type": "string", "enum": ["a", "a"]}), "duplicate"),
        (_field({"type": "string", "enum": ["x" * 99 + str(n) for n in range(251)]}), "is too large"),
        (_field({"type": "string", "enum": [str(n) for n in range(1001)]}), "1003 enum values"),
        (_field({"$ref": "#/$defs/task", "description": "x"}), "$ref cannot have keywords"),
        (_field({"anyOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"],
                            "additionalProperties": False}] * 2}), "identical first keys"),
    ],
)  # fmt: skip
def test_a_schema_that_openai_would_refuse(schema: dict[str, Any], told: str) -> None:
    form = {"name": "plan", "schema": schema, "strict": True}
    body = ASK | {"response_format": {"type": "json_schema", "json_schema": form}}
    with ScriptedEndpoint("{}") as server:
        response = _post(server, body)
    assert response.status_code == 400
    assert told in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "response_format"


def test_a_schema_that_openai_takes() -> None:
    form = {"name": "plan", "schema": GOOD, "strict": True}
    with ScriptedEndpoint("{}") as server:
        response = _post(server, ASK | {"response_format": {"type": "json_schema", "json_schema": form}})
        assert response.status_code == 200
        assert server.requests[0].schema == GOOD
    assert strict.fault({"name": "a plan", "schema": GOOD, "strict": True}) is not None
    assert strict.fault({"name": "plan", "schema": {"type": "array"}, "strict": False}) is None


def test_a_schema_that_is_too_deep() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        schema = {
            "type": "object",
            "properties": {"x": schema},
            "required": ["x"],
            "additionalProperties": False,
        }
    told = strict.fault({"name": "plan", "schema": schema, "strict": True})
    assert told is not None
    assert "levels of nesting" in told


def test_json_is_to_be_spoken_of_where_it_is_asked_for() -> None:
    body = ASK | {"response_format": {"type": "json_object"}}
    with ScriptedEndpoint("{}") as server:
        assert "must contain the word 'json'" in _post(server, body).text
        spoken = body | {"messages": [{"role": "user", "content": "Answer as JSON"}]}
        assert _post(server, spoken).status_code == 200
