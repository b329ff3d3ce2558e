from collections.abc import Iterable, Sequence

import pytest

from deployments.books import STALE_S
from deployments.member import Action, Grant, Member, Refuse, Resize, Sleep, State, Wake
from deployments.residency import FRESH_S, PATIENCE_S, RETRY_S, Residency
from deployments.rooms import Device, Need, Place

GIB = 1 << 30
GPUS = (Device("n", "0", 24 * GIB), Device("n", "1", 24 * GIB))
FAR = 1e9


def fleet(*shares: float, devices: Sequence[Device] = GPUS, **more: float) -> Residency:
    """Experts a, b, c... with these shares."""
    books = Residency(devices, **more)  # type: ignore[arg-type]
    for name, share in zip("abcdefgh", shares, strict=False):
        books.add(Member(name, Need(share=share)))
    return books


def of(actions: Iterable[Action], kind: type[Action]) -> list[str]:
    return [action.model for action in actions if isinstance(action, kind)]


def awake(books: Residency, model: str, now: float, wake_s: float = 1.0) -> None:
    """Have an expert awake and idle, last used at ``now``."""
    actions = books.ask(model, f"first-{model}", now, FAR)
    assert of(actions, Wake) == [model]
    for gone in of(actions, Sleep):
        books.left(gone, now)
    actions = books.woken(model, (), wake_s, now)
    assert of(actions, Grant) == [model]
    books.release(f"first-{model}", now)


def test_a_call_waits_until_its_expert_is_awake() -> None:
    books = fleet(0.4)
    actions = books.ask("a", "1", 10.0, FAR)
    assert [type(action) for action in actions] == [Wake]
    assert isinstance(actions[0], Wake)
    assert actions[0].place.amount == 0.4
    assert books.ask("a", "2", 11.0, FAR) == []  # it is being woken already
    assert books.woken("a", (), 3.0, 13.0) == [Grant("a", "1"), Grant("a", "2")]
    assert books.members["a"].wake_s == 3.0
    assert books.ask("a", "3", 14.0, FAR) == [Grant("a", "3")]


def test_idle_ones_leave_in_order_of_last_use() -> None:
    books = fleet(0.5, 0.5, 0.5, 0.5, 0.5)
    for now, model in enumerate("abcd", 1):
        awake(books, model, now)
    actions = books.ask("e", "e", 100.0, FAR)
    assert actions[0] == Sleep("a")
    assert of(actions, Wake) == ["e"]


def test_what_is_slow_to_wake_stays_longer() -> None:
    books = fleet(0.5, 0.5, 0.5, 0.5, 0.5)
    for now, model in enumerate("abcd", 1):
        awake(books, model, now, wake_s=100.0 if model == "a" else 1.0)
    assert of(books.ask("e", "e", 100.0, FAR), Sleep) == ["b"]


def test_a_whole_gpu_is_cleared_where_it_costs_least() -> None:
    books = fleet(0.4, 0.4, 0.4, 0.4, 1.0)
    for now, model in zip((50.0, 60.0, 1.0, 2.0), "abcd", strict=True):
        awake(books, model, now)
    actions = books.ask("e", "e", 100.0, FAR)
    assert set(of(actions, Sleep)) == {"c", "d"}


def test_no_more_leave_than_have_to() -> None:
    books = fleet(0.2, 0.8, 0.6, devices=GPUS[:1])
    awake(books, "a", 1.0)
    awake(books, "b", 2.0)
    # Its order would have the small one leave first, but the large one has to leave anyway.
    assert of(books.ask("c", "c", 50.0, FAR), Sleep) == ["b"]


def test_an_expert_at_work_never_leaves() -> None:
    books = fleet(1.0, 1.0, 1.0)
    for model in "ab":
        awake(books, model, 1.0)
        books.ask(model, f"work-{model}", 2.0, FAR)
    assert books.ask("c", "c", 3.0, FAR) == []
    assert books.release("work-b", 4.0) == [], "its next call may be at hand"
    actions = books.tick(5.0)
    assert of(actions, Sleep) == ["b"]
    assert of(actions, Wake) == ["c"]


def test_a_pinned_expert_never_leaves() -> None:
    books = fleet(1.0, 1.0, 1.0)
    awake(books, "a", 1.0)
    awake(books, "b", 50.0)
    books.members["a"].pinned = True
    assert of(books.ask("c", "c", 60.0, FAR), Sleep) == ["b"]


