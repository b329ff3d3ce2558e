"""Every door of a server with keys: unchanged clients, addresses that open without a key, and owners."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.utils._http import default_async_client_factory
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import BlobResourceContents, ResourceLink
from openai import AsyncOpenAI, AuthenticationError, PermissionDeniedError

from controller.planner import Reply
from tests.api.keyed import URL, Keyed, keyed
from tests.deployments.samples import PICTURES
from tests.support.brains import FakeResponder

PNG = PICTURES["image/png"]
DRAWN = [{"task": "text-to-image", "id": 0, "args": {"text": "a cat"}}]
SEEN = {"messages": [{"role": "user", "content": "look"}]}


class Naming(FakeResponder):
    """Answers with the paths of what was made."""

    async def respond(self, request: Any, plan: Any, outcomes: Any, **more: Any) -> Any:
        """See ``FakeResponder``."""
        paths = [artifact.path for outcome in outcomes for artifact in outcome.artifacts]
        for piece in ("I drew ", *paths, "."):
            yield piece


def _naming(here: Keyed) -> None:
    here.stage.controller._responder = Naming()


async def _opens(here: Keyed, url: str) -> bytes:
    """What a signed address gives anybody; without its signature, or for more than reading, it is closed."""
    assert "signature=" in url
    answer = await here.http.get(url)
    assert answer.status_code == 200, answer.text
    assert (await here.http.head(url)).status_code == 200
    assert (await here.http.get(url, headers={"range": "bytes=0-3"})).content == answer.content[:4]
    _, other = here.keeper.make("run")
    assert (await here.client(other).get(url)).status_code == 200, "a key beside it closes nothing"
    assert (await here.client(other).get(url.partition("?")[0])).status_code in (401, 403)
    assert (await here.http.get(url.partition("?")[0])).status_code == 401
    for method in ("POST", "DELETE", "PUT"):
        assert (await here.http.request(method, url)).status_code == 401
    return answer.content


def _pictures(text: str) -> list[str]:
    """The addresses of pictures in Markdown."""
    return [piece.partition(")")[0] for piece in text.split("](")[1:]]


# Clients ---------------------------------------------------------------------------------------------------


async def test_openais_client_works_with_a_key_and_its_pictures_show_themselves(tmp_path: Path) -> None:
    async with keyed(tmp_path, DRAWN) as here:
        _naming(here)
        _, token = here.keeper.make()
        async with AsyncOpenAI(
            base_url=f"{URL}/v1", api_key=token, http_client=here.http, max_retries=0
        ) as client:
            asked: list[Any] = [{"role": "user", "content": "draw a cat"}]
            told = await client.chat.completions.create(model="hugginggpt", messages=asked)
            text = told.choices[0].message.content or ""
            (url,) = _pictures(text)
            assert (await _opens(here, url))[:4] == b"\x89PNG"
            asked += [{"role": "assistant", "content": text}, {"role": "user", "content": f"larger: {url}"}]
            await client.chat.completions.create(model="hugginggpt", messages=asked)
            path = urlsplit(url).path
            said = [message.content for message in here.stage.planner.asked[-1].messages]
            assert said[1:] == [f"I drew {path}.", f"larger: {path}"], "brains read paths alone"
            pictures = await client.images.generate(prompt="a cat", model="hugginggpt")
            await _opens(here, str((pictures.data or [])[0].url))
            answer = await client.responses.create(model="hugginggpt", input="draw")
            (url,) = _pictures(answer.output_text)
            await _opens(here, url)
            assert url in answer.model_dump_json(), "each task's item names it too"
            assert (await client.models.list()).data


async def test_openais_client_is_told_what_is_wrong_with_its_key(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, files = here.keeper.make("files")
        more: Any = {"base_url": f"{URL}/v1", "http_client": here.http, "max_retries": 0}
        with pytest.raises(AuthenticationError, match="not known here"):
            await AsyncOpenAI(api_key="hgp_" + "0" * 16 + "_" + "0" * 48, **more).models.list()
        with pytest.raises(AuthenticationError):
            await AsyncOpenAI(api_key="none", **more).models.list()
        with pytest.raises(PermissionDeniedError, match="scope run"):
            await AsyncOpenAI(api_key=files, **more).embeddings.create(model="vectors", input="x")


async def test_hugging_faces_client_works_with_a_key_as_its_token(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, token = here.keeper.make("run")
        usual = default_async_client_factory()
        transport = here.http._transport

        def session() -> httpx2.AsyncClient:
            return httpx2.AsyncClient(transport=transport, event_hooks=usual.event_hooks)

        set_async_client_factory(session)
        try:
            picture = await AsyncInferenceClient(model=f"{URL}/models/test/draw", token=token).text_to_image(
                "a cat"
            )
            assert picture.size == (12, 8)
            with pytest.raises(Exception, match="needs an API key"):
                await AsyncInferenceClient(model=f"{URL}/models/test/draw", token=None).text_to_image("a")
        finally:
            set_async_client_factory(default_async_client_factory)
            await usual.aclose()


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_mcps_client_works_with_a_key_and_its_links_open(tmp_path: Path, era: str) -> None:
    async with keyed(tmp_path, DRAWN) as here:
        _, token = here.keeper.make()
        http = here.client(token)
        async with Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=era) as client:
            told = await client.call_tool("text_to_image", {"text": "a cat"})
            (link,) = [block for block in told.content if isinstance(block, ResourceLink)]
            data = await _opens(here, link.uri)
            assert told.structured_content is not None
            assert told.structured_content["files"][0]["url"] == link.uri
            (read,) = (await client.read_resource(link.uri)).contents
            assert isinstance(read, BlobResourceContents)
            assert base64.b64decode(read.blob) == data
            for template in (await client.list_resource_templates()).resource_templates:
                assert "signature" not in template.uri_template
            again = await client.call_tool("image_to_image", {"image": link.uri, "text": "larger"})
            assert not again.is_error


async def test_jarviss_clients_work_with_a_header_and_open_what_was_made(tmp_path: Path) -> None:
    async with keyed(tmp_path, DRAWN) as here:
        _naming(here)
        client = here.client(here.keeper.make("run")[1])
        results = (await client.post("/results", json=SEEN)).json()
        signed = results["0"]["inference result"]["generated image"]
        assert (await _opens(here, f"{URL}{signed}"))[:4] == b"\x89PNG"
        said = (await client.post("/hugginggpt", json=SEEN)).json()["message"]
        signed = said.removeprefix("I drew ").removesuffix(".")
        await _opens(here, f"{URL}/{signed}")
        follow = {"messages": [*SEEN["messages"], {"role": "assistant", "content": said},
                               {"role": "user", "content": f"larger: {signed}"}]}  # fmt: skip
        await client.post("/hugginggpt", json=follow)
        path = signed.partition("?")[0]
        words = [message.content for message in here.stage.planner.asked[-1].messages]
        assert words == ["look", f"I drew {path}.", f"larger: {path}"]


async def test_uploads_are_told_with_an_address_that_opens_and_can_be_named(tmp_path: Path) -> None:
    async with keyed(tmp_path, [Reply("hi")]) as here:
        client = here.client(here.keeper.make()[1])
        told = (await client.post("/v1/files", files={"file": ("a.png", PNG)})).json()
        assert await _opens(here, told["url"]) == PNG
        for one in (await client.get(f"/v1/files/{told['id']}"), await client.get("/v1/files")):
            assert told["url"] in one.text.replace("\\u0026", "&")
        run = await client.post("/v1/runs", json={**SEEN, "attachments": [told["url"]]})
        assert run.status_code == 200, run.text
        assert here.stage.planner.asked[-1].attachments[0].path == told["path"]


async def test_an_address_behind_a_proxy_that_speaks_tls_begins_so(tmp_path: Path) -> None:
    async with keyed(tmp_path, hosts=("https://gpu.example.org",)) as here:
        client = here.client(here.keeper.make()[1])
        named = {"host": "gpu.example.org"}
        told = (await client.post("/v1/files", files={"file": ("a.png", PNG)}, headers=named)).json()
        assert told["url"].startswith(f"https://gpu.example.org{told['path']}?expires=")
        plain = (await client.get(f"/v1/files/{told['id']}")).json()
        assert plain["url"].startswith(f"{URL}/")


# Owners ----------------------------------------------------------------------------------------------------


async def test_files_of_one_key_are_not_there_for_another(tmp_path: Path) -> None:
    async with keyed(tmp_path, [Reply("hi")]) as here:
        mine, other = (here.client(here.keeper.make()[1]) for _ in range(2))
        admin = here.client(here.keeper.make("admin")[1])
        told = (await mine.post("/v1/files", files={"file": ("a.png", PNG)})).json()
        one, path = f"/v1/files/{told['id']}", told["path"]
        for url in (one, f"{one}/content", path):
            assert (await other.get(url)).status_code == 404
            assert (await mine.get(url)).status_code == (await admin.get(url)).status_code == 200
        assert (await other.delete(one)).status_code == 404
        assert (await other.get("/v1/files")).json()["data"] == []
        assert [item["id"] for item in (await admin.get("/v1/files")).json()["data"]] == [told["id"]]
        for named in (path, told["url"]):
            run = await other.post("/v1/runs", json={**SEEN, "attachments": [named]})
            assert (run.status_code, run.json()["error"]["code"]) == (422, "invalid_attachment")
            part = {"type": "image_url", "image_url": {"url": named}}
            chat = {"model": "hugginggpt", "messages": [{"role": "user", "content": [part]}]}
            assert (await other.post("/v1/chat/completions", json=chat)).status_code == 400
            assert (await mine.post("/v1/chat/completions", json=chat)).status_code == 200
        assert (await other.get("/examples/sign.png")).status_code == 200, "examples are everybody's"
        assert (await mine.delete(one)).status_code == 200
        assert (await here.http.get(told["url"])).status_code == 404, "a signature brings nothing back"


async def test_the_same_bytes_inside_requests_are_each_ones_own(tmp_path: Path) -> None:
    async with keyed(tmp_path, [Reply("hi")]) as here:
        part = {"type": "image_url",
                "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}}  # fmt: skip
        chat = {"model": "hugginggpt", "messages": [{"role": "user", "content": [part]}]}
        paths = []
        for client in [here.client(here.keeper.make()[1]) for _ in range(2)] * 2:
            assert (await client.post("/v1/chat/completions", json=chat)).status_code == 200
            paths.append(here.stage.planner.asked[-1].attachments[0].path)
            assert (await client.get(paths[-1])).status_code == 200
        assert paths[0] == paths[2] != paths[1] == paths[3]


async def test_runs_of_one_key_are_not_there_for_another(tmp_path: Path) -> None:
    async with keyed(tmp_path, DRAWN) as here:
        mine, other = (here.client(here.keeper.make()[1]) for _ in range(2))
        admin = here.client(here.keeper.make("admin")[1])
        named = {"idempotency-key": "same"}
        run = (await mine.post("/v1/runs", json=SEEN, headers=named)).json()["run"]
        number, path = run["run"], run["outcomes"][0]["artifacts"][0]["path"]
        for url in (f"/v1/runs/{number}", f"/v1/runs/{number}/events"):
            assert (await other.get(url)).status_code == 404
            assert (await mine.get(url)).status_code == (await admin.get(url)).status_code == 200
        assert (await other.delete(f"/v1/runs/{number}")).status_code == 404
        assert (await other.get("/v1/runs")).json()["data"] == []
        assert [one["id"] for one in (await admin.get("/v1/runs")).json()["data"]] == [number]
        assert (await other.get(path)).status_code == 404, "what a run makes is its owner's"
        assert (await mine.get(path)).status_code == 200
        theirs = await other.post("/v1/runs", json={"messages": SEEN["messages"] * 2}, headers=named)
        assert theirs.status_code == 200, "a name that another gave is free"
        assert theirs.json()["run"]["run"] != number
