"""Tasks on experts that sleep while they are idle."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from controller.events import TaskStarted, TaskWaking
from controller.outcome import Status
from controller.selector import Fleet
from deployments.errors import BusyError
from deployments.member import Action, Grant, Member, Refuse, Sleep, Wake
from deployments.residency import Residency
from deployments.rooms import Device, Need
from model_catalog.card import ModelCard
from tests.support.dispatching import A2, B2, CHAIN, ONE, A, B, C, Run, begin, codes, statuses
from tests.support.fakes import (
    FakeExperts,
    Promise,
    after,
    answer,
    answers,
    lost,
    now,
    turns,
    virtual,
    wrapped,
)


def asleep(*cards: ModelCard) -> FakeExperts:
    return FakeExperts(asleep={card.id for card in cards})


def cold(run: Run, *cards: ModelCard) -> None:
    fleet = run.selector.fleet
    run.selector.see(Fleet(fleet.running, cold={card.id: 8.0 for card in cards}))


@virtual
async def test_an_expert_is_held_awake_for_its_call_alone() -> None:
    run = await begin(ONE, asleep(A))
    assert run.experts.held == [A.id]
    run.experts.calls[0].give()
    await run.settled()
    assert run.experts.held == []


@virtual
async def test_a_call_waits_for_room_and_tells_that_it_does() -> None:
    waits = Promise()
    experts = asleep(A)
    experts.room = lambda card: waits
    run = await begin(ONE, experts)
    assert run.experts.calls == []
    assert run.started() == []
    waits.give(None)
    await turns()
    run.experts.calls[0].give()
    assert statuses(await run.settled()) == ["done"]


@virtual
async def test_a_cold_expert_is_told_with_its_seconds() -> None:
    experts = asleep(B)
    run = await begin(CHAIN, experts)
    cold(run, B)
    run.experts.calls[0].give()
    await turns()
    told = [event for event in run.events if isinstance(event, TaskWaking)]
    assert [(event.id, event.model, event.seconds) for event in told] == [(1, B.id, 8.0)]
    started = [event.id for event in run.events if isinstance(event, TaskStarted)]
    assert started == [0, 1]


@virtual
async def test_it_is_leased_when_its_inputs_are_there_and_not_before() -> None:
    run = await begin(CHAIN, asleep(B, C))
    assert run.experts.names() == ["a"]
    assert run.experts.held == []
    run.experts.calls[0].give()
    await turns()
    assert run.experts.held == [B.id]
    assert run.experts.names() == ["a", "b"]
    run.experts.calls[1].give()
    await turns()
    assert run.experts.held == [C.id]
    run.experts.calls[2].give()
    assert statuses(await run.settled()) == ["done"] * 3


@virtual
async def test_a_dependent_is_told_to_wake_while_its_input_is_made() -> None:
    experts = asleep(B)
    run = await begin(ONE, experts)
    run.experts.calls[0].give()
    await run.settled()
    chain = await begin(CHAIN, experts, fleet_cold={B.id: 8.0})
    assert B.id in chain.experts.woken
    assert chain.experts.held == []
    await chain.dispatcher.cancel()


@virtual
async def test_a_busy_gpu_is_a_failed_attempt() -> None:
    experts = FakeExperts(answers, asleep={A.id})
    refused = Promise()
    refused.fail(wrapped(BusyError("no room", 12.0)))
    experts.room = lambda card: refused
    run = await begin(ONE, experts)
    (outcome,) = await run.settled()
    assert outcome.status is Status.DONE
    assert codes(outcome) == ["busy", None]
    assert outcome.choice is not None
    assert outcome.choice.model == A2.id


@virtual
async def test_one_that_waits_for_room_is_given_up_with_its_run() -> None:
    experts = asleep(A)
    experts.room = lambda card: Promise()
    run = await begin(ONE, experts)
    await run.dispatcher.cancel()
    assert [outcome.status for outcome in run.dispatcher.outcomes()] == [Status.CANCELLED]
    assert experts.held == []
    assert experts.calls == []


@virtual
async def test_the_runs_time_ends_the_wait_for_inputs() -> None:
    run = await begin(CHAIN[:2], asleep(B), run_seconds=5.0)
    await after(6.0)
    waited = (await run.settled())[1]
    assert codes(waited) == ["deadline"]
    assert run.experts.names() == ["a"]


@virtual
async def test_an_input_that_is_made_anew_has_its_expert_held_for_that_alone() -> None:
    run = await begin(CHAIN[:2], asleep(A, B))
    run.experts.calls[0].give()
    await turns()
    run.experts.calls[1].fail(lost())
    await turns()
    assert run.experts.names()[:3] == ["a", "b", "a"]
    assert A.id in run.experts.held
    run.experts.calls[2].give()
    await turns()
    assert run.experts.held == [B.id]
    run.experts.calls[3].give()
    assert statuses(await run.settled()) == ["done"] * 2
    assert run.experts.held == []


@virtual
async def test_a_failed_input_wakes_nobody() -> None:
    experts = asleep(A, A2, B)
    run = await begin(CHAIN[:2], experts)
    run.experts.calls[0].fail(wrapped(RuntimeError("broken")))
    await turns()
    assert experts.held == [A2.id], "the next candidate; its dependent waits without a lease"
    run.experts.calls[1].give()
    await turns()
    assert experts.held == [B.id]
    run.experts.calls[2].give()
    assert statuses(await run.settled()) == ["done"] * 2


class OneGpu:
    """The real books over one GPU: a lease is given when an expert has it, and only then."""

    def __init__(self, *cards: ModelCard) -> None:
        self.books = Residency([Device("n", "0", 1 << 34)])
        for card in cards:
            self.books.add(Member(card.id, Need(share=1.0)))
        self.waits: dict[str, Promise] = {}
        self.count = 0
        self.timer: asyncio.TimerHandle | None = None

    def do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Sleep(model=model):
                    asyncio.get_running_loop().call_soon(self._left, model)
                case Wake(model=model):
                    asyncio.get_running_loop().call_later(1.0, self._woken, model)
                case Grant(lease=lease):
                    self.waits[lease].give(None)
                case Refuse(lease=lease, reason=reason):
                    self.waits[lease].fail(wrapped(BusyError(reason, 1.0)))
        if self.timer is not None:
            self.timer.cancel()
        if (due := self.books.next_tick()) is not None:
            self.timer = asyncio.get_running_loop().call_later(max(0.0, due - now()) + 0.001, self._tick)

    def _tick(self) -> None:
        self.do(self.books.tick(now()))

    def _left(self, model: str) -> None:
        self.do(self.books.left(model, now()))

    def _woken(self, model: str) -> None:
        self.do(self.books.woken(model, (), 1.0, now()))

    @asynccontextmanager
    async def lease(self, card: ModelCard, wait: float, until: float) -> AsyncIterator[None]:
        self.count += 1
        lease = f"{card.id}-{self.count}"
        self.waits[lease] = Promise()
        self.do(self.books.ask(card.id, lease, now(), wait, until))
        try:
            await self.waits[lease]
            yield
        finally:
            self.do(self.books.release(lease, now()))


@pytest.mark.parametrize("broken", [set(), {"a"}, {"a", "b"}])
@virtual
async def test_a_chain_with_fallbacks_ends_on_one_gpu(broken: set[str]) -> None:
    gpu = OneGpu(A, A2, B, B2, C)
    experts = asleep(A, A2, B, B2, C)
    experts.script = lambda called: (
        wrapped(RuntimeError("broken")) if called.name in broken else answer(called.card)
    )
    experts.lease = gpu.lease  # type: ignore[method-assign]
    run = await begin(CHAIN, experts, run_seconds=300.0)
    assert statuses(await run.settled()) == ["done"] * 3
    assert all(not member.leases for member in gpu.books.members.values())


@pytest.mark.parametrize("ends", ["done", "failed"])
@virtual
async def test_every_lease_is_given_back(ends: str) -> None:
    experts = asleep(A, A2, B, C)
    run = await begin(CHAIN, experts)
    for number in range(3):
        if number < len(experts.calls):
            call = experts.calls[number]
            if ends == "failed" and number:
                call.fail(wrapped(RuntimeError("broken")))
            else:
                call.give()
        await turns()
    for call in experts.calls:
        call.fail(wrapped(RuntimeError("broken")))
    await run.settled()
    assert experts.held == []
