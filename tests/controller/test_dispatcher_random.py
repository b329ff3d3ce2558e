"""The dispatcher over random graphs whose experts fail in every way: nothing hangs, nothing is forgotten."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.dispatcher import Dispatcher
from controller.events import Event, TaskDone, TaskFailed, TaskSkipped, TaskStarted
from controller.outcome import Outcome, Status
from controller.plan import Task
from deployments.account import Account
from deployments.errors import ExpertError, InputError, MediaError, NotFoundError
from deployments.result import Result
from tests.support.cluster import card
from tests.support.fakes import (
    BEGIN,
    Called,
    FakeExperts,
    after,
    answer,
    busy,
    died,
    lost,
    now,
    selector,
    virtual,
    wrapped,
)

CARDS = [
    card(f"{task}-{n}", task, "Echo") for task in ("summarization", "object-detection") for n in range(3)
]
TASK_S, RUN_S = 10.0, 50.0

FAILURES: dict[str, Callable[[], Exception]] = {
    "raises": lambda: wrapped(ExpertError("broken")),
    "refuses": lambda: wrapped(InputError("not this")),
    "foreign": lambda: wrapped(RuntimeError("what")),
    "busy": busy,
    "dies": died,
    "loses": lost,
    "no file": lambda: wrapped(NotFoundError("gone")),
}
ENDS = st.sampled_from(["well"] * 6 + ["slow"] * 3 + ["hangs", *FAILURES])


@dataclass
class Scenario:
    """A graph, how its calls end one after the other, how storing does, and when it is cancelled."""

    tasks: list[Task]
    calls: list[str]
    stores: list[str]
    cancel: float | None
    events: list[Event] = field(default_factory=list)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    tasks = []
    for number in range(draw(st.integers(1, 7))):
        earlier = st.lists(st.integers(0, number - 1), unique=True, max_size=3) if number else st.just([])
        used, dep = draw(earlier), draw(earlier)
        kind = draw(st.sampled_from(["summarization", "object-detection"]))
        text = " ".join(["text", *(f"<GENERATED>-{n}" for n in used)])
        args = {"text": text, **({"image": "/images/x.png"} if draw(st.booleans()) else {})}
        tasks.append(Task(kind, number, args, tuple(dict.fromkeys([*used, *dep]))))
    return Scenario(
        tasks,
        draw(st.lists(ENDS, max_size=30)),
        draw(st.lists(st.sampled_from(["well", "well", "hangs", "fails", "dies"]), max_size=10)),
        draw(st.none() | st.floats(0, 60)),
    )


def _experts(scenario: Scenario) -> FakeExperts:
    calls, stores = iter(scenario.calls), iter(scenario.stores)

    def script(called: Called) -> Result | BaseException | None:
        end = next(calls, "well")
        if end == "slow":
            loop = called.response.future.get_loop()
            loop.call_later(TASK_S - 1, lambda: called.response.give(answer(called.card)))
        if end in ("slow", "hangs"):
            return None
        return FAILURES[end]() if end in FAILURES else answer(called.card)

    def keep(result: Result) -> Account | BaseException | None:
        match next(stores, "well"):
            case "hangs":
                return None
            case "fails":
                return wrapped(MediaError("no pixels"))
            case "dies":
                return died()
        return Account.of(result)

    return FakeExperts(script, keep)


def _ends(scenario: Scenario) -> list[Outcome]:
    return [
        event.outcome for event in scenario.events if isinstance(event, TaskDone | TaskFailed | TaskSkipped)
    ]


@given(scenarios())
@settings(max_examples=300, deadline=None)
def test_every_task_of_every_graph_ends_once_and_in_time(scenario: Scenario) -> None:
    @virtual
    async def run() -> None:
        experts = _experts(scenario)
        scenario.events.clear()
        dispatcher = Dispatcher(
            "run",
            experts,
            selector(CARDS),
            scenario.events.append,
            deadline=now() + RUN_S,
            task_seconds=TASK_S,
        )
        for task in scenario.tasks:
            dispatcher.dispatch(task)
        if scenario.cancel is None:
            assert await dispatcher.settle() == dispatcher.outcomes()
            assert now() <= BEGIN + RUN_S + 0.1
        else:
            await after(scenario.cancel)
            await dispatcher.cancel()
        _check(scenario, dispatcher, experts)

    run()


def _check(scenario: Scenario, dispatcher: Dispatcher, experts: FakeExperts) -> None:
    outcomes = {outcome.id: outcome for outcome in dispatcher.outcomes()}
    ends = _ends(scenario)
    assert list(outcomes) == [task.id for task in scenario.tasks], "every task has an outcome"
    assert sorted(end.id for end in ends) == sorted(outcomes), "and tells its end once"
    assert all(outcomes[end.id] == end for end in ends)
    for task in scenario.tasks:
        _check_task(task, outcomes)
    _check_order(scenario, ends)
    if scenario.cancel is not None or all(end.status is not Status.DONE for end in ends):
        assert all(promise.ended for promise in experts.promises), "nothing goes on"


def _check_task(task: Task, outcomes: dict[int, Outcome]) -> None:
    outcome = outcomes[task.id]
    upstream = [outcomes[n].status for n in task.dep]
    failed = [attempt for attempt in outcome.attempts if attempt.failure]
    match outcome.status:
        case Status.DONE:
            assert set(upstream) <= {Status.DONE}
            assert outcome.error is None
            assert outcome.choice is not None
            assert outcome.choice.model == outcome.attempts[-1].model
            assert len(failed) == len(outcome.attempts) - 1
        case Status.SKIPPED:
            assert set(upstream) - {Status.DONE}
            assert outcome.error is not None
            assert outcome.error.code == "upstream_failed"
        case Status.FAILED:
            assert outcome.error is not None
            assert len(failed) == len(outcome.attempts)
        case Status.CANCELLED:
            assert outcome.error is not None
    assert outcome.timings is not None
    assert BEGIN <= outcome.timings.dispatched <= outcome.timings.settled


def _check_order(scenario: Scenario, ends: list[Outcome]) -> None:
    """A task begins and ends behind those it waits for."""
    order = [end.id for end in ends]
    begun: dict[int, int] = {}
    for index, event in enumerate(scenario.events):
        if isinstance(event, TaskStarted):
            begun[event.id] = index
    done = {
        event.outcome.id: index for index, event in enumerate(scenario.events) if isinstance(event, TaskDone)
    }
    for task in scenario.tasks:
        for upstream in task.dep:
            if task.id in done:
                assert order.index(upstream) < order.index(task.id)
            if task.id in begun:
                assert done[upstream] < begun[task.id]
