"""Which LLM each stage asks: by one key, by one address, by Azure's names, and each stage by its own."""

from typing import Any, get_args

import pytest
from pydantic import SecretStr

from controller.endpoints import MODEL, Stage, endpoint
from controller.errors import SettingsError
from controller.settings import Settings
from deployments.llm.endpoint import Endpoint

KEY = SecretStr("sk-shared")
OWN = SecretStr("sk-own")
URL = "https://llm.example.org/v1"
AZURE = "https://me.openai.azure.com"
STAGES: tuple[Stage, ...] = get_args(Stage)


def of(stage: Stage = "planner", **values: Any) -> Endpoint | None:
    """The endpoint of a stage."""
    return endpoint(Settings(**values), stage)


def refused(stage: Stage = "planner", **values: Any) -> str:
    """Why there is none."""
    with pytest.raises(SettingsError) as caught:
        endpoint(Settings(**values), stage)
    assert "sk-" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_key_or_an_address_there_is_none(stage: Stage) -> None:
    assert of(stage) is None


@pytest.mark.parametrize("stage", STAGES)
def test_a_key_alone_means_openais_own_endpoint(stage: Stage) -> None:
    made = of(stage, openai_api_key=KEY)
    assert made == Endpoint(model=MODEL, api_key=KEY, reasoning_effort="none", context_tokens=100_000)


def test_a_model_of_ones_own_reasons_as_it_likes() -> None:
    assert of(openai_api_key=KEY, model="o9") == Endpoint(model="o9", api_key=KEY)
    made = of(openai_api_key=KEY, llm_reasoning_effort="low")
    assert made is not None
    assert (made.model, made.reasoning_effort) == (MODEL, "low")


@pytest.mark.parametrize("key", [None, KEY])
def test_an_address_needs_a_model(key: SecretStr | None) -> None:
    assert f"{URL} is set without a model; set HUGGINGGPT_MODEL" in refused(
        openai_base_url=URL, openai_api_key=key
    )
    made = of(openai_base_url=URL, openai_api_key=key, model="qwen")
    assert made == Endpoint(model="qwen", base_url=URL, api_key=key)


def test_azure_has_names_of_its_own() -> None:
    values: dict[str, Any] = {"azure_openai_endpoint": AZURE, "azure_openai_api_key": KEY, "model": "my-gpt"}
    made = of(**values, openai_api_version="2030-01-01", openai_api_key=OWN)
    assert made == Endpoint(model="my-gpt", base_url=AZURE, api_key=KEY, azure=True, api_version="2030-01-01")
    assert "set AZURE_OPENAI_API_KEY" in refused(**values | {"azure_openai_api_key": None})
    assert "the name of the model's deployment" in refused(**values | {"model": None})
    assert "leave one of them out" in refused(**values, openai_base_url=URL)


def test_how_it_is_asked_is_set_too() -> None:
    made = of(openai_api_key=KEY, llm_timeout_s=7, llm_retries=1, llm_concurrency=3, llm_context_tokens=9000)
    assert made is not None
    assert (made.timeout_s, made.retries, made.concurrency, made.context_tokens) == (7, 1, 3, 9000)


# Each stage by its own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_may_ask_another_model_at_the_same_address(stage: Stage) -> None:
    values: dict[str, Any] = {"openai_base_url": URL, "openai_api_key": KEY, "model": "big"}
    values[f"{stage}_model"] = "small"
    for other in STAGES:
        made = of(other, **values)
        model = "small" if other == stage else "big"
        assert made == Endpoint(model=model, base_url=URL, api_key=KEY)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_at_an_address_of_its_own_never_gets_the_others_key(stage: Stage) -> None:
    elsewhere = {f"{stage}_base_url": "http://localhost:8000/v1", f"{stage}_model": "tiny"}
    made = of(stage, openai_api_key=KEY, **elsewhere)
    assert made == Endpoint(model="tiny", base_url="http://localhost:8000/v1")
    made = of(stage, openai_api_key=KEY, **elsewhere, **{f"{stage}_api_key": OWN})
    assert made is not None
    assert made.api_key == OWN
    made = of(stage, azure_openai_endpoint=AZURE, azure_openai_api_key=KEY, model="d", **elsewhere)
    assert made is not None
    assert (made.azure, made.api_key) == (False, None)


def test_the_same_address_given_twice_keeps_its_key() -> None:
    made = of(openai_base_url=URL, openai_api_key=KEY, model="m", planner_base_url=URL)
    assert made == Endpoint(model="m", base_url=URL, api_key=KEY)


