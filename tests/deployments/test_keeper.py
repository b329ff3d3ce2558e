"""The keeper on a real cluster with two logical GPUs; the experts echo."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ray import serve

from deployments import fleet, membership
from deployments.errors import BusyError, FleetError
from deployments.member import State
from deployments.standing import Standing
from model_catalog.card import ModelCard
from tests.support.cluster import card, replicas

BOUND_S = 60.0
NAMES = ("one", "two", "three")


def whole(name: str, runner: str = "Echo", gpu: float = 1.0) -> ModelCard:
    return card(f"fleet-{name}", "fill-mask", runner).model_copy(update={"gpu": gpu})


class Fleet:
    """A keeper, called from outside."""

    def __init__(self) -> None:
        self._handle = serve.get_app_handle(fleet.KEEPER)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(self._handle, method).remote(*arguments).result(timeout_s=BOUND_S)

    def lease(self, model: ModelCard, seconds: float = BOUND_S) -> str:
        name = secrets.token_hex(4)
        late = time.time() + seconds
        self._handle.lease.remote(model.id, name, late, late + BOUND_S).result(timeout_s=2 * BOUND_S)
        return name

    def standing(self, model: ModelCard) -> Standing:
        found: list[Standing] = self.standings()
        return next(one for one in found if one.card.id == model.id)

    def until(self, model: ModelCard, state: State) -> Standing:
        late = time.monotonic() + BOUND_S
        while (found := self.standing(model)).state is not state:
            assert time.monotonic() < late, found
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


def deploy(folder: Path, *cards: ModelCard) -> Fleet:
    app = membership.keeper_app(cards, str(folder))
    assert not fleet.run([serve.RunTarget(app, name=fleet.KEEPER, route_prefix=None)])
    return Fleet()


@pytest.fixture(scope="module")
def kept(product: str, folder: Path) -> Iterator[Fleet]:
    made = deploy(folder, *map(whole, NAMES))
    yield made
    for standing in Fleet().standings():
        Fleet().remove(standing.card.id)
    serve.delete(fleet.KEEPER)
    for name in fleet.status():
        if "fleet-" in name:
            serve.delete(name)
    fleet.announce()


def test_the_third_takes_the_gpu_of_an_idle_one(kept: Fleet) -> None:
    one, two, three = map(whole, NAMES)
    assert [standing.state for standing in kept.standings()] == [State.ASLEEP] * 3
    assert not {fleet.app_name(item) for item in (one, two, three)} & fleet.status().keys()
    for item in (one, two):
        kept.release(kept.lease(item))
    held = {standing.card.id: standing.places for standing in kept.standings() if standing.awake}
    assert len(set(held.values())) == 2, "one GPU each"
    kept.release(kept.lease(one))
    assert kept.standing(one).hits == 1
    kept.release(kept.lease(three))
    place = kept.standing(three).places  # whose it was is decided by the seconds that each took to wake
    left = next(item for item in (one, two) if held[item.id] == place)
    assert kept.until(left, State.ASLEEP).evictions == 1


def test_requests_wake_their_experts(kept: Fleet, http: httpx2.Client) -> None:
    plan = [
        {"task": "fill-mask", "id": n, "dep": [n - 1], "args": {"text": text}, "model": f"test/fleet-{name}"}
        for n, (name, text) in enumerate(zip(NAMES, ("a", "<GENERATED>-0", "<GENERATED>-1"), strict=True))
    ]
    answer = http.post("/v1/runs", json={"messages": [], "plan": plan, "stream": True})
    events = [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]
    done = events[-1]
    assert done["type"] == "run.done", done
    assert [outcome["text"] for outcome in done["outcomes"]][-1] == "a+fleet-one+fleet-two+fleet-three"
    waking = [event["model"] for event in events if event["type"] == "task.waking"]
    assert waking, "three experts, two GPUs"
    rows = {row["model"]: row for row in http.get("/v1/experts").json()["data"]}
    assert sum(rows[f"test/fleet-{name}"]["state"] == "warm" for name in NAMES) == 2
    assert all(rows[f"test/fleet-{name}"]["sleeper"] for name in NAMES)


@pytest.mark.soak
def test_many_calls_at_once_are_all_answered_within_the_gpus(kept: Fleet, http: httpx2.Client) -> None:
    def ask(number: int) -> list[str]:
        model = f"test/fleet-{NAMES[number % 3]}"
        plan = [{"task": "fill-mask", "id": 0, "dep": [-1], "args": {"text": "x"}, "model": model}]
        done = http.post("/v1/runs", json={"messages": [], "plan": plan}).json()
        return [outcome["status"] for outcome in done["run"]["outcomes"]]

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(ask, range(18))) == [["done"]] * 18
    late = time.monotonic() + BOUND_S
    while any(standing.calls for standing in kept.standings()):  # leases wait a moment for the next call
        assert time.monotonic() < late
        time.sleep(0.05)


def test_a_busy_gpu_is_told_with_the_wait(kept: Fleet) -> None:
    one, two, three = map(whole, NAMES)
    held = [kept.lease(one), kept.lease(two)]
    with pytest.raises(BusyError, match="at work") as refused:
        kept.lease(three, 1.0)
    assert refused.value.wait_s > 0
    for lease in held:
        kept.release(lease)
    kept.release(kept.lease(three))


def test_an_expert_that_cannot_start_says_why_and_leaves_its_gpu(kept: Fleet) -> None:
    broken = whole("broken", "Echo").model_copy(
        update={"runner": "tests.deployments.experts:Unloadable", "batch_size": 2}
    )
    kept.release(kept.lease(whole("one")))
    before = replicas(fleet.app_name(whole("one")))
    assert len(before) == 1
    kept.add(broken)
    with pytest.raises(FleetError, match="weights are missing"):
        kept.wake(broken.id)
    assert "weights are missing" in (kept.standing(broken).obstacle or "")
    kept.remove(broken.id)
    assert fleet.app_name(broken) not in fleet.status()
    assert replicas(fleet.app_name(whole("one"))) == before, "who comes and goes touches no other"


def test_pins_and_what_was_added_outlive_the_keeper(kept: Fleet, folder: Path) -> None:
    extra = whole("extra", gpu=0.5)
    kept.add(extra)
    kept.pin("test/fleet-one")
    kept.wake("test/fleet-one")
    before = kept.standing(whole("one"))
    again = deploy(folder, *map(whole, NAMES))
    found = again.standing(whole("one"))
    assert found.pinned
    assert found.awake, "its replica was let be"
    assert found.places == before.places
    assert again.standing(extra).state is State.ASLEEP
    assert again.stop("test/fleet-one").state is State.LEAVING
    assert not again.pin("test/fleet-one", False).pinned
    again.until(whole("one"), State.ASLEEP)


def test_an_expert_that_dies_for_good_is_noticed_by_its_callers(kept: Fleet, http: httpx2.Client) -> None:
    fragile = whole("fragile", "Dies", gpu=0.5)
    kept.add(fragile)
    kept.wake(fragile.id)
    serve.delete(fleet.app_name(fragile))
    plan = [{"task": "fill-mask", "id": 0, "dep": [-1], "args": {"text": "x"}, "model": fragile.id}]
    done = http.post("/v1/runs", json={"messages": [], "plan": plan}).json()
    assert [outcome["status"] for outcome in done["run"]["outcomes"]] == ["failed"]
    found = kept.until(fragile, State.FAILED)
    assert "its application is gone" in (found.obstacle or "")
    kept.remove(fragile.id)
