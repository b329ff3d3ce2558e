"""The fleet's books under random events."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.member import Action, Grant, Refuse, Sleep, State, Wake
from deployments.rooms import Device, Place
from tests.deployments.test_residency import FAR, GPUS, fleet


class Simulation:
    """Experts that are asked, wake, work and leave as an example says, on a Ray with a will of its own.

    Ray puts a replica on any GPU that has room, and has it wait where none has; one that ends keeps its GPU
    until it is gone.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self.books = fleet(*shares)
        self.now = 0.0
        self.pending: list[str] = []
        self.held: dict[str, list[Device]] = {}
        self.leaving: list[str] = []
        self.working: list[str] = []
        self.asked: dict[str, str] = {}
        self.done: set[str] = set()

    def do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Wake(model=model):
                    assert model not in self.held, "it has ended before it is woken anew"
                    self.pending.append(model)
                case Sleep(model=model):
                    assert not self.books.members[model].leases
                    if model in self.pending:
                        self.pending.remove(model)
                    self.leaving.append(model)
                case Grant(lease=lease):
                    assert lease not in self.done
                    self.working.append(lease)
                    self.done.add(lease)
                case Refuse(lease=lease, reason=reason):
                    assert "more than the GPUs" in reason, reason
                    self.done.add(lease)

    def share(self, model: str) -> float:
        return self.books.members[model].need.share or 0.0

    def free(self, device: Device) -> float:
        return 1.0 - sum(min(self.share(model), 1.0) for model, on in self.held.items() if device in on)

    def start(self, which: int) -> None:
        """Ray starts a replica that waits, where it likes."""
        for model in self.pending:
            count = max(1, round(self.share(model)))
            part = min(self.share(model), 1.0)
            there = [device for device in GPUS if self.free(device) + 1e-6 >= part]
            if len(there) >= count:
                turn = which % len(there)
                on = (there[turn:] + there[:turn])[:count]
                self.pending.remove(model)
                self.held[model] = on
                self.do(self.books.woken(model, [Place(tuple(on), self.share(model))], 1.0, self.now))
                return

    def step(self, kind: int, which: int) -> None:
        self.now += 1.0
        due = self.books.next_tick()
        if due is not None and due <= self.now:  # as the keeper's clock does
            self.do(self.books.tick(self.now))
        if kind == 0:
            model = list(self.books.members)[which % len(self.books.members)]
            lease = f"{model}-{len(self.asked)}"
            self.asked[lease] = model
            self.do(self.books.ask(model, lease, self.now, FAR))
        elif kind == 1:
            self.start(which)
        elif kind == 2 and self.working:
            self.do(self.books.release(self.working.pop(which % len(self.working)), self.now))
        elif kind == 3 and self.leaving:
            model = self.leaving.pop(which % len(self.leaving))
            self.held.pop(model, None)
            self.do(self.books.left(model, self.now))
        elif kind == 4:
            self.do(self.books.tick(self.now))
            soonest = self.books.next_tick()
            assert soonest is None or soonest > self.now, "a tick leaves nothing that is due"
        self.check()

    def check(self) -> None:
        for device in GPUS:
            assert self.free(device) >= -1e-6, "no GPU holds more than it is"
        for waiter in self.books._waiters:
            blocked = self.books._room(waiter.member, self.now, waiter=waiter) is None
            assert waiter.member.state is not State.ASLEEP or blocked, "an idle expert stands in the way"


@settings(max_examples=300, deadline=None)
@given(
    shares=st.lists(st.sampled_from([0.2, 0.4, 0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=6),
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=60),
)
def test_every_call_is_answered_wherever_ray_puts_replicas(
    shares: list[float], steps: list[tuple[int, int]]
) -> None:
    simulation = Simulation(shares)
    for kind, which in steps:
        simulation.step(kind, which)
    for _ in range(40 * (1 + len(simulation.asked))):  # let everything end
        for kind in (1, 2, 3, 4):
            simulation.step(kind, 0)
        if simulation.done == set(simulation.asked) and not simulation.working:
            break
    assert simulation.done == set(simulation.asked)