def test_who_waits_long_has_devices_closed_for_him() -> None:
    books = fleet(0.5, 0.5, 1.0, devices=GPUS[:1])
    awake(books, "a", 1.0)
    awake(books, "b", 1.0)
    assert books.ask("a", "a1", 2.0, FAR) == [Grant("a", "a1")]
    assert books.ask("c", "c1", 2.0, FAR) == []
    assert books.ask("b", "b1", 3.0, FAR) == [Grant("b", "b1")], "others may pass at first"
    assert books.next_tick() == 2.0 + PATIENCE_S
    assert books.tick(2.0 + PATIENCE_S) == []
    assert books.ask("b", "b2", 6.0, FAR) == [], "closed now"
    assert books.release("a1", 7.0) == []
    assert books.release("b1", 8.0) == []
    actions = books.tick(9.0)
    assert set(of(actions, Sleep)) == {"a", "b"}
    assert of(actions, Wake) == ["c"]
    for gone in "ab":
        books.left(gone, 8.0)
    assert books.woken("c", (), 1.0, 9.0) == [Grant("c", "c1")]
    assert books.release("c1", 9.5) == []
    assert of(books.tick(10.0), Wake) == ["b"], "its turn again"


def test_a_call_that_waits_in_vain_is_told_for_how_long() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    awake(books, "a", 1.0, wake_s=4.0)
    books.ask("a", "a1", 2.0, FAR)
    books.ask("b", "b1", 2.0, 20.0)
    (refused,) = [action for action in books.tick(20.0) if isinstance(action, Refuse)]
    assert refused.wait_s is not None
    assert "at work" in refused.reason
    assert books.waiting == 0


def test_what_can_never_fit_is_refused_at_once() -> None:
    books = fleet(3.0)
    (refused,) = books.ask("a", "a1", 1.0, FAR)
    assert isinstance(refused, Refuse)
    assert refused.wait_s is None
    assert "3 GPUs" in refused.reason
    none = fleet(0.5, devices=(Device("n", None, 8 * GIB),))
    (refused,) = none.ask("a", "a1", 1.0, FAR)
    assert isinstance(refused, Refuse)
    assert "has none" in refused.reason


def test_several_gpus_are_taken_of_one_node() -> None:
    devices = (*GPUS, Device("m", "0", 24 * GIB), Device("m", "1", 24 * GIB))
    books = Residency(devices)
    books.add(Member("a", Need(share=0.5)))
    books.add(Member("big", Need(gpu_bytes=40 * GIB)))
    awake(books, "a", 1.0)
    books.ask("a", "work", 2.0, FAR)
    (wake,) = books.ask("big", "b", 3.0, FAR)
    assert isinstance(wake, Wake)
    there = books.members["a"].places[0].devices[0].node
    assert {device.node for device in wake.place.devices} == {"n", "m"} - {there}
    assert len(wake.place.devices) == 2


def test_models_on_the_cpu_share_a_nodes_memory() -> None:
    books = Residency([Device("n", None, 10 * GIB)])
    for name in "abc":
        books.add(Member(name, Need(gpu_bytes=GIB, ram_bytes=4 * GIB)))
    awake(books, "a", 1.0)
    awake(books, "b", 2.0)
    assert of(books.ask("c", "c", 3.0, FAR), Sleep) == ["a"]


def test_a_share_is_made_of_memory_by_the_gpu() -> None:
    books = Residency([Device("n", "0", 24 * GIB), Device("m", "0", 80 * GIB)])
    books.add(Member("a", Need(gpu_bytes=30 * GIB)))
    (wake,) = books.ask("a", "1", 1.0, FAR)
    assert isinstance(wake, Wake)
    assert wake.place.devices[0].node == "m"
    assert wake.place.amount == pytest.approx(0.38)


def test_a_lease_that_served_many_calls_counts_each() -> None:
    books = fleet(0.4)
    awake(books, "a", 0.0)
    member = books.members["a"]
    member.call_s, member.hits = 1.0, 0
    books.ask("a", "shared", 10.0, FAR)
    books.release("shared", 14.0, calls=4, worked_s=2.0)
    assert member.hits == 4
    assert 0.5 < member.call_s < 1.0, "nearer to the half second that each took"
    books.ask("a", "unused", 20.0, FAR)
    took = member.call_s
    books.release("unused", 25.0, calls=0, worked_s=0.0)
    assert (member.hits, member.call_s) == (5, took), "nothing was learnt of it"


