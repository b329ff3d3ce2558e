"""How experts are told to people and programs: those that always run, and those that sleep when idle."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from deployments import fleet
from deployments.fleet import ExpertStatus
from deployments.member import State
from deployments.placing import runs_elsewhere
from deployments.standing import Standing
from model_catalog.card import ModelCard


class Expert(BaseModel):
    """An expert of this cluster.

    Attributes:
        model: its model's id.
        tasks: the task types that it serves.
        application: the name of its application in the Ray dashboard; there is none while it sleeps.
        status: the application's in Ray Serve (RUNNING, DEPLOYING...), or ASLEEP.
        state: warm, waking, asleep, leaving, failed.
        sleeper: whether it sleeps while it is idle.
        replicas: how many it has.
        calls: how many calls it serves; told of sleepers alone.
        gpu: the number of GPUs that a replica holds, or a part of one.
        nodes: where its replicas are: the node's name, with a GPU's number where it holds one.
        memory_bytes: the most memory that a replica measured; 0 where it is not known.
        wake_s: the seconds that waking it takes.
        used: when it was last called, in seconds since the epoch.
        sleeps: when it sleeps if nobody calls it.
        pinned: whether it never sleeps.
        hits: how many calls found it awake.
        evictions: how often it was put to sleep.
        elsewhere: whether calls to it leave this cluster.
        message: why it does not run, or what Serve says of it.

    """

    model_config = ConfigDict(frozen=True)

    model: str
    tasks: list[str]
    application: str
    status: str
    state: State
    sleeper: bool = False
    replicas: int = 0
    calls: int | None = None
    gpu: float = 0.0
    nodes: list[str] = []
    memory_bytes: int = 0
    wake_s: float | None = None
    used: float | None = None
    sleeps: float | None = None
    pinned: bool = False
    hits: int = 0
    evictions: int = 0
    elsewhere: bool = False
    message: str = ""


_STATUS = {
    State.WARM: "RUNNING",
    State.WAKING: "DEPLOYING",
    State.LEAVING: "DELETING",
    State.ASLEEP: "ASLEEP",
    State.FAILED: "DEPLOY_FAILED",
}

_STATES = {
    "RUNNING": State.WARM,
    "DEPLOYING": State.WAKING,
    "NOT_STARTED": State.WAKING,
    "DELETING": State.LEAVING,
}


def running(card: ModelCard, app: ExpertStatus) -> Expert:
    """The row of an expert that always runs."""
    state = _STATES.get(app.status, State.FAILED)
    return Expert(
        model=card.id,
        tasks=list(card.tasks),
        application=app.app,
        status=app.status,
        state=State.ASLEEP if state is State.WARM and not app.replicas else state,
        replicas=app.replicas,
        gpu=card.gpu or 0.0,
        elsewhere=runs_elsewhere(card),
        message=app.message,
    )


def member(standing: Standing, names: Mapping[str, str]) -> Expert:
    """The row of an expert that sleeps while it is idle.

    Args:
        standing: how it stands.
        names: the name of each node by Ray's id.

    """
    card = standing.card
    return Expert(
        model=card.id,
        tasks=list(card.tasks),
        application=fleet.app_name(card),
        status=_STATUS[standing.state],
        state=standing.state,
        sleeper=True,
        replicas=standing.replicas,
        calls=standing.calls,
        gpu=standing.share,
        nodes=[_place(place, names) for place in standing.places],
        memory_bytes=standing.peak_bytes,
        wake_s=round(standing.wake_s, 2),
        used=standing.used or None,
        sleeps=standing.sleeps,
        pinned=standing.pinned,
        hits=standing.hits,
        evictions=standing.evictions,
        message=standing.obstacle or "",
    )


def _place(place: str, names: Mapping[str, str]) -> str:
    node, _, gpu = place.partition(":")
    name = names.get(node, node[:8])
    return f"{name} GPU {gpu}" if gpu else name
