"""The unchanged client of the inference protocol, and runs in the background, on the whole product."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import soundfile
from huggingface_hub import AsyncInferenceClient, InferenceClient, close_session

from tests.support.cluster import EXTRA, card, deployed
from tests.support.signal import Signals
from tests.support.stored import kept

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client's own

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIGN = (EXAMPLES / "sign.png").read_bytes()


def _files(home: Path) -> set[Path]:
    return set(kept(home / "artifacts"))


async def test_every_embedded_expert_is_asked_by_its_name(product: str, home: Path) -> None:
    before = _files(home)
    async with AsyncExitStack() as clients:

        async def ask(model: str) -> AsyncInferenceClient:
            client = AsyncInferenceClient(model=f"{product}/models/embedded/{model}")
            entered: AsyncInferenceClient = await clients.enter_async_context(client)
            return entered

        words, spoken, clean, labels, short, alike = await asyncio.gather(
            (await ask("rapidocr")).image_to_text(SIGN),
            (await ask("espeak-ng")).text_to_speech("Mind the gap."),
            (await ask("noisereduce")).audio_to_audio((EXAMPLES / "noisy.wav").read_bytes()),
            (await ask("vader")).text_classification("What a wonderful day!"),
            (await ask("textrank")).summarization("One thing is said. " * 3 + "Another is said of it, too."),
            (await ask("tfidf")).sentence_similarity("a red cat", ["the red cat", "no such thing"]),
        )
    assert words.generated_text == "HARBOUR FERRY\nLEAVES AT NOON"
    samples, rate = soundfile.read(io.BytesIO(spoken))
    assert 0.5 < len(samples) / rate < 3
    assert soundfile.read(io.BytesIO(clean[0].blob))[0].size > 1000
    assert (labels[0].label, clean[0].content_type) == ("positive", "audio/wav")
    assert short.summary_text
    assert alike[0] > alike[1]
    assert _files(home) == before, "nothing of a call stays"


async def test_a_task_is_asked_by_its_name(product: str) -> None:
    def ask() -> bytes:
        try:
            client = InferenceClient(model=f"{product}/pipeline/text-to-speech")
            return bytes(client.text_to_speech("Mind the gap."))
        finally:
            close_session()

    assert (await asyncio.to_thread(ask))[:4] == b"RIFF"
    async with httpx2.AsyncClient(base_url=product, timeout=60) as http:
        edges = await http.post("/pipeline/canny-control", content=SIGN)
        assert (edges.headers["content-type"], edges.content[1:4]) == ("image/png", b"PNG")
        assert (await http.get("/status/embedded/canny")).json()["loaded"]
        refused = await http.post("/pipeline/canny-control", content=b"no picture")
        assert (refused.status_code, "needs image" in refused.json()["error"]) == (422, True)


@pytest.fixture
def hanging(product: str) -> Iterator[Signals]:
    """An expert that works until it is stopped; the signals that it gives."""
    signals = Signals()
    model = card("hanging", "depth-estimation", "Hangs", description=signals.name)
    with deployed([model.model_copy(update={"id": EXTRA[0].id})]):
        yield signals


async def test_a_run_in_the_background_outlives_its_client_and_not_its_end(
    product: str, hanging: Signals
) -> None:
    task = {
        "task": "depth-estimation",
        "id": 0,
        "args": {"image": "/examples/sign.png"},
        "model": EXTRA[0].id,
    }
    body = {"plan": [task], "stream": True, "background": True}
    async with httpx2.AsyncClient(base_url=product, timeout=60) as http:
        async with http.stream("POST", "/v1/runs", json=body) as answer:
            place = answer.headers["location"]
            await hanging.wait("begun")
        others = [{"task": "text-to-speech", "id": 0, "args": {"text": "Mind the gap."}}]
        assert (await http.post("/v1/runs", json={"plan": others})).status_code == 200
        so_far = (await http.get(place)).json()
        assert (so_far["state"], so_far["outcomes"]) == ("running", [])
        assert (await http.delete(place)).json()["state"] == "cancelled"
        await hanging.wait("stopped")
        assert "event: run.failed" in (await http.get(f"{place}/events")).text