def test_an_expert_that_fails_is_left_alone_for_longer_each_time() -> None:
    books = fleet(0.5)
    books.ask("a", "1", 0.0, FAR)
    assert books.failed("a", "no weights", 1.0) == [Refuse("a", "1", "it could not be woken: no weights")]
    (refused,) = books.ask("a", "2", 2.0, FAR)
    assert isinstance(refused, Refuse)
    assert of(books.ask("a", "3", 1.5 + RETRY_S, FAR), Wake) == ["a"]
    books.failed("a", "no weights", 100.0)
    assert books.next_tick() == 100.0 + 2 * RETRY_S, "whoever chooses is told then"
    assert books.obstacle("a", 100.0 + 1.5 * RETRY_S) is not None
    assert books.obstacle("a", 100.5 + 2 * RETRY_S) is None
    assert books.tick(100.0 + 2 * RETRY_S) == []
    assert books.next_tick() is None


def test_the_expected_wakes_only_where_nothing_fresh_leaves() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    awake(books, "a", 10.0)
    assert books.expect("b", 10.0 + FRESH_S / 2) == []
    assert of(books.expect("b", 20.0 + FRESH_S), Sleep) == ["a"]
    assert books.members["b"].state is State.WAKING


def test_an_idle_expert_leaves_by_itself() -> None:
    books = fleet(0.5, idle_s=60.0)
    awake(books, "a", 10.0)
    assert books.next_tick() == books.leaves_at("a") == 70.0
    assert books.tick(69.0) == []
    assert books.tick(70.0) == [Sleep("a")]


def test_one_that_leaves_is_woken_when_it_has_left() -> None:
    books = fleet(0.5)
    awake(books, "a", 1.0)
    assert books.stop("a", 2.0) == [Sleep("a")]
    assert books.ask("a", "1", 2.5, FAR) == []
    assert of(books.left("a", 3.0), Wake) == ["a"]


def test_a_lease_of_a_holder_that_died_ends() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    awake(books, "a", 1.0)
    books.ask("a", "1", 2.0, 30.0)
    books.ask("b", "2", 3.0, FAR)
    assert of(books.tick(30.0), Wake) == ["b"]
    assert books.release("1", 31.0) == []


def test_a_popular_expert_grows_into_what_nobody_uses_and_gives_it_up() -> None:
    books = fleet(0.5, 1.0)
    books.members["a"].most = 3
    awake(books, "a", 1.0)
    for number in range(2):
        assert of(books.ask("a", f"{number}", 100.0, FAR), Resize) == []
    assert books.ask("a", "2", 100.0, FAR)[1:] == [Resize("a", 2)]
    assert books.ask("a", "3", 100.0, FAR) == [Grant("a", "3")], "one step at a time"
    books.resized("a", [Place(GPUS[:1], 0.5), Place(GPUS[1:], 0.5)], 101.0)
    for number in range(4):
        books.release(f"{number}", 102.0)
    assert books.ask("b", "b", 103.0, FAR)[-1] == Wake("b", books.members["b"].places[0])
    other = fleet(0.5)
    awake(other, "a", 1.0)
    other.members["a"].places = (Place(GPUS[:1], 0.5), Place(GPUS[1:], 0.5))
    assert other.tick(2.0 + STALE_S) == [Resize("a", 1)]


def test_a_cluster_that_grows_has_its_node_asked_for() -> None:
    books = Residency([Device("head", None, 8 * GIB)], growable=True)
    books.add(Member("a", Need(gpu_bytes=4 * GIB)))
    (wake,) = books.ask("a", "1", 1.0, FAR)
    assert isinstance(wake, Wake)
    assert wake.place.devices == ()
    assert books.see([*books.devices, *GPUS], 50.0, growable=True) == []
    assert books.members["a"].places[0].devices == GPUS[:1]
    assert books.woken("a", [Place(GPUS[1:], 0.2)], 50.0, 51.0) == [Grant("a", "1")]
    assert books.members["a"].places[0].devices == GPUS[1:]


