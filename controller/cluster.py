"""Installing the product on a Ray cluster that runs already."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from controller.endpoints import endpoint
from controller.errors import ControllerError
from controller.settings import Settings
from deployments.errors import FleetError
from deployments.placing import asks_llm, runs_elsewhere
from deployments.reach import Reach
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog


def install(settings: Settings, address: str, experts: Sequence[str], gpu: float | None = None) -> list[str]:
    """Deploy every application, or only ``experts`` where the product is there already.

    Applications of other names are left alone, which a plain ``serve deploy`` would delete. The nodes need
    the project installed, in the version of this process.

    Args:
        settings: the settings.
        address: the cluster.
        experts: ids of models to deploy besides those of the settings.
        gpu: the share of a GPU that each of ``experts`` holds, where it is not what its card says.

    Returns:
        The ids of the models deployed.

    Raises:
        ControllerError: no cluster answers at ``address``, or strangers could use it without a key.
        HuggingGPTError: an application did not become ready.

    """
    with _connected(address):
        from ray import serve

        from controller import app
        from deployments import fleet, membership, reach

        known = app.catalog(settings)
        if gpu is not None:
            known = Catalog([*known, *(_sized(known.get(model), gpu) for model in experts)])
        if experts and fleet.CONTROLLER in serve.status().applications:
            cards = [known.get(model) for model in experts]
            llm = endpoint(settings, "expert")
            membership.admit([card for card in cards if fleet.sleeps(card)])
            always = [card for card in cards if not fleet.sleeps(card)]
            if always:
                fleet.deploy(always, app.limits(settings), settings.huggingface_access_token, llm)
        else:
            serve.start(
                proxy_location="EveryNode",
                http_options={"host": settings.host, "port": settings.port},
                logging_config={"enable_access_log": False},
            )
            _guard(settings, reach.reach())
            named = settings.model_copy(update={"experts": (*settings.experts, *experts)})
            cards, failed = app.install(named, known)
            if failed:
                told = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
                raise FleetError(f"The product is installed, but not every expert became ready: {told}.")
    return [card.id for card in cards]


def _guard(settings: Settings, found: Reach) -> None:
    """Refuse what strangers could reach without a key.

    Raises:
        ControllerError: Serve listens beyond loopback already, and the settings ask nobody for a key; or they
            do, and another application answers beside this one, which does not.

    """
    from deployments import fleet

    beyond = settings.model_copy(update={"host": found.host or settings.host}).exposed
    if beyond and not settings.keyed:
        raise ControllerError(
            f"Ray Serve listens on {found.host} there, where other machines reach it: set keys = required "
            "(HUGGINGGPT_KEYS=required), or start Serve anew on 127.0.0.1 (serve shutdown)."
        )
    others = {name: route for name, route in found.routes.items() if name != fleet.CONTROLLER}
    if beyond and others:
        name, route = next(iter(others.items()))
        raise ControllerError(
            f"The application {name} answers at {route} on the same address and asks nobody for a key; take "
            "its route away (route_prefix: null), or keep host = 127.0.0.1."
        )


def remove(settings: Settings, address: str, experts: Sequence[str]) -> list[str]:
    """Remove experts from a cluster; their shares of GPUs are free again, their files stay on the nodes.

    Returns:
        The ids of the models removed.

    Raises:
        ControllerError: no cluster answers at ``address``, or one of the experts is not deployed there.
        UnknownModelError: the catalog does not have one of them.

    """
    with _connected(address):
        from ray import serve

        from controller import app
        from deployments import fleet, membership

        known = app.catalog(settings)
        cards = [known.get(model) for model in experts]
        there = serve.status().applications
        members = membership.members()
        for card in cards:
            if fleet.app_name(card) not in there and card.id not in members:
                raise ControllerError(f"{card.id} is not deployed there; hugginggpt ps shows what is.")
        for card in cards:
            if card.id in members:
                membership.dismiss(card)
            else:
                fleet.undeploy(card)
    return [card.id for card in cards]


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster, for a while.

    Raises:
        ControllerError: no cluster answers, or it does not take our token.

    """
    if "RAY_AUTH_MODE" not in os.environ and _has_token():
        os.environ["RAY_AUTH_MODE"] = "token"  # a cluster started with a token asks for it
    import ray
    from ray.exceptions import AuthenticationError

    _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except AuthenticationError:
        raise ControllerError(
            f"The cluster at {address} asks for its token; put it into ~/.ray/auth_token or RAY_AUTH_TOKEN."
        ) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ControllerError(
            f"No Ray cluster answers at {address}, or it does not take this token: {said}"
        ) from None
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # of this process alone
    try:
        yield
    finally:
        ray.shutdown()


def _sized(card: ModelCard, gpu: float) -> ModelCard:
    """The card with another share; a model that is asked at an endpoint holds none."""
    return card if runs_elsewhere(card) or asks_llm(card) else card.model_copy(update={"gpu": gpu})


def _reach(address: str) -> None:
    """Ask whether anyone listens at ``host:port``: Ray itself would go on trying for minutes.

    Raises:
        ControllerError: nobody does.

    """
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError):
        raise ControllerError(
            f"No Ray cluster answers at {address}; name the head's address and port."
        ) from None


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (
        "RAY_AUTH_TOKEN" in os.environ
        or (Path(named) if named else Path.home() / ".ray" / "auth_token").is_file()
    )
