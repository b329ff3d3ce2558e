"""What goes wrong in the inference protocol, as its client tells it; what runs; clients that leave."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

from controller.selector import Fleet
from deployments.errors import ExpertError, InputError
from deployments.result import Result
from tests.api.desk import URL, Desk, desk
from tests.api.leaving import Visit
from tests.deployments.samples import PICTURES
from tests.support.cluster import card
from tests.support.fakes import busy, died, turns, wrapped

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client's own

PNG = PICTURES["image/png"]
SECOND = card("second-classifier", "text-classification", "Echo", downloads=0)


async def _told(here: Desk, path: str, status: int, **sent: Any) -> str:
    """The error that a request is answered with."""
    answer: httpx2.Response = await here.client.post(path, **sent)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert isinstance(error, str)
    return error


@pytest.mark.parametrize(
    ("task", "body", "words"),
    [
        ("summarization", {}, "'inputs'"),
        ("summarization", {"inputs": " "}, "not empty"),
        ("summarization", {"inputs": 7}, "Send a text"),
        ("summarization", {"inputs": "x", "parameters": [1]}, "must be an object"),
        ("summarization", {"inputs": "x", "parameters": {"generate_parameters": 1}}, "must be an object"),
        ("summarization", {"inputs": "x", "parameters": {"colour": "red"}}, "no parameter colour"),
        ("summarization", {"inputs": "x", "parameters": {"max_new_tokens": [1]}}, "a word or a number"),
        ("summarization", {"inputs": "x", "parameters": {"text": "y"}}, "no parameter text"),
        ("text-to-image", {"inputs": "x", "parameters": {"scheduler": "DDIM"}}, "It takes: negative_prompt"),
        ("zero-shot-classification", {"inputs": "x"}, "'candidate_labels'"),
        ("zero-shot-classification",
         {"inputs": "x", "parameters": {"candidate_labels": ["a", "b"], "hypothesis_template": "Not {}."}},
         "hypothesis_template"),
        ("token-classification",
         {"inputs": "x", "parameters": {"aggregation_strategy": "none"}}, "in groups"),
        ("question-answering", {"inputs": {"question": "x"}}, "'context'"),
        ("question-answering",
         {"inputs": {"question": "x", "context": "y"}, "parameters": {"top_k": 3}}, "top_k"),
        ("sentence-similarity", {"inputs": {"source_sentence": "x", "sentences": ["y", " "]}}, "'sentences'"),
        ("feature-extraction", {"inputs": ["x"] * 257}, "At most 256"),
        ("feature-extraction", {"inputs": []}, "a list of texts"),
        ("feature-extraction", {"inputs": "x", "dimensions": 3}, "dimensions"),
        ("feature-extraction", {"inputs": "x", "encoding_format": "base64"}, "encoding_format"),
        ("table-question-answering",
         {"inputs": {"query": "x", "table": {"a": ["1"], "b": []}}}, "one length"),
        ("tabular-classification", {"table": [["1"]]}, "object of columns"),
        ("image-classification", {"inputs": "no base64!"}, "in base64"),
        ("image-classification", {"inputs": "data:image/png;base64,%%%"}, "data: URL is damaged"),
        ("visual-question-answering", {"inputs": {"image": "aaaa"}}, "'question'"),
        ("document-question-answering",
         {"inputs": {"question": "x", "image": "aaaa"}, "parameters": {"top_k": 2}}, "top_k"),
        ("automatic-speech-recognition",
         {"inputs": "aaaa", "parameters": {"return_timestamps": "word"}}, "phrases"),
        ("text-generation", {"inputs": "x", "parameters": {"top_k": 3}}, "`model_kwargs` are not used"),
        ("mind-reading", {"inputs": "x"}, "There is no task 'mind-reading'"),
        ("summarization", {"inputs": "x", "parameters": {"max_new_tokens": 10**400}}, "too large"),
        ("token-classification", {"inputs": "x", "parameters": {"ignore_labels": 5}}, "'ignore_labels'"),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_read_says_why(
    task: str, body: Any, words: str, tmp_path: Path
) -> None:
    async with desk(tmp_path) as here:
        status = 422 if "data:" in words else 400
        assert words in await _told(here, f"/pipeline/{task}", status, json=body)
        assert here.calls == []
        assert here.kept() == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"", "image/png", 400),
        (b"GIF87a and no picture", "image/gif", 415),
        (b"\x00\x01\x02", "application/octet-stream", 415),
    ],
)
async def test_a_body_that_is_none(content: bytes, kind: str, status: int, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        headers = {"content-type": kind}
        await _told(here, "/pipeline/image-classification", status, content=content, headers=headers)
        assert here.kept() == []


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDc00", b"\xed\xa0\x80"])
async def test_half_a_character_is_no_text(half: bytes, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        sent: Any = {"headers": {"content-type": "application/json"}}
        body = b'{"inputs": "half %b a character"}' % half
        assert "no valid JSON" in await _told(here, "/pipeline/summarization", 400, content=body, **sent)
        here.says(text="short")
        whole = rb'{"inputs": "a whole one: \ud83d\ude42"}'
        answer = await here.client.post("/pipeline/summarization", content=whole, **sent)
        assert answer.status_code == 200
        assert here.asked[-1]["text"] == "a whole one: \U0001f642"


async def test_files_elsewhere_are_not_fetched(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        for name, words in (
            ("http://evil.example/x.png", "was not read"),
            ("/images/" + "0" * 32 + ".png", "no file"),
        ):
            told = await _told(here, "/pipeline/image-classification", 422, json={"inputs": name})
            assert words in told


async def test_models_that_cannot_be_asked(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert "no model 'no/such'" in await _told(here, "/models/no/such", 404, json={"inputs": "x"})
        path = "/models/test/summarization-model/pipeline/translation"
        assert "it does summarization" in await _told(here, path, 400, json={"inputs": "x"})
        fleet = Fleet(obstacles={"test/summarization-model": "it needs a GPU"})
        here.stage.controller.selector.fleet = here.stage.cluster.fleet = fleet
        for path, words in (
            ("/models/test/summarization-model", "it needs a GPU"),
            ("/pipeline/summarization", "does not run here: it needs a GPU"),
        ):
            answer = await here.client.post(path, json={"inputs": "x"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            assert words in answer.json()["error"]
            assert answer.json()["estimated_time"] == 10.0


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (wrapped(InputError("The text is too long; give a shorter one.")), 422, "too long"),
        (wrapped(ExpertError("The model thought and thought.")), 502, "thought"),
        (busy(), 429, "too many calls waiting"),
        (died(), 503, "replica died"),
        (RuntimeError("inner words"), 500, "An unexpected RuntimeError"),
    ],
)
async def test_a_model_that_fails_says_how(error: Exception, status: int, words: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.answers = [error]
        path = "/models/test/summarization-model"
        assert words in await _told(here, path, status, json={"inputs": "x"})
        with pytest.raises(HfHubHTTPError, match=words):
            await here.model("summarization").summarization("x")


async def test_of_a_task_the_next_candidate_takes_over_and_of_a_model_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path, SECOND) as here:
        here.answers = [RuntimeError("no"), Result(data=[{"label": "a", "score": 1.0}])]
        client = AsyncInferenceClient(model=f"{URL}/pipeline/text-classification")
        assert (await client.text_classification("x"))[0].label == "a"
        assert [called.card.id for called in here.calls] == ["test/text-classification-model", SECOND.id]
        here.answers = [RuntimeError("no"), Result(data=[])]
        assert await _told(here, f"/models/{SECOND.id}", 500, json={"inputs": "x"})


async def test_a_result_of_another_form_is_a_fault_of_the_models(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(data={"score": 0.5})
        body = {"inputs": {"source_sentence": "x", "sentences": ["y", "z"]}}
        assert "no result" in await _told(here, "/pipeline/sentence-similarity", 502, json=body)
        assert "no result" in await _told(here, "/pipeline/text-classification", 502, json={"inputs": "x"})
        assert "gave no image" in await _told(here, "/pipeline/text-to-image", 502, json={"inputs": "x"})


async def test_numbers_that_are_none_are_a_fault_of_the_models(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        body = {"inputs": {"source_sentence": "x", "sentences": ["y"]}}
        for data, words in ((float("nan"), "NaN"), (float("-inf"), "infinity"), (None, "no result")):
            here.says(data={"score": data})
            assert words in await _told(here, "/pipeline/sentence-similarity", 502, json=body)
        here.says(data=[1.0, float("nan")])
        assert "NaN" in await _told(here, "/pipeline/feature-extraction", 502, json={"inputs": "x"})


async def test_the_client_reads_what_was_wrong(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(BadRequestError, match="takes no parameter function_to_apply"):
            await here.model("text-classification").text_classification("x", function_to_apply="sigmoid")


# What runs -----------------------------------------------------------------------------------------------


async def test_what_runs_is_told_as_huggingggpts_model_server_did(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        model = "test/summarization-model"
        assert (await here.client.get("/running")).json() == {"running": True}
        assert (await here.client.get(f"/status/{model}")).json() == {"loaded": True, "state": "Loaded"}
        client = AsyncInferenceClient(model=f"{URL}/models/{model}", provider="hf-inference")
        assert await client.health_check()
        assert (await client.get_endpoint_info())["model_pipeline_tag"] == "summarization"
        fleet = Fleet(frozenset({model}), cold={model: 3.0})
        here.stage.controller.selector.fleet = fleet
        assert (await here.client.get(f"/status/{model}")).json() == {"loaded": True, "state": "Loadable"}
        here.stage.controller.selector.fleet = Fleet()
        assert (await here.client.get(f"/status/{model}")).json()["loaded"] is False
        assert not await client.health_check()
        unknown = await here.client.get("/status/no/such")
        assert (unknown.status_code, "no model" in unknown.json()["error"]) == (404, True)


# Going away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/test/summarization-model", {"inputs": "x"}),
        ("/pipeline/image-classification", PNG),
        ("/pipeline/feature-extraction", {"inputs": ["a", "b", "c"]}),
    ],
)
async def test_a_client_that_goes_away_frees_the_models(path: str, body: Any, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        async with Visit(here.app, path, body):
            await asyncio.wait_for(here.called.wait(), 20)
            await turns()
        assert all(called.response.cancelled for called in here.calls)
        assert here.kept() == []
