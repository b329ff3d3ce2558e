"""Who belongs to the fleet: the keeper's application, and experts taken into it or out of it from outside."""

from collections.abc import Mapping, Sequence

from pydantic import SecretStr
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments import fleet
from deployments.errors import FleetError
from deployments.keeper import Keeper
from deployments.media import Limits
from model_catalog.card import ModelCard


def keeper_app(
    cards: Sequence[ModelCard],
    root: str,
    limits: Limits | None = None,
    token: SecretStr | None = None,
    *,
    idle_s: float = 0.0,
    resources: Mapping[str, float] | None = None,
) -> serve.Application:
    """The application of the keeper, which wakes the experts that sleep while they are idle.

    Args:
        cards: the experts of the settings.
        root: the folder where it keeps its book.
        limits: what one file may be.
        token: the operator's for the Hugging Face Hub.
        idle_s: after how long without use an expert sleeps; 0 for never.
        resources: Ray resources that place it, so that a restart finds its book.

    """
    deployment = serve.deployment(
        Keeper,
        name="keeper",
        max_ongoing_requests=10_000,  # calls that wait for their expert
        max_queued_requests=10_000,
        ray_actor_options={"num_cpus": 0, "resources": dict(resources or {})},
        logging_config={"enable_access_log": False},
        health_check_period_s=fleet.HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=fleet.DRAIN_S,
    )
    return deployment.bind(list(cards), root, limits, token, idle_s)


def admit(cards: Sequence[ModelCard]) -> None:
    """Take experts into the fleet that sleep while they are idle, and wake each once, to see that it works.

    Raises:
        FleetError: there is no keeper here, or one could not be woken; that one is not of the fleet then.

    """
    if not cards:
        return
    try:
        keeper: DeploymentHandle = serve.get_app_handle(fleet.KEEPER)
    except Exception:
        raise FleetError("The product is not installed on this cluster; run hugginggpt deploy.") from None
    before = members()
    for card in cards:
        keeper.add.remote(card).result()
    failed = []
    for card, waking in [(card, keeper.wake.remote(card.id)) for card in cards]:
        try:
            waking.result()
        except FleetError as error:
            failed.append(error.message)
            if card.id not in before:
                keeper.remove.remote(card.id).result()
    if failed:
        raise FleetError(f"Not every expert became ready: {' '.join(failed)}")


def members() -> set[str]:
    """The models of the experts that sleep while they are idle; none where there is no keeper."""
    try:
        keeper: DeploymentHandle = serve.get_app_handle(fleet.KEEPER)
    except Exception:
        return set()
    return {standing.card.id for standing in keeper.standings.remote().result()}


def dismiss(card: ModelCard) -> None:
    """Take an expert out of the fleet; what it has begun is finished."""
    serve.get_app_handle(fleet.KEEPER).remove.remote(card.id).result()
