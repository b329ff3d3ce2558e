"""Models served by providers: who serves them, results that are waited for, addresses that are not asked."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.inference._providers import _common
from huggingface_hub.utils._http import default_client_factory

from deployments.encode import encode
from deployments.errors import ExpertError
from deployments.media import Image, Limits
from deployments.result import Input, Result
from deployments.runners import remote_client
from deployments.runners.remote import Remote
from model_catalog.card import ModelCard
from tests.support.elsewhere import PICTURE, TOKEN, loaded
from tests.support.inference import CHAT, Inference, Reply, Request, film, inference

PAINTED = encode(Image(np.full((16, 16, 3), 9, np.uint8))).data


class Hub:
    """The Hub, its router and a provider, all in one: says who serves a model, draws and films."""

    def __init__(self, provider: str, task: str) -> None:
        self.provider = provider
        self.task = task
        self.left = 2
        self.url = ""
        self.result = PAINTED
        self.result_url = ""

    def __call__(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if path.startswith("/api/models/"):
            return self._told()
        if path == "/result":
            return Reply(self.result)
        if path.endswith("/chat/completions"):
            return Reply(CHAT(request))
        if "/nscale/" in path:
            return Reply({"data": [{"b64_json": base64.b64encode(self.result).decode()}]})
        if path.endswith("/poll"):
            self.left -= 1
            data = {"status": "processing" if self.left > 0 else "completed", "outputs": [self.result_url]}
            return Reply({"data": data})
        return Reply({"data": {"urls": {"get": f"{self.url}/poll"}}})

    def _told(self) -> Reply:
        mapping = {"status": "live", "providerId": "painter-1", "task": self.task}
        found = {self.provider: mapping} if self.provider else {}
        return Reply({"id": "acme/painter", "inferenceProviderMapping": found})


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What the library remembers for a process is forgotten before and after."""
    _common._fetch_inference_provider_mapping.cache_clear()
    yield
    _common._fetch_inference_provider_mapping.cache_clear()
    set_client_factory(default_client_factory)


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inference]:
    """All of Hugging Face, on loopback."""
    async with inference() as made:
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{made.url}/router/{{provider}}")
        yield made
        set_client_factory(default_client_factory)  # which closes the library's connections


def hub(service: Inference, provider: str, task: str = "text-to-image") -> Hub:
    made = Hub(provider, task)
    made.url, made.result_url = service.url, f"{service.url}/result"
    service.reply = made
    return made


def runner(*tasks: str, **defaults: str) -> Remote:
    return loaded(ModelCard(id="acme/painter", tasks=tasks or ("text-to-image",), defaults=defaults))


async def draw(made: Remote | None = None) -> Result:
    return await (made or runner()).answer(Input("text-to-image", {"text": "a house"}))


def paths(service: Inference) -> list[str]:
    return [request.path.partition("?")[0] for request in service.seen]


async def test_the_hub_is_asked_once_who_serves_a_model(service: Inference) -> None:
    hub(service, "nscale")
    made = runner()
    assert service.seen == [], "loading costs nothing"
    for _ in range(2):
        result = await draw(made)
        assert result.image is not None
        assert (result.image.pixels == 9).all()
    assert paths(service) == ["/api/models/acme/painter", *["/router/nscale/v1/images/generations"] * 2]
    assert {request.headers["authorization"] for request in service.seen} == {f"Bearer {TOKEN}"}
    assert service.last.json["model"] == "painter-1"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_provider_that_gave_a_model_up_is_forgotten(service: Inference, status: int) -> None:
    first = hub(service, "nscale")
    made = runner()
    await draw(made)
    service.reply = lambda request: Reply({"error": "gone"}, status)
    with pytest.raises(ExpertError, match=f"Nobody serves acme/painter there \\({status}\\)"):
        await draw(made)
    first.provider = "together"
    service.reply = first
    service.seen.clear()
    with pytest.raises(ExpertError):  # together's own answer has another shape
        await draw(made)
    assert paths(service)[0] == "/api/models/acme/painter"
    assert paths(service)[1].startswith("/router/together/")


async def test_a_provider_that_fails_is_kept(service: Inference) -> None:
    found = hub(service, "nscale")
    made = runner()
    await draw(made)
    service.reply = Reply({"error": "busy"}, 503)
    with pytest.raises(ExpertError, match="not ready"):
        await draw(made)
    service.reply = found
    service.seen.clear()
    await draw(made)
    assert paths(service) == ["/router/nscale/v1/images/generations"]


async def test_a_provider_of_the_cards_own(service: Inference) -> None:
    hub(service, "nscale")
    assert (await draw(runner(provider="nscale"))).image is not None
    with pytest.raises(ExpertError, match="No provider serves acme/painter for text-to-image"):
        await draw(runner(provider="together"))


