"""Cards become Serve applications, and Serve's states become ours; Serve itself is left out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from ray.serve.schema import ApplicationStatus, ProxyStatus

from deployments import checkpoint, fleet
from deployments.artifacts import Artifacts
from deployments.errors import ExpertError, FleetError
from deployments.expert import Expert
from deployments.media import Limits
from deployments.storage import Keeping
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from tests.support.cluster import card

ECHO = card("echo", "text-to-speech", "Echo")
LIMITS = Limits(max_bytes=7)


class FakeServe:
    """Remembers what was asked of Serve."""

    def __init__(self, applications: dict[str, Any] | None = None) -> None:
        self.applications = applications or {}
        self.ran: list[str] = []
        self.deleted: list[str] = []
        self.told: list[str] = []
        self.becomes: dict[str, Any] = {}
        self.proxies = [ProxyStatus.HEALTHY]
        self.looks = 0

    def status(self) -> Any:
        proxy = self.proxies[min(self.looks, len(self.proxies) - 1)]
        self.looks += 1
        return SimpleNamespace(applications=self.applications, proxies={"a node": proxy})

    def run_many(self, apps: Sequence[Any], **options: Any) -> None:
        assert options == {
            "wait_for_ingress_deployment_creation": False,
            "wait_for_applications_running": False,
        }, "one that fails must not hide the others"
        self.ran += [app.name for app in apps]
        for app in apps:
            self.applications[app.name] = self.becomes.get(app.name, _application("RUNNING"))

    def delete(self, name: str) -> None:
        self.deleted.append(name)

    def get_app_handle(self, name: str) -> Any:
        assert name == fleet.CONTROLLER

        def broadcast(method: str, cards: tuple[ModelCard, ...]) -> Any:
            self.told.append(method)
            return SimpleNamespace(results=lambda timeout_s: [])

        return SimpleNamespace(broadcast=broadcast)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeServe]:
    """Puts a fake in Serve's place, with these applications."""

    def put(**applications: Any) -> FakeServe:
        fake = FakeServe(applications)
        for name in ("status", "run_many", "delete", "get_app_handle"):
            monkeypatch.setattr(fleet.serve, name, getattr(fake, name))  # type: ignore[attr-defined]
        return fake

    return put


def _options(app: Any) -> Any:
    return app._bound_deployment


def _application(status: str, message: str = "", **deployments: tuple[dict[str, int], str]) -> Any:
    """An application as Serve tells it; of each deployment its replicas by state, and its message."""
    made = {
        name: SimpleNamespace(replica_states=states, message=said)
        for name, (states, said) in deployments.items()
    }
    return SimpleNamespace(status=ApplicationStatus(status), message=message, deployments=made)


# Applications ------------------------------------------------------------------------------------------


def test_an_application_is_named_by_task_and_model_and_no_two_alike() -> None:
    assert fleet.app_name(ECHO) == "text-to-speech--test--echo"
    names = [fleet.app_name(item) for item in Catalog.shipped()]
    assert len(set(names)) == len(names)
    assert not {fleet.ARTIFACTS, fleet.CONTROLLER} & set(names)
    assert not [name for name in names if "/" in name]


def test_an_expert_holds_what_its_card_says() -> None:
    held = ECHO.model_copy(
        update={"gpu": 0.25, "cpus": 0.5, "resources": {"vision": 0.1}, "batch_size": 8, "max_queued": 5}
    )
    token = SecretStr("hf_secret")
    deployment = _options(fleet.expert_app(held, LIMITS, token))
    assert deployment.func_or_class is Expert or deployment.func_or_class.__name__ == "Expert"
    assert deployment.name == "text-to-speech--echo"
    assert deployment.init_args == (held, LIMITS, None), "nobody gets a token who needs none"
    assert deployment.max_ongoing_requests == 16
    assert deployment.max_queued_requests == 5
    options = deployment.ray_actor_options
    assert (options["num_cpus"], options["num_gpus"], options["resources"]) == (0.5, 0.25, {"vision": 0.1})


def test_a_single_input_at_a_time_still_lets_the_next_be_decoded() -> None:
    assert _options(fleet.expert_app(ECHO)).max_ongoing_requests == 2


