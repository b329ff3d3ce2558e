"""Where an LLM is: what makes an endpoint, and where no key is sent."""

import pickle
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from deployments.errors import ExpertError
from deployments.fleet import app_name, obstacle
from deployments.llm.card import TASKS, endpoint_of, llm_card
from deployments.llm.endpoint import OPENAI, Endpoint
from model_catalog.card import ModelCard

KEY = SecretStr("sk-test")


def test_openais_own_endpoint_needs_but_a_model() -> None:
    made = Endpoint(model="gpt", api_key=KEY)
    assert (made.address, made.host, made.secret, made.private) == (OPENAI, "api.openai.com", "sk-test", True)
    assert hash(made) == hash(Endpoint(model="gpt", api_key=KEY))


@pytest.mark.parametrize(
    "url",
    ["https://llm.example.org/v1", "http://localhost:8000/v1", "http://127.0.0.1:1", "http://[::1]:8000/v1"],
)
def test_a_key_goes_over_https_or_to_this_machine(url: str) -> None:
    assert Endpoint(model="m", base_url=url, api_key=KEY).private


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:8000/v1", "http://llm.example.org", "http://localhost.evil.org"]
)
def test_a_key_goes_nowhere_in_the_open(url: str) -> None:
    with pytest.raises(
        ValidationError, match=r"the key would go to .* in the open; give its address with https"
    ):
        Endpoint(model="m", base_url=url, api_key=KEY)
    assert Endpoint(model="m", base_url=url).secret is None, "without a key it may be asked"
    assert Endpoint(model="m", base_url=url, api_key=SecretStr(" ")).secret is None


@pytest.mark.parametrize(
    "values",
    [
        {"model": ""},
        {"base_url": "llm.example.org"},
        {"base_url": "ftp://llm.example.org"},
        {"base_url": "https://me:sk-test@llm.example.org"},
        {"base_url": "https://llm.example.org/v1?key=sk-test"},
        {"base_url": "https://"},
        {"base_url": "https://[x"},
        {"azure": True},
        {"azure": True, "base_url": "https://x.openai.azure.com", "api_key": None},
        {"api_key": SecretStr("sk-test\nX-Evil: 1")},
        {"api_key": SecretStr("sk-tést")},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"retries": -1},
        {"concurrency": 0},
        {"context_tokens": 10},
        {"colour": "red"},
    ],
)
def test_what_makes_no_endpoint_is_refused_without_its_key(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Endpoint(**{"model": "m", "api_key": KEY} | values)
    assert "sk-test" not in str(caught.value)


def test_it_travels_with_its_key_and_shows_it_nowhere() -> None:
    made = Endpoint(model="m", api_key=KEY)
    assert pickle.loads(pickle.dumps(made)) == made
    for shown in (repr(made), str(made), repr(made.model_dump()), made.model_dump_json()):
        assert "sk-test" not in shown


# As an expert --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-6-luna", "llm/gpt-6-luna"),
        ("meta-llama/Llama-3.1-8B", "llm/meta-llama-Llama-3.1-8B"),
        ("qwen3:4b", "llm/qwen3-4b"),
        (".../..", "llm/model"),
        ("größe", "llm/gr-e"),
        ("x" * 200, f"llm/{'x' * 120}"),
    ],
)
def test_a_models_name_makes_an_id(model: str, name: str) -> None:
    card = llm_card(Endpoint(model=model, api_key=KEY))
    assert card.id == name
    assert app_name(card) == f"text-generation--{name.replace('/', '--')}"
    assert ModelCard.model_validate(card.model_dump()) == card


@pytest.mark.parametrize(
    "made",
    [
        Endpoint(model="gpt", api_key=KEY),
        Endpoint(model="a/b", base_url="http://10.0.0.7:8000/v1", timeout_s=7.5, concurrency=3),
        Endpoint(model="d", base_url="https://x.openai.azure.com", api_key=KEY, azure=True, api_version="1"),
    ],
)
def test_a_card_means_its_endpoint_and_holds_no_key(made: Endpoint) -> None:
    card = llm_card(made)
    assert endpoint_of(card, made.api_key) == made
    assert "sk-test" not in card.model_dump_json()
    assert (card.gpu, card.cpus, card.tasks, obstacle(card)) == (0, 0, TASKS, None)
    assert card.batch_size == made.concurrency


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        ({}, "model: Field required"),
        ({"model": "m", "base_url": "http://10.0.0.7/v1"}, "the key would go to 10.0.0.7 in the open"),
        ({"model": "m", "timeout_s": "long"}, "timeout_s"),
    ],
)
def test_a_card_of_ones_own_that_means_none(defaults: dict[str, str], told: str) -> None:
    card = ModelCard(id="llm/mine", tasks=TASKS, runner="llm", defaults=defaults)
    with pytest.raises(ExpertError, match="llm/mine cannot be asked") as caught:
        endpoint_of(card, KEY)
    assert told in caught.value.message
    assert "sk-test" not in caught.value.message
