"""The fleet: model cards become Serve applications, one for each expert.

One application for each expert, so that adding, updating or removing one touches no other.
"""

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import SecretStr
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, ProxyStatus

from deployments import checkpoint, errors
from deployments.artifacts import Artifacts
from deployments.errors import ExpertError, FleetError
from deployments.expert import Expert
from deployments.history.history import History
from deployments.llm.endpoint import Endpoint
from deployments.media import Limits
from deployments.placing import asks_llm, runs_elsewhere
from deployments.runners.registry import available, extra_of, missing, resolve
from deployments.runners.routing import ROUTES, runner_of
from deployments.standing import Standing
from deployments.storage import Keeping
from model_catalog.card import NO_RUNNER, ModelCard

logger = logging.getLogger("ray.serve")

ARTIFACTS = "artifacts"
"""Name of the artifact application."""

LINKS = "links"
"""Name of the application that fetches web links."""

HISTORY = "history"
"""Name of the application that keeps history and keys."""

KEEPER = "fleet"
"""Name of the application that wakes experts and puts them to sleep."""

CONTROLLER = "hugginggpt"
"""Name of the controller's application, which owns the HTTP routes."""

READY_S = 600.0
"""How long an application may take to become ready: a node may have to be started for it."""

DRAIN_S = 60.0
"""How long a replica that is replaced may finish what it has begun."""

_LONGEST_REASON = 600  # characters of why an expert did not start

_STARTING = (ApplicationStatus.NOT_STARTED, ApplicationStatus.DEPLOYING)

HEALTH_PERIOD_S = 1.0
"""How often Serve asks a replica whether it is well; a dead one is replaced within about twice that."""


_EXPERT = serve.deployment(Expert)
"""Made once: to make one changes cloudpickle's registry for a moment, and Serve's own threads do so too."""


@dataclass(frozen=True, slots=True)
class ExpertStatus:
    """One expert application as Serve sees it: RUNNING, DEPLOYING, UNHEALTHY and so on."""

    app: str
    status: str
    message: str
    replicas: int


def app_name(card: ModelCard) -> str:
    """The name of an expert's application, readable in the Ray dashboard: task and model."""
    return "--".join([card.tasks[0], *card.id.split("/")])


def obstacle(card: ModelCard) -> str | None:
    """Why this machine cannot run a model, as a part of a sentence; None where it can.

    What a node with a GPU has installed is not known here; a replica there says itself what it lacks.
    """
    runner = runner_of(card)
    if runner is None and not card.library:
        return f"its card names no library; give it one of {', '.join(ROUTES)}"
    if runner is None or not available(runner):
        return NO_RUNNER
    absent = () if card.gpu else missing(card)
    if absent:
        extras = ",".join(dict.fromkeys(map(extra_of, absent)))
        return f"its runner needs {', '.join(absent)}: pip install 'hugginggpt-serve[{extras}]'"
    return None


def deployment_name(card: ModelCard) -> str:
    """The name of an expert's deployment in its application: task and model, without its owner."""
    return f"{card.tasks[0]}--{card.id.partition('/')[2]}"


def sleeps(card: ModelCard) -> bool:
    """Whether an expert holds no replica while it is idle: those do that load weights here."""
    runner = runner_of(card)
    here = runner is not None and not runs_elsewhere(card) and not asks_llm(card)
    return here and not card.embedded and available(runner or "") and resolve(runner or "").checkpoint


def expert_app(
    card: ModelCard,
    limits: Limits | None = None,
    token: SecretStr | None = None,
    *,
    memory: int = 0,
    tries: int = 2,
) -> serve.Application:
    """The Serve application of an expert.

    Args:
        card: the model's card.
        limits: what one file may be.
        token: the operator's for the Hugging Face Hub; for an LLM the key of its endpoint.
        memory: bytes of a node's memory that Ray is to reserve for a replica; 0 for none.
        tries: how often its start is tried before the application counts as failed.

    Raises:
        FleetError: this machine cannot run the model.

    """
    reason = obstacle(card)
    if reason is not None:
        raise FleetError(f"{card.id} cannot be deployed: {reason}.")
    ongoing = max(2, 2 * card.batch_size)  # the next batch is decoded while one runs
    deployment = _EXPERT.options(
        name=deployment_name(card),
        max_ongoing_requests=ongoing,
        max_queued_requests=card.max_queued,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options={
            "num_cpus": card.cpus,
            "num_gpus": card.gpu or 0.0,
            "resources": dict(card.resources),
            **({"memory": memory} if memory else {}),
        },
        max_constructor_retry_count=tries,
        logging_config={"enable_access_log": False},  # an expert logs its calls itself
        health_check_period_s=HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=DRAIN_S,
    )
    return deployment.bind(pinned(card, token), limits, token if _asks(card) else None)