def test_the_artifacts_lie_where_they_are_put() -> None:
    keeping = Keeping("s3://bucket/folder", 60.0, 1 << 30)
    deployment = _options(fleet.artifacts_app("/data", LIMITS, {"head": 0.1}, keeping))
    assert deployment.func_or_class.__name__ == Artifacts.__name__
    assert deployment.init_args == ("/data", LIMITS, keeping)
    assert deployment.ray_actor_options["num_cpus"] == 0
    assert deployment.ray_actor_options["resources"] == {"head": 0.1}
    assert not _options(fleet.artifacts_app("/data")).ray_actor_options["resources"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"runner": None}, "its card names no library; give it one of transformers, "),
        ({"runner": "no-such-runner"}, "this release has no runner for it"),
        ({"requires": ("no_such_module", "json")},
         "its runner needs no_such_module: pip install 'hugginggpt-serve[embedded]'"),
        ({"requires": ("torchvision_of_old", "skops_of_old")},
         "its runner needs torchvision_of_old, skops_of_old: pip install 'hugginggpt-serve[embedded]'"),
        ({"runner": None, "library": "coqui"}, "this release has no runner for it"),
    ],
)  # fmt: skip
def test_what_this_machine_cannot_run_says_why(changes: dict[str, Any], reason: str) -> None:
    item = ECHO.model_copy(update=changes)
    assert (fleet.obstacle(item) or "").startswith(reason)
    with pytest.raises(FleetError, match="test/echo cannot be deployed: ") as caught:
        fleet.expert_app(item)
    assert reason in caught.value.message
    assert fleet.obstacle(ECHO) is None


def test_what_a_gpu_node_has_installed_is_left_to_it() -> None:
    item = ECHO.model_copy(update={"requires": ("no_such_module",)})
    assert fleet.obstacle(item) is not None
    assert fleet.obstacle(item.model_copy(update={"gpu": 0.5})) is None


# Commits -----------------------------------------------------------------------------------------------

DRAWER = ModelCard(
    id="lab/edges",
    tasks=("canny-text-to-image",),
    library="diffusers",
    parts={"base": "lab/base@main", "own": "/models/own"},
)


def test_a_model_and_its_parts_are_deployed_at_the_commits_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def resolve(*args: Any) -> str | None:
        asked.append(args)
        return None if args[0].startswith("/") else f"commit-of-{args[0][4:]}"

    monkeypatch.setattr(checkpoint, "resolve", resolve)
    token = SecretStr("t")
    pinned = fleet.pinned(DRAWER, token)
    assert pinned.revision == "commit-of-edges"
    assert pinned.parts == {"base": "lab/base@commit-of-base", "own": "/models/own"}
    assert asked == [("lab/edges", None, token), ("lab/base", "main", token), ("/models/own", None, token)]
    assert _options(fleet.expert_app(DRAWER, None, token)).init_args == (pinned, None, token)


def test_a_folder_has_no_commit_and_an_embedded_expert_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(checkpoint, "resolve")
    own = DRAWER.model_copy(update={"path": Path("/models/edges"), "parts": {}})
    assert fleet.pinned(own) == own
    assert fleet.pinned(ECHO) == ECHO
    unknown = ECHO.model_copy(update={"runner": None})
    assert fleet.pinned(unknown) == unknown


def test_where_the_hub_cannot_be_asked_the_replica_is_left_to_say_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def resolve(*_: Any) -> str:
        raise ExpertError("the Hub cannot be reached")

    monkeypatch.setattr(checkpoint, "resolve", resolve)
    assert fleet.pinned(DRAWER) == DRAWER
    assert "lab/edges is deployed without a pinned commit: the Hub cannot be reached" in caplog.text


# Deploying ---------------------------------------------------------------------------------------------


def test_deploying_tells_a_controller_that_is_there(faked: Callable[..., FakeServe]) -> None:
    serve = faked(hugginggpt=_application("RUNNING"))
    fleet.deploy([ECHO])
    assert serve.ran == ["text-to-speech--test--echo"]
    assert serve.told == ["refresh"]
    fleet.undeploy(ECHO)
    assert serve.deleted == ["text-to-speech--test--echo"]
    assert serve.told == ["refresh", "refresh"]


def test_a_deploy_ends_when_http_requests_are_answered(faked: Callable[..., FakeServe]) -> None:
    serve = faked(hugginggpt=_application("RUNNING"))
    serve.proxies = [ProxyStatus.STARTING, ProxyStatus.STARTING, ProxyStatus.HEALTHY]
    fleet.deploy([ECHO])
    assert serve.looks >= 3
    assert serve.told == ["refresh"]


