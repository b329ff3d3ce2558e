"""Admission: how long a call would wait, who is refused, and how room is shared; the clock is the test's."""

import random
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.admission import ALPHA, UNKNOWN, Admission, Capacity, Room, Ticket, Wanted
from controller.errors import OverloadedError
from controller.events import TaskChosen, TaskDone, TaskFailed, TaskStarted
from controller.outcome import Choice, Outcome, Status, Timings

FAR = 1000.0


@dataclass
class World:
    """Experts under a test's control, and the books about them."""

    places: dict[str, int] = field(default_factory=dict)
    cold: dict[str, float] = field(default_factory=dict)
    now: float = 100.0
    most: int = 100

    def __post_init__(self) -> None:
        self.books = Admission(self.capacity, lambda: self.now, self.most)
        self._names = iter(range(10**6))

    def capacity(self, model: str) -> Capacity:
        return Capacity(self.places.get(model, 1), self.cold.get(model, 0.0))

    def run(self, owner: str = "", party: str = "") -> AbstractContextManager[Ticket]:
        return self.books.run(owner, party or f"run-{next(self._names)}")

    def learn(self, model: str, seconds: float) -> None:
        """Let an expert answer a call that is alone, in so many seconds."""
        with self.run() as ticket:
            ticket.admit(calls(model), FAR)
            ticket.began(0)
            self.now += seconds
            ticket.done(0, self.now - seconds, self.now)


def calls(model: str, count: int = 1) -> list[Wanted]:
    return [Wanted(number, (model,)) for number in range(count)]


def begin(stack: ExitStack, world: World, *wanted: Wanted, owner: str = "", left: float = FAR) -> Ticket:
    """A run that was let in; one that is refused raises."""
    with ExitStack() as own:
        ticket = own.enter_context(world.run(owner))
        ticket.admit(wanted, left)
        stack.push(own.pop_all())
    return ticket


def filled(stack: ExitStack, world: World, *wanted: Wanted, owner: str = "") -> int:
    """Begin runs until one is refused; how many there are."""
    for count in range(1000):
        try:
            begin(stack, world, *wanted, owner=owner)
        except OverloadedError:
            return count
    raise AssertionError("nobody was refused")


# How long a call waits -----------------------------------------------------------------------------------


def test_an_idle_expert_takes_a_whole_plan() -> None:
    world = World()
    for known in (False, True):
        if known:
            world.learn("a", 10.0)
        with world.run() as ticket:
            assert ticket.admit(calls("a", 12), 170.0) == dict.fromkeys(range(12), "a")
            assert world.books.owed() == 12
        assert world.books.owed() == 0


def test_a_burst_of_one_person_meets_an_expert_that_has_not_answered_yet() -> None:
    world = World()
    with ExitStack() as stack:
        for _ in range(12):
            begin(stack, world, *calls("a"))
        assert filled(stack, world, *calls("a")) == UNKNOWN * ALPHA // (ALPHA + 1) + 1 - 12


@pytest.mark.parametrize(("seconds", "places", "limit"), [(0.2, 1, 1.0), (0.2, 8, 1.0), (2.0, 1, 10.0)])
def test_calls_may_wait_for_a_second_or_five_turns(seconds: float, places: int, limit: float) -> None:
    world = World({"a": places})
    world.learn("a", seconds)
    with ExitStack() as stack:
        count = filled(stack, world, *calls("a"))
    share = ALPHA / (ALPHA + 1)
    assert count == int(limit * share / seconds * places + 1e-9) + 1, "the last one waits as long as it may"


def test_a_refusal_tells_when_there_is_room_and_then_there_is() -> None:
    world = World()
    world.learn("a", 2.0)
    with ExitStack() as stack:
        first = begin(stack, world, *calls("a", 20))
        with pytest.raises(OverloadedError) as refused, world.run() as other:
            other.admit(calls("a"), FAR)
        assert refused.value.wait_s == pytest.approx(20 * 2.0 - 10.0 * ALPHA / (ALPHA + 1))
        assert "try again in 32 s" in refused.value.message
        assert world.books.owed() == 20, "nothing of what was refused is counted"
        for number in range(int(refused.value.wait_s / 2.0)):
            first.over(number)
        begin(stack, world, *calls("a"))


