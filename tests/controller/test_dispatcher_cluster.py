"""The dispatcher on a real cluster: fallback, death, deadlines, cancel, and what dependents get."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from controller.dispatcher import Dispatcher
from controller.events import Event, TaskChosen
from controller.experts import ServeExperts
from controller.outcome import Outcome, Status
from controller.plan import Plan
from controller.selector import Selector
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from tests.support.cluster import card, deployed
from tests.support.signal import Signals

A = card("a", "fill-mask", "Echo")
B = card("b", "summarization", "Echo")
C = card("c", "translation", "Echo")
D = card("d", "text-classification", "Echo")
BROKEN = card("broken", "fill-mask", "Raises", downloads=9)
DYING = card("dying", "fill-mask", "Dies", downloads=9)
SLOW = card("slow", "fill-mask", "Slow")
NARROW = card("narrow", "fill-mask", "Slow").model_copy(update={"max_queued": 1})
SLOW_TOO = card("slow-too", "summarization", "Slow")
BATCHING = card("batching", "fill-mask", "Batches", batch_size=8)


@pytest.fixture(scope="module")
def signals(cluster: None) -> Signals:
    """The board on which hanging models signal."""
    return Signals()


@pytest.fixture(scope="module")
def hanging(signals: Signals) -> ModelCard:
    """A model that works until it is stopped."""
    return card("hanging", "fill-mask", "Hangs", downloads=9, description=signals.name)


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """A model that kills its replica on the first call alone."""
    return card("phoenix", "fill-mask", "Dies", description=str(tmp_path_factory.mktemp("phoenix") / "died"))


@pytest.fixture(scope="module", autouse=True)
def experts(product: str, hanging: ModelCard, phoenix: ModelCard) -> Iterator[None]:
    """Every expert of this module, beside the product; a test's catalog says which of them it knows."""
    with deployed([A, B, C, D, BROKEN, DYING, SLOW, NARROW, SLOW_TOO, BATCHING, hanging, phoenix]):
        yield


async def _run(
    plan: list[dict[str, object]],
    cards: list[ModelCard],
    *,
    task_seconds: float = 60.0,
    run_seconds: float = 100.0,
) -> tuple[dict[int, Outcome], list[Event]]:
    """Run a plan in wire form over experts that are deployed."""
    events: list[Event] = []
    dispatcher, parsed = await _dispatcher(plan, cards, events, task_seconds, run_seconds)
    for task in parsed.tasks:
        dispatcher.dispatch(task)
    outcomes = await dispatcher.settle()
    return {outcome.id: outcome for outcome in outcomes}, events


async def _dispatcher(
    plan: list[dict[str, object]],
    cards: list[ModelCard],
    events: list[Event],
    task_seconds: float,
    run_seconds: float,
) -> tuple[Dispatcher, Plan]:
    catalog = Catalog(cards)
    experts = await asyncio.to_thread(ServeExperts, catalog)
    selector = Selector(catalog)
    selector.fleet = await experts.refresh()
    parsed = Plan.parse(plan)
    assert not parsed.faults
    deadline = time.time() + run_seconds
    made = Dispatcher(
        "run-test", experts, selector, events.append, deadline=deadline, task_seconds=task_seconds
    )
    return made, parsed


CHAIN = [
    {"task": "fill-mask", "id": 0, "args": {"text": "hello"}},
    {"task": "summarization", "id": 1, "args": {"text": "<GENERATED>-0"}},
    {"task": "translation", "id": 2, "args": {"text": "so: <GENERATED>-1!"}},
]


async def test_a_chain_passes_results_on_and_fills_references_in_longer_texts() -> None:
    cards = [A, B, C]
    outcomes, events = await _run(CHAIN, cards)
    assert [outcome.status for outcome in outcomes.values()] == [Status.DONE] * 3
    assert outcomes[2].text == "so: hello+a+b!+c"
    assert [event.id for event in events if isinstance(event, TaskChosen)] == [0, 1, 2]


async def test_when_the_first_expert_raises_the_next_answers_and_dependents_get_its_result() -> None:
    cards = [BROKEN, A, B, C]
    outcomes, _ = await _run(CHAIN, cards)
    assert outcomes[2].text == "so: hello+a+b!+c"
    first = outcomes[0]
    assert [attempt.model for attempt in first.attempts] == ["test/broken", "test/a"]
    assert first.attempts[0].failure is not None
    assert "this model is broken" in first.attempts[0].failure.message
    assert first.choice is not None
    assert first.choice.model == "test/a"
    assert "test/broken failed" in first.choice.reason
    assert len(outcomes[1].attempts) == 1, "a lost input is not the dependent's failure"