def test_a_stage_may_be_the_only_one() -> None:
    values: dict[str, Any] = {"planner_base_url": URL, "planner_model": "tiny"}
    assert of("planner", **values) == Endpoint(model="tiny", base_url=URL)
    assert of("responder", **values) is None
    assert of("expert", **values) is None
    assert of("responder", planner_api_key=OWN) is None
    assert of("planner", planner_api_key=OWN) == Endpoint(
        model=MODEL, api_key=OWN, reasoning_effort="none", context_tokens=100_000
    )
    shared = values | {"planner_model": None, "model": "m"}
    assert of("planner", **shared) == Endpoint(model="m", base_url=URL)
    assert of("responder", **shared) is None, "the model is the planner's"


@pytest.mark.parametrize("stage", STAGES)
def test_a_key_of_a_stage_alone_is_no_ones_else(stage: Stage) -> None:
    values: dict[str, Any] = {f"{stage}_api_key": OWN, "model": "m"}
    for other in STAGES:
        assert of(other, **values) == (Endpoint(model="m", api_key=OWN) if other == stage else None)


# What is refused, and what turns it off ------------------------------------------------------------------


def test_a_key_is_not_sent_in_the_open() -> None:
    told = refused(openai_base_url="http://10.0.0.7:8000/v1", openai_api_key=KEY, model="m")
    assert "the key would go to 10.0.0.7:8000 in the open; give its address with https://" in told
    assert of(openai_base_url="http://10.0.0.7:8000/v1", model="m") is not None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"model": "m"}, "HUGGINGGPT_MODEL"),
        ({"planner_model": "m"}, "planner_model"),
        ({"brain": "llm"}, "brain"),
    ],
)
def test_an_llm_that_is_wanted_needs_an_endpoint(values: dict[str, Any], wanted: str) -> None:
    told = refused(**values)
    assert wanted in told
    assert "set OPENAI_API_KEY for OpenAI's own, or OPENAI_BASE_URL" in told


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("values", [{"expert_base_url": URL, "expert_model": "m"}, {"expert_api_key": OWN}])
def test_an_llm_for_text_tasks_is_no_brain(stage: Stage, values: dict[str, Any]) -> None:
    assert of("expert", **values) is not None
    assert of("planner", **values) is None
    assert "An LLM is wanted (brain = 'llm')" in refused(stage, brain="llm", **values)


@pytest.mark.parametrize("one", ["planner", "responder"])
def test_an_llm_that_plans_or_answers_is_a_brain(one: Stage) -> None:
    values: dict[str, Any] = {"brain": "llm", f"{one}_base_url": URL, f"{one}_model": "m"}
    for stage in STAGES:
        assert of(stage, **values) == (Endpoint(model="m", base_url=URL) if stage == one else None)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("more", [{}, {"brain": "llm"}, {"model": "m"}])
def test_a_key_of_azures_alone_says_what_is_missing(stage: Stage, more: dict[str, Any]) -> None:
    told = refused(stage, azure_openai_api_key=KEY, **more)
    assert "AZURE_OPENAI_API_KEY is set without its endpoint; set AZURE_OPENAI_ENDPOINT" in told


def test_a_key_of_azures_beside_another_endpoint_is_for_something_else() -> None:
    made = of(azure_openai_api_key=OWN, openai_api_key=KEY, model="m")
    assert made == Endpoint(model="m", api_key=KEY)
    values: dict[str, Any] = {"azure_openai_api_key": OWN, "planner_base_url": URL, "planner_model": "m"}
    assert of("planner", **values) == Endpoint(model="m", base_url=URL)
    assert of("responder", **values) is None


@pytest.mark.parametrize("stage", STAGES)
def test_the_embedded_brain_alone_asks_nobody(stage: Stage) -> None:
    assert of(stage, brain="embedded", openai_api_key=KEY, model="m") is None
    assert of(stage, brain="llm", openai_api_key=KEY) is not None


def test_text_tasks_may_be_kept_from_the_llm() -> None:
    assert of("expert", openai_api_key=KEY, llm_expert=False) is None
    assert of("planner", openai_api_key=KEY, llm_expert=False) is not None


def test_text_tasks_go_to_the_model_that_answers_where_nothing_else_is_said() -> None:
    named = {"openai_base_url": "http://127.0.0.1:9/v1", "planner_model": "small", "responder_model": "large"}
    expert = endpoint(Settings(**named), "expert")  # type: ignore[arg-type]
    assert expert is not None
    assert expert.model == "large"


def test_how_much_a_model_reads_is_told_or_known() -> None:
    usual = endpoint(Settings(openai_api_key=SecretStr("sk-x")), "planner")
    local = endpoint(Settings(openai_base_url="http://127.0.0.1:9/v1", model="m"), "planner")
    assert usual is not None
    assert local is not None
    assert (usual.context_tokens, local.context_tokens) == (100_000, 16_000)