def test_work_before_a_call_is_done_while_its_inputs_are_made() -> None:
    """A chain whose stages are equally fast waits in the first one alone: it is no longer for that."""
    world = World()
    for model in "abc":
        world.learn(model, 0.2)
    chain = (Wanted(0, ("a",)), Wanted(1, ("b",), (0,)), Wanted(2, ("c",), (1,)))
    with ExitStack() as stack:
        assert filled(stack, world, *chain) == 5
    with ExitStack() as stack:
        assert filled(stack, world, *calls("c")) == 5


def test_what_comes_later_in_a_plan_that_is_written_still_knows_its_inputs() -> None:
    world = World()
    world.learn("a", 4.0)
    world.learn("b", 2.0)
    with ExitStack() as stack:
        begin(stack, world, *calls("b", 6))
        with world.run() as ticket:
            ticket.admit([Wanted(0, ("a",))], FAR)
            ticket.admit([Wanted(1, ("b",), (0,))], FAR)
        with world.run() as ticket, pytest.raises(OverloadedError):
            ticket.admit([Wanted(1, ("b",))], FAR)


def test_a_call_that_would_come_after_its_runs_deadline_is_refused() -> None:
    world = World()
    world.learn("a", 2.0)
    with ExitStack() as stack:
        begin(stack, world, *calls("a", 2))
        with pytest.raises(OverloadedError):
            begin(stack, world, *calls("a"), left=5.0)
        begin(stack, world, *calls("a"), left=6.5)
    with ExitStack() as stack:
        begin(stack, world, *calls("a"), left=1.0)  # nobody is before it: it may try


# What is learnt ------------------------------------------------------------------------------------------


def served(world: World, model: str, count: int, seconds: float, together: int = 1) -> None:
    """Let an expert answer calls that all came at once, so many together."""
    with world.run() as ticket:
        ticket.admit(calls(model, count), FAR)
        for number in range(count):
            ticket.began(number)
        for number in range(count):
            if number % together == 0:
                world.now += seconds
            ticket.done(number, world.now - seconds, world.now)


def test_what_a_call_takes_is_learnt_and_learnt_anew() -> None:
    world = World()
    served(world, "a", 30, 0.2)
    line = world.books.line("a")
    assert line.service_s == pytest.approx(0.2)
    assert line.turn_s == pytest.approx(0.2)
    served(world, "a", 30, 1.0)
    assert line.service_s == pytest.approx(1.0, rel=0.01)
    assert line.turn_s == pytest.approx(1.0, rel=0.01)
    served(world, "a", 30, 0.01)
    assert line.turn_s == pytest.approx(0.01, rel=0.2)


def test_calls_that_do_not_go_together_take_as_long_as_they_do() -> None:
    together, alone = World({"a": 4}), World({"a": 4})
    served(together, "a", 64, 0.2, together=4)
    served(alone, "a", 64, 0.2, together=1)
    assert together.books.line("a").turn_s == pytest.approx(0.2)
    assert alone.books.line("a").turn_s == pytest.approx(0.8, rel=0.1)
    assert alone.books.line("a").service_s == pytest.approx(0.2)
    with ExitStack() as stack:
        assert filled(stack, together, *calls("a")) == 17
        assert 4 <= filled(stack, alone, *calls("a")) <= 6


def test_calls_that_waited_for_a_replica_to_start_anew_change_nothing() -> None:
    world = World()
    served(world, "a", 9, 0.2)
    with world.run() as ticket:
        ticket.admit(calls("a", 4), FAR)
        for number in range(4):
            ticket.began(number)
        world.now += 20.0
        for number in range(4):
            world.now += 0.2
            ticket.done(number, world.now - 0.2, world.now)
    assert world.books.line("a").turn_s == pytest.approx(0.2)