async def test_a_model_that_nobody_serves(service: Inference) -> None:
    hub(service, "")
    with pytest.raises(ExpertError, match="No provider serves acme/painter for text-to-image"):
        await asyncio.wait_for(draw(), 10)


async def test_a_model_that_is_served_for_another_task(service: Inference) -> None:
    hub(service, "nscale", "conversational")
    with pytest.raises(ExpertError, match="No provider serves acme/painter for text-to-image"):
        await draw()


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_hub_that_refuses(service: Inference, status: int) -> None:
    service.reply = Reply({"error": TOKEN}, status)
    with pytest.raises(ExpertError, match=rf"refused \({status}\)") as caught:
        await draw()
    assert TOKEN not in caught.value.message


async def test_a_process_that_is_offline_stays_so(
    service: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(service, "nscale")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ExpertError, match=r"cannot be reached .OfflineModeIsEnabled"):
        await draw()
    assert service.seen == []


async def test_a_chat_goes_to_the_router_at_once(service: Inference, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(service, "")
    monkeypatch.setattr(_common.AutoRouterConversationalTask, "_prepare_base_url", lambda *_: service.url)
    made = runner("conversational")
    assert (await made.answer(Input("conversational", {"text": "Hi"}))).text == "You said: Hi"
    assert paths(service) == ["/v1/chat/completions"]


# Results that are waited for -------------------------------------------------------------------------------


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own requests may stay on this machine, and do not dawdle."""
    monkeypatch.setattr(remote_client, "_public", lambda url: True)
    monkeypatch.setattr("huggingface_hub.inference._providers.wavespeed._POLLING_INTERVAL", 0)


@pytest.mark.usefixtures("near")
async def test_a_result_is_waited_for_and_fetched(service: Inference) -> None:
    hub(service, "wavespeed")
    result = await draw()
    assert result.image is not None
    assert (result.image.pixels == 9).all()
    assert paths(service)[-3:] == ["/poll", "/poll", "/result"]


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("task", ["text-to-video", "image-to-video"])
async def test_a_film_comes_back(service: Inference, task: str) -> None:
    hub(service, "wavespeed", task).result = film()
    knobs = {"frames": "4", "steps": "2", "negative_prompt": "x"}
    result = await runner(task).answer(Input(task, {"text": "a house", "image": PICTURE, **knobs}))
    assert result.video is not None
    assert result.video.frames.shape == (4, 32, 32, 3)
    asked = next(request for request in service.seen if request.json)
    assert asked.json["num_frames"] == 4
    assert asked.json["num_inference_steps"] == 2
    assert asked.json["prompt"] == "a house"


@pytest.mark.usefixtures("near")
async def test_a_cancelled_call_ends_the_waiting(service: Inference) -> None:
    asked = asyncio.Event()
    provider = hub(service, "wavespeed")
    provider.left = 10**9

    def reply(request: Request) -> Reply:
        if request.path == "/poll":
            asked.set()
        return provider(request)

    service.reply = reply
    call = asyncio.create_task(draw())
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 10)


@pytest.mark.usefixtures("near")
async def test_a_result_that_is_too_long_is_cut(service: Inference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "LIMITS", Limits(max_bytes=1000))
    hub(service, "wavespeed").result = bytes(2000)
    with pytest.raises(ExpertError, match="longer than what is taken"):
        await draw()


async def test_a_result_at_a_private_address_is_not_fetched(service: Inference) -> None:
    hub(service, "fal-ai")
    service.reply = _fal(service)
    with pytest.raises(ExpertError, match="an address for its result that is not asked"):
        await draw()
    assert "/secret" not in paths(service)


def _fal(service: Inference) -> Any:
    """A provider that names an address inside the operator's network."""
    provider = hub(service, "fal-ai")

    def reply(request: Request) -> Reply:
        if request.path.startswith("/api/"):
            return provider(request)
        return Reply({"images": [{"url": service.url.replace("127.0.0.1", "127.0.0.2") + "/secret"}]})

    return reply


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://cdn.example.com/x.png", True),
        ("https://8.8.8.8/x", True),
        ("http://cdn.example.com/x.png", False),
        ("https://localhost/x", False),
        ("https://metadata/x", False),
        ("https://metadata.google.internal/x", False),
        ("https://printer.local./x", False),
        ("https://127.0.0.1/x", False),
        ("https://10.1.2.3/x", False),
        ("https://169.254.169.254/x", False),
        ("https://[::1]/x", False),
        ("https://[::ffff:10.0.0.1]/x", False),
        ("file:///etc/passwd", False),
    ],
)
def test_results_are_fetched_from_the_open_web_alone(url: str, public: bool) -> None:
    assert remote_client._public(httpx2.URL(url)) is public