def test_without_a_controller_nobody_is_told(faked: Callable[..., FakeServe]) -> None:
    serve = faked()
    fleet.deploy([ECHO])
    assert serve.ran
    assert serve.told == []


def test_one_that_cannot_run_here_keeps_all_from_being_deployed(faked: Callable[..., FakeServe]) -> None:
    serve = faked()
    with pytest.raises(FleetError):
        fleet.deploy([ECHO, ECHO.model_copy(update={"runner": None})])
    assert serve.ran == []


def test_an_application_that_does_not_become_ready(faked: Callable[..., FakeServe]) -> None:
    serve = faked(hugginggpt=_application("RUNNING"))
    serve.becomes["text-to-speech--test--echo"] = _application("DEPLOY_FAILED", "the constructor failed")
    with pytest.raises(
        FleetError, match=r"text-to-speech--test--echo \(DEPLOY_FAILED: the constructor failed\)"
    ):
        fleet.deploy([ECHO])
    assert serve.told == ["refresh"], "the controller is told all the same"


def test_one_that_is_never_ready_is_waited_for_with_a_bound(faked: Callable[..., FakeServe]) -> None:
    serve = faked()
    serve.becomes["text-to-speech--test--echo"] = _application("DEPLOYING", "no node has a GPU")
    assert fleet.run(fleet.targets([ECHO]), seconds=0.01) == {
        "text-to-speech--test--echo": (
            "DEPLOYING: no node has a GPU; it goes on starting, and hugginggpt ps shows when it runs"
        )
    }


# States ------------------------------------------------------------------------------------------------


def test_status_tells_every_experts_state(faked: Callable[..., FakeServe]) -> None:
    faked(
        hugginggpt=_application("RUNNING"),
        artifacts=_application("RUNNING"),
        well=_application("RUNNING", d=({"RUNNING": 2, "STARTING": 1}, "")),
        broken=_application("DEPLOY_FAILED", "the weights are missing", d=({"STOPPING": 1}, "")),
        waiting=_application("DEPLOYING", "", d=({"STARTING": 1}, "no node has a GPU left")),
        replaced=_application("UNHEALTHY", "", d=({"RUNNING": 1}, "one replica died")),
    )
    states = fleet.status()
    assert set(states) == {"well", "broken", "waiting", "replaced"}
    assert states["well"] == fleet.ExpertStatus("well", "RUNNING", "", 2)
    assert states["broken"] == fleet.ExpertStatus("broken", "DEPLOY_FAILED", "the weights are missing", 0)
    assert states["waiting"].message == "no node has a GPU left"
    assert {name: fleet.serving(state) for name, state in states.items()} == {
        "well": True,
        "broken": False,
        "waiting": False,
        "replaced": True,
    }


TRACEBACK = """The deployment failed to start 2 times in a row. See controller logs for details. Error:
\x1b[36mray::ServeReplica:a\x1b[39m (pid=1) RuntimeError: Traceback (most recent call last):
  File "expert.py", line 89, in __init__
    raise self._exception
{}"""


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("deployments.errors.ExpertError: The weights do not fit X\n(missing: a.b).",
         "The weights do not fit X (missing: a.b)."),
        ("KeyError: 'x'\n\nDuring the handling of it:\n\nValueError: no such thing",
         "ValueError: no such thing"),
        ("torch.OutOfMemoryError: CUDA out of memory", "OutOfMemoryError: CUDA out of memory"),
    ],
)  # fmt: skip
def test_of_a_replicas_traceback_the_error_is_told(
    faked: Callable[..., FakeServe], ends: str, told: str
) -> None:
    faked(broken=_application("DEPLOY_FAILED", "Failed to update", d=({}, TRACEBACK.format(ends))))
    assert fleet.status()["broken"].message == told


def test_every_embedded_expert_of_the_catalog_can_be_bound() -> None:
    embedded: list[ModelCard] = [item for item in Catalog.shipped() if item.embedded]
    targets = fleet.targets(embedded, LIMITS)
    assert [target.name for target in targets] == [fleet.app_name(item) for item in embedded]
    assert all(target.route_prefix is None for target in targets)
