"""Which LLM each stage asks, by the settings."""

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import SecretStr, ValidationError

from controller.errors import SettingsError
from controller.settings import Settings
from deployments.llm.endpoint import CONTEXT_TOKENS, Endpoint

Stage = Literal["planner", "responder", "expert"]
"""Who asks an LLM: the planner, the responder, and the expert for text tasks."""

MODEL = "gpt-6-luna"
"""The model asked at OpenAI's own endpoint where the settings name none: the smallest current one.

It is told not to reason first, since each answer would wait for that.
"""


OPENAI_CONTEXT_TOKENS = 100_000
"""What is asked of that model at most; it takes more."""


@dataclass(frozen=True, slots=True)
class _Place:
    """An address with the key that belongs there."""

    base_url: str | None
    api_key: SecretStr | None
    azure: bool = False


def endpoint(settings: Settings, stage: Stage) -> Endpoint | None:
    """The LLM that a stage asks; None where it is to be done without one.

    Raises:
        SettingsError: what is set does not make an endpoint; the message says what is missing.

    """
    if settings.brain == "embedded" or (stage == "expert" and not settings.llm_expert):
        return None
    place = _place(settings, stage)
    _check_wanted(settings)
    if place is None:
        _check_unused(settings, stage)
        return None
    model = _model(settings, stage, place)
    try:
        return Endpoint(
            model=model,
            base_url=place.base_url,
            api_key=place.api_key,
            azure=place.azure,
            api_version=settings.openai_api_version if place.azure else None,
            reasoning_effort=settings.llm_reasoning_effort or ("none" if model == MODEL else None),
            timeout_s=settings.llm_timeout_s,
            retries=settings.llm_retries,
            concurrency=settings.llm_concurrency,
            context_tokens=settings.llm_context_tokens or _context(model),
        )
    except ValidationError as error:
        told = "; ".join(
            item["msg"].removeprefix("Value error, ") for item in error.errors(include_input=False)
        )
    raise SettingsError(f"The LLM of the {stage} cannot be asked: {told}.")


def _context(model: str) -> int:
    """How much a model reads and writes that the settings do not tell of."""
    return OPENAI_CONTEXT_TOKENS if model == MODEL else CONTEXT_TOKENS


def _place(settings: Settings, stage: Stage) -> _Place | None:
    """Where a stage asks: at an address of its own, or at that of all stages."""
    url: str | None = getattr(settings, f"{stage}_base_url")
    key: SecretStr | None = getattr(settings, f"{stage}_api_key")
    shared = _shared(settings)
    if url is not None and (shared is None or url != shared.base_url):
        return _Place(url, key)  # never with the key of another address
    if shared is None:
        return None if key is None else _Place(None, key)
    return _Place(shared.base_url, key or shared.api_key, shared.azure)


def _shared(settings: Settings) -> _Place | None:
    """Where every stage asks that says nothing else.

    Raises:
        SettingsError: two addresses are given, or Azure's without its key.

    """
    if settings.azure_openai_endpoint is not None:
        if settings.openai_base_url is not None:
            raise SettingsError(
                "Two LLM endpoints are set, OPENAI_BASE_URL and AZURE_OPENAI_ENDPOINT; leave one of them out."
            )
        if settings.azure_openai_api_key is None:
            raise SettingsError("AZURE_OPENAI_ENDPOINT is set without its key; set AZURE_OPENAI_API_KEY.")
        return _Place(settings.azure_openai_endpoint, settings.azure_openai_api_key, azure=True)
    if settings.openai_base_url is None and settings.openai_api_key is None:
        return None
    return _Place(settings.openai_base_url, settings.openai_api_key)


def _model(settings: Settings, stage: Stage, place: _Place) -> str:
    """The model to ask.

    Raises:
        SettingsError: none is named, and the endpoint is not OpenAI's own.

    """
    named: str | None = getattr(settings, f"{stage}_model") or settings.model
    if stage == "expert":  # the one that answers serves text tasks where nothing else is said
        named = named or settings.responder_model or settings.planner_model
    if named is not None:
        return named
    if place.base_url is None:
        return MODEL
    what = "the name of the model's deployment" if place.azure else "the model to ask there"
    raise SettingsError(
        f"The LLM endpoint {place.base_url} is set without a model; set HUGGINGGPT_MODEL to {what}."
    )


def _check_wanted(settings: Settings) -> None:
    """Refuse settings that want an LLM as the brain, or have a key for one, and name none.

    Raises:
        SettingsError: neither planner nor responder has an LLM, or there is nothing but a key of Azure's.

    """
    placed = {stage for stage in get_args(Stage) if _place(settings, stage) is not None}
    if not placed and settings.azure_openai_api_key is not None:
        raise SettingsError(
            "AZURE_OPENAI_API_KEY is set without its endpoint; set AZURE_OPENAI_ENDPOINT to the resource's "
            "address, or leave the key out."
        )
    if settings.brain == "llm" and not placed & {"planner", "responder"}:
        raise _absent("brain = 'llm'", " that plans or answers")


def _check_unused(settings: Settings, stage: Stage) -> None:
    """Refuse a model that is named for a stage without an endpoint.

    Raises:
        SettingsError: the stage's own model, or one of all stages that none has an endpoint for.

    """
    if getattr(settings, f"{stage}_model"):
        raise _absent(f"{stage}_model")
    if settings.model is not None and all(_place(settings, other) is None for other in get_args(Stage)):
        raise _absent("HUGGINGGPT_MODEL")


def _absent(wanted: str, what: str = "") -> SettingsError:
    return SettingsError(
        f"An LLM is wanted ({wanted}), but there is no endpoint{what}: set OPENAI_API_KEY for OpenAI's own, "
        "or OPENAI_BASE_URL for another."
    )