def _asks(card: ModelCard) -> bool:
    """Whether a replica needs a token or key: to fetch its model, or to ask it elsewhere."""
    runner = runner_of(card)
    return runner is not None and (runs_elsewhere(card) or asks_llm(card) or resolve(runner).checkpoint)


def artifacts_app(
    root: str,
    limits: Limits | None = None,
    resources: Mapping[str, float] | None = None,
    keeping: Keeping | None = None,
) -> serve.Application:
    """The artifact application.

    Args:
        root: the data folder, on the node where it runs.
        limits: what one file may be.
        resources: Ray resources that place it.
        keeping: where files are kept, and for how long; under ``root``, for ever, where nothing is said.

    """
    deployment = serve.deployment(
        Artifacts,
        name="artifacts",
        max_ongoing_requests=256,
        max_queued_requests=4_096,
        ray_actor_options={"num_cpus": 0, "resources": dict(resources or {})},
        health_check_period_s=HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=DRAIN_S,
    )
    return deployment.bind(root, limits, keeping)


def history_app(
    database: SecretStr, days: float = 0.0, resources: Mapping[str, float] | None = None
) -> serve.Application:
    """The history application; a SQLite file lies on the node where it runs."""
    deployment = serve.deployment(
        History,
        name="history",
        max_ongoing_requests=256,
        max_queued_requests=1024,
        ray_actor_options={"num_cpus": 0, "resources": dict(resources or {})},
        health_check_period_s=HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=DRAIN_S,
        logging_config={"enable_access_log": False},  # it is called for every step of a run
    )
    return deployment.bind(database, days)


def pinned(card: ModelCard, token: SecretStr | None = None) -> ModelCard:
    """The card with the commits of its model and parts, so that all nodes take the same, now and later.

    Where the Hub cannot be asked from here, the card comes back as it is: each replica then says itself what
    it lacks, or takes what its node has.
    """
    runner = runner_of(card)
    if runner is None or not resolve(runner).checkpoint:
        return card
    try:
        revision = card.revision if card.path else checkpoint.resolve(card.id, card.revision, token)
        parts = {role: _pinned_part(part, token) for role, part in card.parts.items()}
    except ExpertError as error:
        logger.warning("%s is deployed without a pinned commit: %s", card.id, error.message)
        return card
    return card.model_copy(update={"revision": revision, "parts": parts})


def _pinned_part(part: str, token: SecretStr | None) -> str:
    source, revision = checkpoint.split(part)
    commit = checkpoint.resolve(source, revision, token)
    return source if commit is None else f"{source}@{commit}"


def targets(
    cards: Iterable[ModelCard],
    limits: Limits | None = None,
    token: SecretStr | None = None,
    llm: Endpoint | None = None,
) -> list[serve.RunTarget]:
    """What ``serve.run_many`` deploys for these cards.

    Args:
        cards: the models' cards.
        limits: what one file may be.
        token: the operator's token for the Hugging Face Hub.
        llm: the LLM's endpoint; its key goes to experts that ask at its address, and to no other.

    Raises:
        FleetError: this machine cannot run one of them.

    """
    return [
        serve.RunTarget(
            expert_app(card, limits, _secret(card, token, llm)), name=app_name(card), route_prefix=None
        )
        for card in cards
    ]


def _secret(card: ModelCard, token: SecretStr | None, llm: Endpoint | None) -> SecretStr | None:
    """What a card's expert may hold: a token and a key never take each other's place."""
    if not asks_llm(card):
        return token
    return llm.api_key if llm is not None and card.defaults.get("base_url") == llm.base_url else None


def deploy(
    cards: Sequence[ModelCard],
    limits: Limits | None = None,
    token: SecretStr | None = None,
    llm: Endpoint | None = None,
) -> None:
    """Deploy experts, wait until they are ready, and tell the controller; see ``targets``.

    Raises:
        FleetError: this machine cannot run one of them, or one did not become ready.

    """
    if failed := run(targets(cards, limits, token, llm), cards=cards):
        told = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        raise FleetError(f"Not every expert became ready: {told}.")


