"""The LLM as an expert on a cluster: a candidate for text tasks, whose results chain like any other's."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ray import serve

from controller.dispatcher import Dispatcher
from controller.experts import ServeExperts
from controller.outcome import Outcome, Status
from controller.plan import Plan
from controller.selector import Selector
from deployments import fleet
from deployments.llm.card import llm_card
from deployments.llm.endpoint import Endpoint
from deployments.media import LIMITS
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint, broken

KEY = SecretStr("sk-of-the-expert")
LONG = "Ray is a system for distributed Python. It was made in Berkeley. Serve runs models on it. " * 3
SHORT = "Ray runs models."


def _answer(asked: Asked) -> str:
    return SHORT if "summarise" in asked.system else f"<{asked.user}>"


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedEndpoint]:
    """The endpoint that the expert asks."""
    with ScriptedEndpoint(_answer, key=KEY.get_secret_value()) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def llm(product: str, server: ScriptedEndpoint) -> Iterator[ModelCard]:
    """The LLM's expert, beside the product."""
    endpoint = Endpoint(model="scripted", base_url=server.url, api_key=KEY, retries=0)
    card = llm_card(endpoint)
    fleet.deploy([card], LIMITS, SecretStr("hf_of_the_hub"), endpoint)
    yield card
    fleet.undeploy(card)


async def _dispatcher(plan: list[dict[str, Any]], llm: ModelCard) -> Dispatcher:
    """A plan on its way, over the shipped catalog and the LLM."""
    catalog = Catalog([*Catalog.shipped(), llm])
    experts = await asyncio.to_thread(ServeExperts, catalog)
    selector = Selector(catalog)
    selector.fleet = await experts.refresh()
    parsed = Plan.parse(plan)
    assert not parsed.faults
    made = Dispatcher(
        "run-test", experts, selector, lambda event: None, deadline=time.time() + 60, task_seconds=30
    )
    for task in parsed.tasks:
        made.dispatch(task)
    return made


async def _run(plan: list[dict[str, Any]], llm: ModelCard) -> list[Outcome]:
    made = await _dispatcher(plan, llm)
    return list(await made.settle())


async def test_the_llms_summary_is_spoken_by_another_expert(server: ScriptedEndpoint, llm: ModelCard) -> None:
    summary, speech = await _run(
        [
            {"task": "summarization", "id": 0, "args": {"text": LONG}},
            {"task": "text-to-speech", "id": 1, "args": {"text": "<GENERATED>-0"}},
        ],
        llm,
    )
    assert (summary.status, summary.text) == (Status.DONE, SHORT)
    assert summary.choice is not None
    assert summary.choice.model == llm.id
    assert "the language model itself" in summary.choice.reason
    assert "embedded/textrank" in summary.choice.candidates, "it is one candidate among others"
    assert speech.status == Status.DONE
    assert [artifact.modality for artifact in speech.artifacts] == ["audio"]
    asked = server.requests[-1]
    assert (asked.user, asked.headers["authorization"]) == (LONG, f"Bearer {KEY.get_secret_value()}")


async def test_it_works_on_what_another_expert_read(server: ScriptedEndpoint, llm: ModelCard) -> None:
    read, translated = await _run(
        [
            {"task": "image-to-text", "id": 0, "args": {"image": "/examples/sign.png"}, "want": "ocr"},
            {"task": "translation", "id": 1, "args": {"text": "<GENERATED>-0", "target_language": "fr"}},
        ],
        llm,
    )
    assert read.text
    assert translated.text == f"<{read.text}>"
    assert "into French" in server.requests[-1].system
    assert read.text not in server.requests[-1].system, "what was read is data"


async def test_where_the_endpoint_fails_the_next_candidate_answers(
    server: ScriptedEndpoint, llm: ModelCard
) -> None:
    server.say([broken(503)])
    (summary,) = await _run([{"task": "summarization", "id": 0, "args": {"text": LONG}}], llm)
    assert summary.status == Status.DONE
    assert [attempt.model for attempt in summary.attempts] == [llm.id, "embedded/textrank"]
    failed = summary.attempts[0].failure
    assert failed is not None
    assert failed.code == "llm_unavailable"
    assert KEY.get_secret_value() not in summary.model_dump_json()


async def test_a_run_that_is_given_up_closes_the_endpoints_stream(
    server: ScriptedEndpoint, llm: ModelCard
) -> None:
    count = len(server.requests)
    server.say([Reply("One two", stall_after=1)])
    made = await _dispatcher([{"task": "conversational", "id": 0, "args": {"text": "Hi"}}], llm)
    asked = (await asyncio.to_thread(server.wait_for, count + 1))[-1]
    await made.cancel()
    assert await asyncio.to_thread(asked.over.wait, 10)
    assert asked.gone


def test_neither_the_card_nor_any_log_of_the_cluster_shows_the_key(llm: ModelCard, home: Path) -> None:
    handle = serve.get_app_handle(fleet.app_name(llm))
    assert handle.card.remote().result(timeout_s=10) == llm
    logs = [path.read_bytes() for path in (home / "ray").rglob("*.log") if path.is_file()]
    assert any(b"scripted at 127.0.0.1" in log for log in logs), "the expert's calls are logged"
    assert not any(KEY.get_secret_value().encode() in log for log in logs)
