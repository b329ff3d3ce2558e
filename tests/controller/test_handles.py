"""Serve's handles as the controller uses them, with fakes in Serve's place."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest
from ray import serve
from ray.serve.exceptions import RayServeException

from controller.errors import StoreError
from controller.experts import ServeExperts
from controller.handles import STORE_S, ServeResponse, ServeStore
from controller.identity import Caller, Scope, calling
from deployments import fleet
from deployments.account import Artifact
from deployments.errors import NotFoundError
from deployments.fleet import ExpertStatus
from deployments.links.reading import Read
from deployments.member import State
from deployments.result import Call
from deployments.standing import Standing
from model_catalog.catalog import Catalog
from model_catalog.tasks import Modality
from tests.support.cluster import card
from tests.support.fakes import BEGIN, now, virtual

RUNS = card("runs", "fill-mask", "Echo")
STARTS = card("starts", "fill-mask", "Echo")
FAILS = card("fails", "fill-mask", "Echo")
ABSENT = card("absent", "fill-mask", "Echo")
FOREIGN = card("foreign", "fill-mask", "Echo").model_copy(update={"runner": None})
CALL = Call("run", "fill-mask", 0, {"text": "x"})
FILE = Artifact(path="/images/x.png", modality=Modality.IMAGE, media_type="image/png", size=1)


class FakeResponse:
    """Serve's response: a value, an error, or nothing for ever."""

    def __init__(self, value: Any = None, error: Exception | None = None, hangs: bool = False) -> None:
        self._value, self._error, self._hangs = value, error, hangs
        self.cancelled = 0

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        if self._hangs:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        self.cancelled += 1
        if self._error is not None:
            raise self._error  # as Serve's does


class FakeHandle:
    """Serve's handle: every method gives the next response, and is remembered."""

    def __init__(self, app: str, response: Callable[[], FakeResponse], calls: list[Any]) -> None:
        self._app, self._response, self._calls = app, response, calls
        self._method = ""
        self._options: dict[str, Any] = {}

    def options(self, **options: Any) -> "FakeHandle":
        self._options |= options
        return self

    def __getattr__(self, name: str) -> Any:
        made = FakeHandle(self._app, self._response, self._calls)
        made._method, made._options = name, self._options
        return made.remote if name == "remote" else made

    def remote(self, *arguments: Any) -> FakeResponse:
        method = self._method or self._options.get("method_name", "")
        self._calls.append((self._app, method, arguments, self._options.get("_by_reference", False)))
        return self._response()