def test_waking_is_no_service() -> None:
    world = World(cold={"a": 30.0})
    with world.run() as ticket:
        ticket.admit(calls("a"), FAR)
        world.now += 30.0  # a lease: the call is made when the expert is awake
        ticket.began(0)
        world.now += 0.2
        ticket.done(0, world.now - 0.2, world.now)
    with world.run() as ticket:
        ticket.admit(calls("a"), FAR)
        ticket.began(0)
        world.now += 30.0  # no lease: the call wakes it
        ticket.done(0, world.now - 0.2, world.now)
    assert world.books.line("a").service_s == pytest.approx(0.2)
    assert world.books.line("a").turn_s == pytest.approx(0.2)


def test_for_an_expert_that_wakes_as_many_may_wait_as_its_waking_takes() -> None:
    world = World(cold={"a": 10.0})
    world.learn("a", 0.5)
    with ExitStack() as stack:
        assert filled(stack, world, *calls("a")) == 17
        del world.cold["a"]
        with pytest.raises(OverloadedError):
            begin(stack, world, *calls("a"))


def test_calls_of_which_no_time_is_told_are_timed_here() -> None:
    world = World({"llm": 2})
    with world.run() as ticket:
        ticket.admit(calls("llm"), FAR)
        ticket.began(0)
        world.now += 3.0
        ticket.done(0)
    assert world.books.line("llm").service_s == pytest.approx(3.0)


# Fairness ------------------------------------------------------------------------------------------------


def test_one_who_asks_without_end_leaves_room_for_one_who_asks_seldom() -> None:
    """For a minute a hog asks as often as it can, and another caller twice a second."""
    world = World()
    world.learn("a", 0.2)
    chance = random.Random(1)
    waiting: list[tuple[str, ExitStack]] = []
    asked = {"hog": 0, "light": 0}
    let_in = dict.fromkeys(asked, 0)
    for step in range(600):
        for owner in ["hog"] * 5 + ["light"] * (step % 5 == 0):
            asked[owner] += 1
            stack = ExitStack()
            try:
                begin(stack, world, *calls("a"), owner=owner)
            except OverloadedError:
                continue
            let_in[owner] += 1
            waiting.insert(len(waiting) - chance.randint(0, min(1, len(waiting))), (owner, stack))
        if step % 2:  # five calls a second are answered
            waiting.pop(0)[1].close()
    assert let_in["light"] == asked["light"] == 120
    assert let_in["hog"] > 150, "what the other does not use is the hog's"
    assert len(waiting) <= 10
    for _, stack in waiting:
        stack.close()
    assert world.books.owed() == 0


def test_a_large_plan_of_one_keeps_the_other_out_no_longer_than_it_must() -> None:
    world = World()
    world.learn("a", 1.0)
    with ExitStack() as stack:
        big = begin(stack, world, *calls("a", 12), owner="hog")
        with pytest.raises(OverloadedError):
            begin(stack, world, *calls("a"), owner="light")
        big.over(0)
        big.over(1)
        begin(stack, world, *calls("a"), owner="light")
        with pytest.raises(OverloadedError):
            begin(stack, world, *calls("a"), owner="hog")


def test_equals_share_alike() -> None:
    world = World({"a": 20})
    world.learn("a", 0.2)
    count = dict.fromkeys("uvw", 0)
    with ExitStack() as stack:
        for number in range(900):
            owner = "uvw"[number % 3]
            try:
                begin(stack, world, *calls("a"), owner=owner)
                count[owner] += 1
            except OverloadedError:
                pass
    assert max(count.values()) - min(count.values()) <= 1
    assert 85 <= sum(count.values()) <= 100