async def test_when_a_replica_is_killed_in_mid_call_the_next_candidate_answers() -> None:
    cards = [DYING, A, B, C]
    outcomes, _ = await _run(CHAIN, cards)
    assert outcomes[2].text == "so: hello+a+b!+c"
    assert outcomes[0].attempts[0].failure is not None
    assert outcomes[0].attempts[0].failure.code == "replica_died"


async def test_a_task_whose_only_replica_died_is_tried_once_more_when_it_is_back(phoenix: ModelCard) -> None:
    cards = [phoenix]
    outcomes, _ = await _run(CHAIN[:1], cards)
    assert outcomes[0].text == "back again"
    assert [attempt.failure is None for attempt in outcomes[0].attempts] == [False, True]


async def test_when_the_deadline_passes_the_next_candidate_answers_and_the_model_is_stopped(
    hanging: ModelCard, signals: Signals
) -> None:
    cards = [hanging, A, B, C]
    outcomes, _ = await _run(CHAIN, cards, task_seconds=1.5)
    await signals.wait("stopped")
    assert outcomes[2].text == "so: hello+a+b!+c"
    assert outcomes[0].attempts[0].failure is not None
    assert outcomes[0].attempts[0].failure.code == "deadline"


async def test_with_no_candidate_left_dependents_are_skipped_and_the_rest_is_delivered() -> None:
    cards = [BROKEN, B, C, D]
    alone = {"task": "text-classification", "id": 3, "args": {"text": "free"}}
    outcomes, events = await _run([*CHAIN, alone], cards)
    assert [outcomes[n].status for n in range(4)] == [
        Status.FAILED,
        Status.SKIPPED,
        Status.SKIPPED,
        Status.DONE,
    ]
    for skipped in (outcomes[1], outcomes[2]):
        assert skipped.error is not None
        assert "this model is broken" in skipped.error.message
    assert outcomes[3].text == "free+d"
    assert sum(event.type.startswith(("task.done", "task.failed", "task.skipped")) for event in events) == 4


async def test_a_run_past_its_deadline_ends_every_task(hanging: ModelCard, signals: Signals) -> None:
    cards = [hanging, B, C]
    outcomes, _ = await _run(CHAIN, cards, run_seconds=1.5)
    await signals.wait("stopped")
    assert outcomes[0].status is Status.FAILED
    assert outcomes[0].error is not None
    assert outcomes[0].error.code == "deadline"
    assert {outcomes[1].status, outcomes[2].status} <= {Status.SKIPPED, Status.FAILED}


async def test_cancel_reaches_the_model(hanging: ModelCard, signals: Signals) -> None:
    cards = [hanging, B]
    dispatcher, plan = await _dispatcher(CHAIN[:2], cards, [], 60, 60)
    for task in plan.tasks:
        dispatcher.dispatch(task)
    await signals.wait("begun")
    await dispatcher.cancel()
    await signals.wait("stopped")
    assert [outcome.status for outcome in dispatcher.outcomes()] == [Status.CANCELLED, Status.CANCELLED]


async def test_an_expert_with_a_full_queue_costs_its_own_tasks_alone() -> None:
    plan: list[dict[str, object]] = [
        *({"task": "fill-mask", "id": n, "args": {"text": "x"}} for n in range(8)),
        {"task": "summarization", "id": 8, "args": {"text": "y"}},
        {"task": "translation", "id": 9, "args": {"text": "<GENERATED>-8"}},
    ]
    outcomes, _ = await _run(plan, [NARROW, B, C])
    assert (outcomes[8].status, outcomes[9].status) == (Status.DONE, Status.DONE)
    slow = [outcomes[n] for n in range(8)]
    assert {outcome.status for outcome in slow} == {Status.DONE, Status.FAILED}
    assert {outcome.error.code for outcome in slow if outcome.error} == {"busy"}


async def test_independent_tasks_overlap_in_time() -> None:
    cards = [SLOW, SLOW_TOO]
    plan: list[dict[str, object]] = [
        {"task": "fill-mask", "id": 0, "args": {"text": "x"}},
        {"task": "summarization", "id": 1, "args": {"text": "y"}},
    ]
    outcomes, _ = await _run(plan, cards)
    first, second = outcomes[0].timings, outcomes[1].timings
    assert first is not None
    assert second is not None
    assert first.started is not None
    assert second.started is not None
    assert max(first.started, second.started) < min(first.finished or 0, second.finished or 0)


async def test_batches_form_in_front_of_the_model_and_a_bad_input_fails_alone() -> None:
    cards = [BATCHING]
    plan: list[dict[str, object]] = [
        {"task": "fill-mask", "id": n, "args": {"text": "bad" if n == 3 else "good"}} for n in range(8)
    ]
    outcomes, _ = await _run(plan, cards)
    assert outcomes[3].status is Status.FAILED
    good = [outcome for n, outcome in outcomes.items() if n != 3]
    assert all(outcome.status is Status.DONE for outcome in good)
    assert max(int(outcome.text or 0) for outcome in good) > 1
