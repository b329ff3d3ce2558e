"""The MCP door, asked by the official SDK's client: tools, results, progress, errors, files."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import AudioContent, ContentBlock, ImageContent, ResourceLink, Tool
from mcp_types import BlobResourceContents as Blob

from controller.api.mcp import results, tools
from controller.selector import Fleet
from controller.settings import Settings
from deployments.account import Account, Artifact
from deployments.artifacts import Artifacts
from deployments.errors import ExpertError
from deployments.result import Result
from model_catalog.tasks import TASKS, Modality
from tests.api.doors import Stored, doors
from tests.api.speaking import ERAS, connected, served, words
from tests.deployments.samples import PICTURES, sound
from tests.support.dispatching import CHAIN, ONE
from tests.support.fakes import Called, FakeCluster, answers, busy
from tests.support.stage import EDGES, FAULTY, Stage
from tests.support.stored import kept, stored

PNG = PICTURES["image/png"]
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


async def _stored(folder: Path, data: bytes, name: str) -> Artifact:
    store = Artifacts(str(folder))
    ticket = await store.begin()
    await store.append(ticket, data)
    return await store.finish(ticket, name)


def _making(*made: Artifact, text: str | None = None, data: Any = None) -> Stored:
    """Experts whose every result is these files, words and data."""
    return Stored(answers, keep=lambda result: Account(text=text, data=data, artifacts=made, model="m"))


# Tools -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_there_is_a_tool_for_each_task_that_can_run_now(era: str) -> None:
    stage = Stage()
    async with connected(stage, era=era) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(listed) == {
            "ask", "summarization", "translation", "image_classification", "text_to_image", "canny_control",
            "fill_mask",
        }  # fmt: skip
        stage.controller.selector.see(Fleet(frozenset({"test/b2"})))
        later = (await client.list_tools()).tools
    assert [tool.name for tool in later] == ["ask", "summarization"], "the list follows the fleet"
    assert later[1].input_schema["properties"]["model"]["enum"] == ["test/b2"]
    fill = listed["fill_mask"]
    assert fill.input_schema["required"] == ["text"]
    assert fill.input_schema["properties"]["model"]["enum"] == ["test/a", "test/a2"]
    assert fill.annotations is not None
    assert (fill.annotations.read_only_hint, fill.annotations.open_world_hint) == (True, False)
    draw = listed["text_to_image"].annotations
    assert draw is not None
    assert (draw.read_only_hint, draw.destructive_hint) == (False, False)


@pytest.mark.parametrize(
    ("value", "told"),
    [(1234567890, "1234567890"), (1234567890.0, "1234567890"), (0.123456789, "0.123456789"), (2.0, "2"),
     (1e16, "10000000000000000")],
)  # fmt: skip
def test_numbers_are_given_to_models_as_they_are(value: float, told: str) -> None:
    read = tools.read(TASKS["text-to-image"], {"text": "x", "seed": value})
    assert read["seed"] == told


@pytest.mark.parametrize("task", TASKS)
def test_every_task_can_be_a_tool(task: str) -> None:
    row = TASKS[task]
    schema = tools._given(tools.arguments(task).model_json_schema(by_alias=False))
    given = {argument.name: "7" for argument in row.arguments}
    assert tools.read(row, {**given, **{knob.name: 3 for knob in row.knobs}, "model": "x/y"}) == {
        **given, **{knob.name: "3" for knob in row.knobs}, "model": "x/y",
    }  # fmt: skip
    assert set(schema["properties"]) == {
        *given, *(knob.name for knob in row.knobs), *(["want"] if row.wants else []), "model",
    }  # fmt: skip
    assert schema.get("required", []) == [item.name for item in row.arguments if item.required]
    assert "title" not in json.dumps(schema)
    assert tools.task_of(task.replace("-", "_")) is row


def test_arguments_are_taken_by_their_other_names_and_as_lists() -> None:
    row = TASKS["zero-shot-classification"]
    assert tools.read(row, {"text": "x", "candidate_labels": ["a", "b"]}) == {"text": "x", "labels": "a, b"}


# Results ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_task_gives_words_and_structure(era: str) -> None:
    stage = Stage()
    async with connected(stage, era=era) as client:
        result = await client.call_tool("fill_mask", {"text": "hello", "top_k": 2, "model": "test/a2"})
    assert not result.is_error
    assert words(result) == ["by test/a2"]
    told = results.TaskResult.model_validate(result.structured_content)
    assert (told.task, told.model, told.text) == ("fill-mask", "test/a2", "by test/a2")
    (called,) = stage.cluster.calls
    assert dict(called.call.args) == {"text": "hello", "top_k": "2"}
    assert not stage.planner.asked, "no brain is asked for a single task"


async def test_a_picture_goes_in_as_a_data_url_and_is_gone_afterwards(tmp_path: Path) -> None:
    stage = Stage(cluster=Stored(answers))
    async with connected(stage, tmp_path) as client:
        result = await client.call_tool("image_classification", {"image": DATA_URL})
    assert words(result) == ["by test/see"]
    (path,) = stage.cluster.calls[0].call.sources
    assert path.startswith("/images/")
    assert not kept(tmp_path)


async def test_files_made_are_links_and_small_ones_are_shown(tmp_path: Path) -> None:
    picture, wave = await _stored(tmp_path, PNG, "a.png"), await _stored(tmp_path, sound("WAV"), "a.wav")
    big = picture.model_copy(update={"size": results.INLINE_BYTES})
    async with connected(Stage(cluster=_making(picture, wave, big)), tmp_path) as client:
        result = await client.call_tool("text_to_image", {"text": "a cat"})
        image, first, audio, second, third = result.content
        assert isinstance(image, ImageContent)
        assert base64.b64decode(image.data) == PNG
        assert isinstance(audio, AudioContent)
        assert (audio.mime_type, base64.b64decode(audio.data)) == ("audio/wav", sound("WAV"))
        links = _links([first, second, third])
        assert [link.mime_type for link in links] == ["image/png", "audio/wav", "image/png"]
        read = await client.read_resource(links[0].uri)
    (content,) = read.contents
    assert isinstance(content, Blob)
    assert base64.b64decode(content.blob) == PNG
    told = results.TaskResult.model_validate(result.structured_content)
    assert [file.url for file in told.files] == [link.uri for link in links]
    assert links[0].uri.startswith("http://127.0.0.1:")


def _links(blocks: Sequence[ContentBlock]) -> list[ResourceLink]:
    return [block for block in blocks if isinstance(block, ResourceLink)]


def _telling(data: Any) -> Callable[[Called], Result]:
    return lambda called: Result(text="cat", data=data)


async def test_data_is_told_in_words_too_unless_it_is_long() -> None:
    for data, said in (([{"label": "cat"}], '[{"label":"cat"}]'), (["x" * results.DATA_CHARACTERS], None)):
        stage = Stage(cluster=FakeCluster(_telling(data)))
        async with connected(stage) as client:
            result = await client.call_tool("image_classification", {"image": "/images/x.png"})
            assert result.is_error, "there is no such file"
            result = await client.call_tool("fill_mask", {"text": "x"})
        told = results.TaskResult.model_validate(result.structured_content)
        if said is None:
            assert told.data is None
            assert told.data_left_out
            assert "too long" in words(result)[1]
        else:
            assert told.data == data
            assert words(result) == ["cat", said]


@pytest.mark.parametrize("era", ERAS)
async def test_a_whole_request_is_planned_run_and_answered(era: str, tmp_path: Path) -> None:
    picture = await _stored(tmp_path, PNG, "a.png")
    number = f"file-{picture.path.rpartition('/')[2].partition('.')[0]}"
    stage = Stage(CHAIN, cluster=Stored(answers))
    steps: list[tuple[float, float | None, str | None]] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with connected(stage, tmp_path, era) as client:
        result = await client.call_tool(
            "ask", {"text": "do it", "files": [picture.path, DATA_URL, number]}, progress_callback=step
        )
    told = results.RunResult.model_validate(result.structured_content)
    assert words(result) == [told.answer] == ["All done."]
    assert [task.task for task in told.tasks] == ["fill-mask", "summarization", "translation"]
    (asked,) = stage.planner.asked
    assert [item.modality for item in asked.attachments] == [Modality.IMAGE] * 3
    assert [item.path for item in asked.attachments][::2] == [picture.path] * 2
    assert [count for count, _, _ in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert {total for _, total, _ in steps} == {7}
    assert steps[1][2] == "Fill mask began on test/a."
    assert stored(tmp_path, picture.path), "a file of the server's own stays"


# Errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("fill_mask", {"txt": "x"}, "text: Field required. It takes text, top_k, model."),
        ("fill_mask", {"text": "x", "model": "test/draw"}, "test/draw does not do fill-mask"),
        ("fill_mask", {"text": "x", "model": "no/such"}, "no/such"),
        ("text_to_speech", {"text": "x"}, "The catalog has no model for text-to-speech"),
        ("image_classification", {"image": "http://evil.example/x.png"}, "was not read. There is no host"),
        ("image_classification", {"image": "data:image/png;base64,!"}, "damaged"),
        ("image_classification", {"image": "data:image/png;base64,AAAA"}, ""),
        ("image_classification", {"image": "file-" + "0" * 32}, "There is no file"),
        ("ask", {"text": " "}, "in words"),
        ("ask", {"text": "x", "files": ["/images/" + "0" * 32 + ".png"]}, "There is no file"),
        ("ask", {"text": "x", "files": "x"}, "files: Input should be a valid list"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_told_in_one_sentence(
    tool: str, arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    async with connected(Stage([FAULTY], cluster=Stored(answers)), tmp_path) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    (message,) = words(result)
    assert said in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ExpertError("This picture holds no text; send another one."), "This picture holds no text"),
        (busy(), "too many calls waiting"),
        (RuntimeError("inner words"), "An unexpected RuntimeError"),
    ],
)
async def test_a_model_that_fails_is_told_without_inner_words(error: Exception, said: str) -> None:
    def fails(called: Called) -> Exception:
        return error

    async with connected(Stage(ONE, cluster=FakeCluster(fails))) as client:
        one = await client.call_tool("fill_mask", {"text": "x"})
        whole = await client.call_tool("ask", {"text": "x"})
    assert one.is_error
    assert said in words(one)[0]
    assert "inner words" not in words(one)[0]
    assert whole.is_error
    told = results.RunResult.model_validate(whole.structured_content)
    assert said in (told.tasks[0].error or "")


@pytest.mark.parametrize("era", ERAS)
async def test_what_goes_wrong_in_the_controller_keeps_its_inner_words(era: str) -> None:
    async with connected(Stage([RuntimeError("inner words")]), era=era) as client:
        result = await client.call_tool("ask", {"text": "x"})
    assert result.is_error
    assert words(result) == ["An unexpected RuntimeError; the replica's log has the details."]


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_tool_and_an_unknown_file_are_errors_of_the_protocol(
    era: str, tmp_path: Path
) -> None:
    async with connected(Stage(), tmp_path, era) as client:
        with pytest.raises(MCPError, match="There is no tool 'drive_a_car'"):
            await client.call_tool("drive_a_car", {})
        for uri, said in (
            ("http://127.0.0.1/images/x.png", "There is no file"),
            ("http://evil.example/x.png", "on another host"),
            ("file:///etc/passwd", "There is no file"),
        ):
            with pytest.raises(MCPError, match=said):
                await client.read_resource(uri)


# Files -----------------------------------------------------------------------------------------------------


async def test_files_are_resources_by_their_address(tmp_path: Path) -> None:
    note = await _stored(tmp_path, b"dear diary", "a.txt")
    async with connected(Stage(), tmp_path) as client:
        assert (await client.list_resources()).resources == []
        folders = (await client.list_resource_templates()).resource_templates
        assert [folder.name for folder in folders] == ["images", "audios", "videos", "files"]
        read = await client.read_resource(note.path)
    assert getattr(read.contents[0], "text", None) == "dear diary"


async def test_a_large_file_is_to_be_fetched_from_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = await _stored(tmp_path, b"dear diary", "a.txt")
    monkeypatch.setattr("controller.api.mcp.resources.MAX_BYTES", 4)
    async with connected(Stage(), tmp_path) as client:
        with pytest.raises(MCPError, match="fetch it from http://127"):
            await client.read_resource(note.path)


# The door --------------------------------------------------------------------------------------------------


async def test_the_door_is_guarded_as_every_door() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    async with doors(Stage(settings=Settings(max_upload_bytes=1024))) as http:
        foreign = await http.post("/mcp", json=body, headers={**accept, "origin": "https://evil.example"})
        assert foreign.status_code == 403
        renamed = await http.post("/mcp", json=body, headers={**accept, "host": "evil.example"})
        assert renamed.status_code == 403
        large = await http.post("/mcp", json={**body, "params": {"x": "y" * (80 << 10)}}, headers=accept)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
        for method in ("GET", "DELETE"):
            answer = await http.request(method, "/mcp")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        for path in ("/mcp", "/mcp/", "http://127.0.0.1:8000//mcp"):
            answer = await http.post(path, json=body, headers=accept)
            assert answer.status_code == 200, path
        for broken in (b"", b"{", b"[]", b'{"jsonrpc": "2.0"}', b'"x"', b"\xff"):
            for version in ({}, {"mcp-protocol-version": "2026-07-28"}):
                headers = {**accept, **version, "content-type": "application/json"}
                answer = await http.post("/mcp", content=broken, headers=headers)
                assert 400 <= answer.status_code < 500, broken


async def test_a_request_needs_no_handshake_and_no_lifespan() -> None:
    async with served(Stage()) as url, httpx2.AsyncClient(base_url=url) as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = await http.post("/mcp", json=body, headers={"accept": "application/json, text/event-stream"})
    (line,) = (line for line in answer.text.splitlines() if line.startswith("data:"))
    listed = [Tool.model_validate(tool) for tool in json.loads(line.removeprefix("data:"))["result"]["tools"]]
    assert listed[0].name == "ask"


async def test_a_fallback_does_not_count_twice() -> None:
    def script(called: Called) -> Result | Exception:
        return ExpertError("broken.") if called.name == "a" else answers(called)

    steps: list[float] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with connected(Stage([EDGES, *ONE], cluster=FakeCluster(script))) as client:
        result = await client.call_tool("fill_mask", {"text": "x"}, progress_callback=step)
    assert words(result) == ["by test/a2"]
    assert steps == [1, 2, 3]
