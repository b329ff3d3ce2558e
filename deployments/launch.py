"""One expert's application: started, awaited, given more replicas, ended.

Serve has no public call for the state of one application or for its number of replicas from within a cluster;
what of its inside is used for that (Ray 2.60) is used here alone. All of it blocks: call it in a thread.
"""

from collections.abc import Sequence
from contextlib import suppress

import ray
from pydantic import SecretStr
from ray import serve
from ray.serve._private.common import DeploymentID
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from deployments import fleet
from deployments.media import Limits
from deployments.rooms import Device
from model_catalog.card import ModelCard


def start(card: ModelCard, limits: Limits | None, token: SecretStr | None, memory: int = 0) -> None:
    """Have an expert's application started; returns before it is ready.

    Args:
        card: the model's card, with the share of a GPU that its replicas are to hold.
        limits: what one file may be.
        token: the operator's for the Hugging Face Hub.
        memory: bytes of a node's memory to reserve for a replica; 0 for none.

    Raises:
        FleetError: this machine cannot run it.

    """
    app = fleet.expert_app(card, limits, token, memory=memory, tries=1)
    target = serve.RunTarget(app, name=fleet.app_name(card), route_prefix=None, external_scaler_enabled=True)
    serve.run_many([target], wait_for_ingress_deployment_creation=True, wait_for_applications_running=False)


def trouble(card: ModelCard) -> str | None:
    """Why an expert's application will never be ready; None as long as it may, or Serve mends it."""
    app = serve.status().applications.get(fleet.app_name(card))
    if app is None:
        return "its application is gone"
    return fleet.explained(app) if app.status == ApplicationStatus.DEPLOY_FAILED else None


def lifeless(card: ModelCard) -> bool:
    """Whether an expert has no replica now, though it has been ready before."""
    status = fleet.status().get(fleet.app_name(card))
    return status is not None and not status.replicas


def resize(card: ModelCard, replicas: int) -> None:
    """Have as many replicas of an expert that ``start`` started."""
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    name = DeploymentID(name=fleet.deployment_name(card), app_name=fleet.app_name(card))
    ray.get(controller.update_deployment_replicas.remote(name, replicas), timeout=30)


def delete(name: str) -> None:
    """Have an application ended; returns before its replicas have finished."""
    serve.delete(name, _blocking=False)


def gone(name: str) -> bool:
    """Whether nothing is left of an application."""
    client = _get_global_client()
    return bool(client.get_serve_status(name).app_status.status == ApplicationStatus.NOT_STARTED)


def devices() -> list[Device]:
    """The GPUs and nodes of the cluster that this process is connected to.

    A GPU's size is what the node's labels or its type tell. One of unknown size is taken whole by a model
    whose card does not tell its share.
    """
    found: list[Device] = []
    for node in ray.nodes():
        if node["Alive"]:
            found += _of_node(node["NodeID"], node["Resources"], node.get("Labels") or {})
    return found


def _of_node(node: str, resources: dict[str, float], labels: dict[str, str]) -> Sequence[Device]:
    from model_catalog.gpus import TYPE_LABEL, gpu_bytes

    named = (name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))
    kind = labels.get(TYPE_LABEL) or next(named, None)
    size = gpu_bytes(kind, labels)
    gpus = [Device(node, str(number), size, kind) for number in range(int(resources.get("GPU", 0)))]
    memory = int(resources.get("memory", 0))
    return [*gpus, *([Device(node, None, memory)] if memory else [])]


def names() -> dict[str, str]:
    """What the nodes of the cluster are called, by Ray's id."""
    return {
        node["NodeID"]: node.get("NodeManagerHostname") or node["NodeManagerAddress"] for node in ray.nodes()
    }


def prepare(node: str) -> None:
    """Have a node import ahead what its first model will need; returns at once."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0)(_imported)
    task.options(scheduling_strategy=there).remote()


def _imported() -> None:
    from deployments import zygote

    with suppress(zygote.Unavailable):  # the first model tells it
        zygote.ensure()


def growable() -> bool:
    """Whether Ray's autoscaler may add nodes with GPUs to this cluster."""
    from ray._private.state import state as cluster

    try:
        most = cluster.get_max_resources_from_cluster_config() or {}
        there = ray.cluster_resources()
    except Exception:  # an inside of Ray; a cluster without an autoscaler has no such thing
        return False
    return bool(most.get("GPU", 0) > there.get("GPU", 0))