def run(
    apps: Sequence[serve.RunTarget], seconds: float = READY_S, cards: Sequence[ModelCard] = ()
) -> dict[str, str]:
    """Deploy applications, wait until each has settled, and tell the controller; others are left alone.

    Args:
        apps: what to deploy.
        seconds: how long one may take to become ready, as where no node has room for it yet.
        cards: those of experts that the controller may not know, or not so.

    Returns:
        Why those that did not become ready did not, by name.

    """
    serve.run_many(apps, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    names = {app.name for app in apps}
    pause = threading.Event()
    began = time.monotonic()
    while True:  # Serve has no event for this; it is asked while a deploy waits, never for a request
        status = serve.status()
        found = {name: app for name, app in status.applications.items() if name in names}
        starting = any(name not in found or found[name].status in _STARTING for name in names)
        opening = ProxyStatus.STARTING in status.proxies.values()  # no HTTP request is answered yet
        waited = time.monotonic() - began
        if not (starting or opening) or waited > seconds:
            break
        pause.wait(min(1.0, max(0.1, waited / 10)))  # a status costs Serve some 100 ms of work
    announce(cards)
    ready = ApplicationStatus.RUNNING
    failed = {name: _reason(app) for name, app in found.items() if app.status != ready}
    return failed | {name: "it was not deployed" for name in names if name not in found}


def _reason(app: ApplicationStatusOverview) -> str:
    """Why an application is not ready, in one line."""
    why = f"{app.status.value}: {explained(app)}"
    waits = "; it goes on starting, and hugginggpt ps shows when it runs"
    return f"{why}{waits}" if app.status in _STARTING else why


_RAISED = re.compile(r"^(?:[\w.]*\.)?(\w*(?:Error|Exception|Exit|Interrupt)): (.*)", re.MULTILINE | re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def explained(app: ApplicationStatusOverview) -> str:
    """What Serve says of an application, in one line: of a replica's traceback the error at its end."""
    said = [item.message for item in app.deployments.values() if item.message]
    for message in said:
        # The last error raised stands last; what it says may run over several lines.
        pieces = re.split(r"\n(?=[\w.]*(?:Error|Exception|Exit|Interrupt): )", _COLOUR.sub("", message))
        raised = _RAISED.match(pieces[-1])
        if raised is not None and "Traceback" in message:
            kind, told = raised[1], " ".join(raised[2].split())[:_LONGEST_REASON]
            return told if hasattr(errors, kind) else f"{kind}: {told}"
    return " ".join(" ".join([app.message, *said]).split())[:300]


def undeploy(card: ModelCard) -> None:
    """Remove an expert and tell the controller; nothing happens where it is not deployed."""
    serve.delete(app_name(card))
    announce()


def tell(changed: Sequence[Standing], gone: Sequence[str] = ()) -> bool:
    """Tell every replica of the controller how experts of the fleet are now; False where none was reached.

    Args:
        changed: those that have changed.
        gone: models that are no more of the fleet.

    """
    try:
        handle: DeploymentHandle = serve.get_app_handle(CONTROLLER)
        handle.broadcast("standings", tuple(changed), tuple(gone)).results(timeout_s=10)
    except Exception:  # one that starts asks by itself
        return False
    return True


def announce(cards: Sequence[ModelCard] = ()) -> None:
    """Tell every replica of the controller that the fleet has changed, where one is up, and these cards."""
    if CONTROLLER in serve.status().applications:
        with suppress(TimeoutError, RuntimeError):  # a controller that starts looks by itself
            serve.get_app_handle(CONTROLLER).broadcast("refresh", tuple(cards)).results(timeout_s=30)


def status() -> dict[str, ExpertStatus]:
    """Every application of an expert, or of somebody else, by name; blocks for up to a second."""
    found = {}
    for name, app in serve.status().applications.items():
        if name in (ARTIFACTS, CONTROLLER, HISTORY, KEEPER, LINKS):
            continue
        deployments = app.deployments.values()
        replicas = sum(
            count
            for item in deployments
            for state, count in item.replica_states.items()
            if state == "RUNNING"
        )
        found[name] = ExpertStatus(name, app.status.value, explained(app), replicas)
    return found


def serving(expert: ExpertStatus) -> bool:
    """Whether calls to an expert may be answered: it runs, or is being replaced with a replica left."""
    return expert.status == ApplicationStatus.RUNNING.value or expert.replicas > 0