class World:
    """What Serve knows, and what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.response = FakeResponse()
        self.apps: dict[str, ExpertStatus] = {}

    def handle(self, name: str) -> FakeHandle:
        if name == fleet.KEEPER:
            raise RuntimeError("there is no such application")
        return FakeHandle(name, lambda: self.response, self.calls)

    def add(self, model: Any, status: str, replicas: int = 0, message: str = "") -> None:
        name = fleet.app_name(model)
        self.apps[name] = ExpertStatus(name, status, message, replicas)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(serve, "get_app_handle", made.handle)
    monkeypatch.setattr(fleet, "status", lambda: made.apps)
    return made


async def _experts(world: World) -> ServeExperts:
    made = ServeExperts(Catalog([RUNS, STARTS, FAILS, ABSENT, FOREIGN]))
    await made.refresh()
    return made


# What runs -----------------------------------------------------------------------------------------------


async def test_what_serve_says_becomes_a_fleet(world: World) -> None:
    experts = await _experts(world)
    world.add(RUNS, "RUNNING", replicas=1)
    world.add(STARTS, "DEPLOYING")
    world.add(FAILS, "DEPLOY_FAILED", message="no room " * 100)
    world.apps["another"] = ExpertStatus("another", "RUNNING", "", 1)
    found = await experts.refresh()
    assert found.running == {RUNS.id}
    assert found.starting == {STARTS.id}
    assert found.obstacle(STARTS).startswith("its deployment is DEPLOYING")
    assert found.obstacle(FAILS).startswith("its deployment is DEPLOY_FAILED: no room")
    assert len(found.obstacle(FAILS)) < 250
    assert found.obstacle(ABSENT) == "it is not deployed"
    assert found.obstacle(FOREIGN).startswith("its card names no library")
    listed = await experts.experts()
    assert [(item.model, item.status, item.replicas) for item in listed] == [
        (RUNS.id, "RUNNING", 1),
        (STARTS.id, "DEPLOYING", 0),
        (FAILS.id, "DEPLOY_FAILED", 0),
    ]


async def test_an_expert_without_a_replica_is_cold_and_can_be_woken(world: World) -> None:
    experts = await _experts(world)
    world.add(RUNS, "RUNNING", replicas=0)
    world.add(STARTS, "RUNNING", replicas=1)
    found = await experts.refresh()
    assert found.running == {RUNS.id, STARTS.id}
    assert set(found.cold) == {RUNS.id}
    world.response = FakeResponse(error=RuntimeError("it cannot start"))
    experts.wake(RUNS)
    assert [(app, method) for app, method, *_ in world.calls] == [(fleet.app_name(RUNS), "figures")]
    await asyncio.sleep(0)  # its failure is nobody's


async def test_how_many_replicas_experts_have_is_told(world: World) -> None:
    experts = await _experts(world)
    world.add(RUNS, "RUNNING", replicas=3)
    assert (await experts.refresh()).replicas == {RUNS.id: 3}
    awake = Standing(STARTS, State.WARM, replicas=2)
    found = experts.told([awake, Standing(FAILS, State.ASLEEP)], [])
    assert found.replicas == {RUNS.id: 3, STARTS.id: 2}


async def test_an_expert_that_is_replaced_with_a_replica_left_still_runs(world: World) -> None:
    world.add(RUNS, "UNHEALTHY", replicas=1)
    assert (await (await _experts(world)).refresh()).running == {RUNS.id}


async def test_an_expert_that_the_catalog_lacks_is_asked_for_its_card_once(world: World) -> None:
    experts = await _experts(world)
    new = card("new", "translation", "Echo")
    world.add(new, "RUNNING", replicas=1)
    world.response = FakeResponse(new)
    found = await experts.refresh()
    assert list(found.learned) == [new]
    assert found.running == {new.id}
    assert [item.model for item in await experts.experts()] == [new.id]
    asked = [method for _, method, *_ in world.calls]
    assert asked == ["card"]
    assert (await experts.refresh()).learned == ()
    assert len(world.calls) == 1


async def test_another_products_application_is_let_be(world: World) -> None:
    experts = await _experts(world)
    world.apps["shop"] = ExpertStatus("shop", "RUNNING", "", 1)
    assert (await experts.refresh()).learned == ()
    assert world.calls == []


async def test_an_expert_that_did_not_tell_its_card_is_asked_again(world: World) -> None:
    experts = await _experts(world)
    new = card("new", "translation", "Echo")
    world.add(new, "RUNNING", replicas=1)
    world.response = FakeResponse(error=RuntimeError("not yet"))
    assert (await experts.refresh()).learned == ()
    world.response = FakeResponse(new)
    assert list((await experts.refresh()).learned) == [new]


async def test_the_card_that_was_deployed_counts_above_the_catalogs(world: World) -> None:
    experts = await _experts(world)
    world.add(RUNS, "RUNNING", replicas=1)
    larger = RUNS.model_copy(update={"gpu": 0.5})
    assert (await experts.refresh([larger])).learned == (larger,)
    assert [item.gpu for item in await experts.experts()] == [0.5]


# Calls ---------------------------------------------------------------------------------------------------


async def test_calls_go_by_reference_with_serves_own_responses(world: World) -> None:
    world.add(RUNS, "RUNNING", replicas=1)
    experts = await _experts(world)
    upstream = ServeResponse(FakeResponse())
    experts.infer(RUNS, CALL, [upstream])
    experts.store(upstream)
    experts.fetch("/images/x.png")
    app = fleet.app_name(RUNS)
    assert world.calls == [
        (app, "infer", (CALL, upstream.inner), True),
        (fleet.ARTIFACTS, "store", (upstream.inner, ""), True),
        (fleet.ARTIFACTS, "fetch", ("/images/x.png", None), True),
    ]


async def test_cancel_only_cancels(world: World) -> None:
    inner = FakeResponse(error=RuntimeError("what the call has failed with"))
    response = ServeResponse(inner)
    response.cancel()
    assert inner.cancelled == 1
    with pytest.raises(RuntimeError):
        await response
    assert await ServeResponse(FakeResponse("value")) == "value"


# Files ---------------------------------------------------------------------------------------------------


async def test_the_store_is_asked_by_its_own_names(world: World) -> None:
    world.response = FakeResponse(FILE)
    store = ServeStore()
    assert await store.finish("t", "a.png") is FILE
    assert await store.stat("/images/x.png") is FILE
    assert await (await _experts(world)).stat("/images/x.png") is FILE
    await store.append("t", b"x")
    await store.abort("t")
    for value, call in (("t", store.begin()), (b"x", store.read("/p", 0, 1)), ("/data", store.location())):
        world.response = FakeResponse(value)
        assert await call == value
    assert [(method, arguments) for _, method, arguments, _ in world.calls] == [
        ("finish", ("t", "a.png", "", None)),
        ("stat", ("/images/x.png", None)),
        ("stat", ("/images/x.png", None)),
        ("append", ("t", b"x")),
        ("abort", ("t",)),
        ("begin", ()),
        ("read", ("/p", 0, 1, None)),
        ("location", ()),
    ]


def test_a_store_that_does_not_answer_is_waited_for_with_a_bound(world: World) -> None:
    @virtual
    async def scenario() -> None:
        world.response = FakeResponse(hangs=True)
        with pytest.raises(StoreError, match="does not answer; try again soon"):
            await ServeStore().stat("/images/x.png")
        assert now() == pytest.approx(BEGIN + STORE_S)
        assert world.response.cancelled == 1

    scenario()


async def test_what_the_store_raises_is_told(world: World) -> None:
    world.response = FakeResponse(error=NotFoundError("nothing there"))
    with pytest.raises(NotFoundError):
        await ServeStore().stat("/images/x.png")


# Links ---------------------------------------------------------------------------------------------------


async def test_a_link_is_read_for_the_caller_and_nothing_but_its_account_comes_here(world: World) -> None:
    experts = await _experts(world)
    world.response = FakeResponse(Read(artifact=FILE, url="https://site.example/x"))
    with calling(Caller("key-1", frozenset({Scope.RUN}))):
        read = await experts.link("https://site.example", [Modality.IMAGE])
    assert read.artifact == FILE
    called = (fleet.LINKS, "read", ("https://site.example", (Modality.IMAGE,), "key-1"), False)
    assert world.calls[-1] == called


async def test_links_that_nobody_fetches_are_told_as_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts = await _experts(world)
    monkeypatch.setattr("controller.experts.LINK_S", 0.01)
    world.response = FakeResponse(hangs=True)
    with pytest.raises(StoreError, match="does not answer"):
        await experts.link("https://site.example", ())
    assert world.response.cancelled == 1

    def absent(name: str) -> FakeHandle:
        raise RayServeException("no such application")

    fresh = await _experts(world)
    monkeypatch.setattr(serve, "get_app_handle", absent)
    with pytest.raises(StoreError, match="is not there"):
        await fresh.link("https://site.example", ())