def test_runs_of_one_request_do_not_wait_for_each_other() -> None:
    world = World(most=2)
    world.learn("a", 0.2)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(world.run("me", "request")).admit(calls("a"), FAR)
        assert world.books.owed() == 100
        stack.enter_context(world.run("you"))
        with pytest.raises(OverloadedError), world.run("another"):
            pass
    with world.run("another"):
        assert world.books.owed() == 0


def test_a_task_goes_to_the_first_model_that_has_room() -> None:
    world = World()
    world.learn("a", 2.0)
    either = Wanted(0, ("a", "b"))
    with ExitStack() as stack:
        full = begin(stack, world, *calls("a", 20))
        with world.run() as ticket:
            assert ticket.admit([either], FAR) == {0: "b"}
        full.close()
        with world.run() as ticket:
            assert ticket.admit([either], FAR) == {0: "a"}


# The runs of all, and the ends ---------------------------------------------------------------------------


def test_the_places_of_a_room_are_shared() -> None:
    room = Room(10, "requests")
    for _ in range(9):
        room.take("hog")
    with pytest.raises(OverloadedError) as refused:
        room.take("hog")
    assert "under way" in refused.value.message
    room.take("light")
    with pytest.raises(OverloadedError):
        room.take("another")
    room.leave("hog")
    room.take("another")
    for owner in ["hog"] * 8 + ["light", "another"]:
        room.leave(owner)
    assert room.taken == 0


def test_a_run_tells_its_calls_by_its_events() -> None:
    world = World()
    with world.run() as ticket:
        ticket.admit([Wanted(0, ("a",)), Wanted(1, ("a",), (0,)), Wanted(2, ("b",))], FAR)
        ticket.heard(TaskChosen(run="r", id=0, choice=Choice(model="a", reason="")))
        ticket.heard(TaskStarted(run="r", id=0, model="a"))
        assert (world.books.line("a").calls, world.books.line("a").at_work) == (2, 1)
        ticket.heard(TaskChosen(run="r", id=0, choice=Choice(model="b", reason="the next took over")))
        assert (world.books.line("a").calls, world.books.line("a").at_work) == (1, 0)
        assert world.books.line("b").calls == 2
        ticket.heard(TaskStarted(run="r", id=0, model="b"))
        world.now += 3.0
        times = Timings(dispatched=0, started=world.now - 2.5, finished=world.now - 0.5, settled=world.now)
        ticket.heard(TaskDone(run="r", outcome=Outcome(id=0, task="t", status=Status.DONE, timings=times)))
        assert world.books.line("b").calls == 1
        assert world.books.line("b").service_s == pytest.approx(2.0)
        assert world.books.line("b").turn_s == pytest.approx(2.5), "what storing takes is not the expert's"
        ticket.heard(TaskFailed(run="r", outcome=Outcome(id=2, task="t", status=Status.FAILED)))
        assert world.books.line("b").calls == 0
        assert world.books.owed() == 1
    assert world.books.owed() == 0, "what a run has left is counted no more when it ends"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 4)), max_size=60))
def test_whatever_happens_the_books_are_empty_in_the_end(steps: list[tuple[int, int, int]]) -> None:
    world = World({"a": 2})
    with ExitStack() as stack:
        tickets = [stack.enter_context(world.run(f"owner-{number % 2}")) for number in range(4)]
        for what, who, key in steps:
            ticket, world.now = tickets[who], world.now + 0.1
            match what:
                case 0 | 1:
                    with suppress(OverloadedError):
                        ticket.admit([Wanted(key, ("ab"[what],))], FAR)
                case 2:
                    ticket.began(key)
                case 3:
                    ticket.done(key)
                case 4:
                    ticket.over(key)
                case _:
                    ticket.moved(key, "b")
            lines = [world.books.line(model) for model in "ab"]
            assert all(0 <= line.at_work <= line.calls for line in lines)
            assert all(line.owners.total() == line.parties.total() for line in lines)
    for model in "ab":
        line = world.books.line(model)
        assert (line.calls, line.at_work, dict(line.owners), dict(line.parties)) == (0, 0, {}, {})