def test_time_alone_is_asked_for_only_where_it_changes_something() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    books.ask("a", "a1", 0.0, 100.0)
    assert books.next_tick() == 100.0, "its own waking ends the wait"
    books.woken("a", (), 1.0, 1.0)
    books.members["a"].pinned = True
    books.ask("b", "b1", 2.0, 50.0)
    seen = []
    while (at := books.next_tick()) is not None and at < 50.0:
        seen.append(at)
        books.tick(at)
    assert seen == sorted(set(seen)), "it never stands still"
    assert len(seen) <= 48 / PATIENCE_S + 1


def test_one_whom_ray_put_elsewhere_does_not_stand_in_the_way_unseen() -> None:
    books = fleet(0.6, 0.6, 1.0)
    awake(books, "a", 1.0)
    (wake,) = books.ask("b", "b1", 2.0, FAR)
    assert isinstance(wake, Wake)
    (other,) = [device for device in GPUS if device not in books.members["a"].places[0].devices]
    assert wake.place.devices == (other,)
    books.woken("b", (), 1.0, 3.0)
    books.release("b1", 3.0)
    actions = books.ask("c", "c1", 50.0, FAR)
    assert of(actions, Sleep) == ["a"]
    books.left("a", 50.0)
    # Ray has put b where c was to come: what b holds now has to leave too, though nobody asks.
    moved = books.moved("b", [Place(books.members["c"].places[0].devices, 0.6)], 51.0)
    assert of(moved, Sleep) == [] or of(moved, Sleep) == ["b"]
    assert books.members["c"].places[0].devices


def test_pins_that_fill_every_gpu_are_told_at_once() -> None:
    books = fleet(1.0, 1.0, 0.5)
    for model in "ab":
        awake(books, model, 1.0)
        books.members[model].pinned = True
    assert books.ask("c", "c1", 10.0, FAR) == []
    (refused,) = books.tick(10.0 + PATIENCE_S)
    assert isinstance(refused, Refuse)
    assert "pinned" in refused.reason
    assert refused.wait_s is None


def test_one_who_would_wait_in_vain_is_told_when_he_was_patient() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    awake(books, "a", 1.0)
    books.members["a"].call_s = 500.0
    books.members["b"].wake_s = 8.0
    books.ask("a", "a1", 10.0, FAR)
    assert books.ask("b", "b1", 11.0, 100.0) == []
    (refused,) = books.tick(11.0 + PATIENCE_S)
    assert isinstance(refused, Refuse)
    assert refused.wait_s == pytest.approx(500.0 - 4.0 + 8.0)


def test_what_was_begun_is_finished_before_an_expert_is_stopped() -> None:
    books = fleet(1.0)
    awake(books, "a", 1.0)
    books.ask("a", "1", 2.0, FAR)
    assert books.stop("a", 3.0) == []
    assert books.ask("a", "2", 3.5, FAR) == [], "no more calls until it has slept"
    assert of(books.release("1", 4.0), Sleep) == ["a"]
    assert of(books.left("a", 5.0), Wake) == ["a"]


def test_what_was_begun_is_finished_before_an_expert_is_removed() -> None:
    books = fleet(1.0)
    awake(books, "a", 1.0)
    books.ask("a", "1", 2.0, FAR)
    assert books.remove("a", 3.0) == []
    (refused,) = books.ask("a", "2", 3.5, FAR)
    assert isinstance(refused, Refuse)
    assert of(books.release("1", 4.0), Sleep) == ["a"]
    books.left("a", 5.0)
    assert "a" not in books.members


def test_a_new_application_has_a_new_number_even_after_a_restart() -> None:
    books, later = fleet(1.0), fleet(1.0)
    awake(books, "a", 1.0)
    awake(later, "a", 2.0)
    assert later.members["a"].epoch > books.members["a"].epoch


def test_who_asks_again_at_once_finds_his_expert_there() -> None:
    books = fleet(1.0, 1.0, devices=GPUS[:1])
    awake(books, "a", 10.0, wake_s=5.0)
    assert books.ask("b", "b1", 10.5, FAR) == [], "it was used half a second ago, and takes five to wake"
    assert books.ask("a", "a2", 10.6, FAR) == [Grant("a", "a2")]
    assert books.release("a2", 10.7) == []
    assert books.next_tick() == pytest.approx(11.7)
    assert of(books.tick(11.8), Sleep) == ["a"]
