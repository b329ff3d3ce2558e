"""Checks of the Hub, of its token, and of the LLM's endpoint."""

from collections.abc import Iterator
from typing import get_args
from urllib.parse import urlsplit

from pydantic import SecretStr

from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Machine, UnreachableError
from controller.endpoints import Stage, endpoint
from controller.profile import mode
from controller.settings import Settings
from deployments import checkpoint
from deployments.llm.endpoint import AZURE_VERSION, Endpoint
from model_catalog import profiles
from model_catalog.errors import HuggingGPTError

TOKEN = "HUGGINGFACE_ACCESS_TOKEN"  # noqa: S105 - a setting's name
_TOKENS = "https://huggingface.co/settings/tokens"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def hub(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether the Hub can be reached, and its token is good."""
    secret = settings.huggingface_access_token
    if checkpoint.offline():
        yield ok("Hub", "HF_HUB_OFFLINE is set: only models that are here are used")
        return
    address = (machine.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    try:
        status = machine.get(f"{address}/api/models?limit=1", {}).status
    except UnreachableError as error:
        yield _unreachable(settings, address, error.message)
        return
    if status >= 500:
        yield warn("Hub", f"{address} answers with an error ({status})", "Try again later.")
    else:
        yield ok("Hub", f"{address} answers")
    yield _no_token(machine, settings) if secret is None else _token(machine, address, secret)


def _unreachable(settings: Settings, address: str, how: str) -> Finding:
    told = f"{address} cannot be reached ({how})"
    todo = (
        "Check the network, https_proxy and HF_ENDPOINT; without a network take the profile embedded, or set "
        "HF_HUB_OFFLINE=1 and use the models that are here."
    )
    needed = bool(profiles.load(settings.profile).models) or mode(settings) != "local"
    return fail("Hub", told, todo) if needed else warn("Hub", told, todo)


def _no_token(machine: Machine, settings: Settings) -> Finding:
    check = "Hub's token"
    if mode(settings) != "local" and settings.inference_endpoint is None:
        return fail(
            check, "none, and models elsewhere are asked with one", f"Make one at {_TOKENS} and set {TOKEN}."
        )
    if "HF_TOKEN" in machine.environ:
        return warn(check, "HF_TOKEN is set, and is not read here", f"Set {TOKEN} to it.")
    return ok(check, "none; gated models and inference providers would need one")


def _token(machine: Machine, address: str, secret: SecretStr) -> Finding:
    check = "Hub's token"
    place = urlsplit(address)
    if place.scheme != "https" and place.hostname not in _LOOPBACK:
        return fail(check, f"it is not sent to {address} in the open", "Give HF_ENDPOINT with https://.")
    try:
        answer = machine.get(
            f"{address}/api/whoami-v2", {"Authorization": f"Bearer {secret.get_secret_value()}"}
        )
    except UnreachableError as error:
        return warn(check, f"it could not be checked ({error.message})", "Run hugginggpt doctor again.")
    if answer.status in (401, 403):
        return fail(
            check,
            "the Hub does not know it: it is stale or mistyped",
            f"Make a new one at {_TOKENS}, and set {TOKEN} to it, or to nothing.",
        )
    if answer.status != 200 or not isinstance(answer.body, dict):
        return warn(check, f"it could not be checked ({answer.status})", "Run hugginggpt doctor again.")
    return ok(check, f"that of {answer.body.get('name', 'an account')}")


def llm(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether each LLM that the settings name can be reached, takes its key and has its model."""
    try:
        asked = {stage: endpoint(settings, stage) for stage in get_args(Stage)}
    except HuggingGPTError as error:
        yield fail("LLM", error.message.rstrip("."), "Mend the settings; docs/llm.md has examples.")
        return
    places: dict[tuple[str, str, str | None], tuple[Endpoint, list[str]]] = {}
    for stage, place in asked.items():
        if place is not None:
            key = (place.address, place.model, place.secret)
            places.setdefault(key, (place, []))[1].append(stage)
    if not places:
        yield ok("LLM", "none is set: the embedded brain plans and answers")
    for place, stages in places.values():
        yield _asked(machine, place, f"LLM ({', '.join(stages)})")


def _asked(machine: Machine, place: Endpoint, check: str) -> Finding:
    base = place.address.rstrip("/")
    if place.azure:
        url = f"{base}/openai/models?api-version={place.api_version or AZURE_VERSION}"
        headers = {"api-key": place.secret or ""}
    else:
        url = f"{base}/models"
        headers = {"Authorization": f"Bearer {place.secret}"} if place.secret else {}
    try:
        answer = machine.get(url, headers)
    except UnreachableError as error:
        todo = "Start it, or check OPENAI_BASE_URL and the network; the embedded brain steps in till then."
        return fail(check, f"{place.host} cannot be reached ({error.message})", todo)
    if answer.status in (401, 403):
        return fail(check, f"{place.host} does not take the key ({answer.status})", "Set its key anew.")
    if answer.status >= 500:
        return warn(check, f"{place.host} answers with an error ({answer.status})", "Try again later.")
    models = _models(answer.body)
    if models and not place.azure and place.model not in models:
        some = ", ".join(models[:3])
        todo = f"Set HUGGINGGPT_MODEL to one that it has, such as {some}, if requests fail."
        return warn(check, f"{place.host} does not list the model {place.model}", todo)
    return ok(check, f"{place.model} at {place.host}")


def _models(body: object) -> list[str]:
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        return []
    return sorted(str(one["id"]) for one in data if isinstance(one, dict) and "id" in one)
