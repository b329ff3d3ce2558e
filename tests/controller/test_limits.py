"""Limits of each key: rates as a bucket fills, and how much is open at once."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import LimitError
from controller.failure import patience
from controller.limits import ASIDE, Limits
from deployments.history.ring import Key, Rate


class Time:
    """A clock that a test sets; it begins where clocks of machines do not."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


def _key(name: str = "a", rate: Rate | None = None, concurrency: int | None = None) -> Key:
    return Key(name, name, "", frozenset({"run"}), rate, concurrency)


def _limits(unattended: Callable[[str], int] = lambda owner: 0) -> tuple[Limits, Time]:
    clock = Time()
    return Limits(unattended, clock), clock


def _use(limits: Limits, key: Key, works: bool = True) -> None:
    with limits.within(key, works):
        pass


def test_a_key_without_limits_has_none() -> None:
    limits, _ = _limits(lambda owner: 1000)
    with ExitStack() as held:
        for _ in range(1000):
            held.enter_context(limits.within(_key(), works=True))


def test_a_rate_lets_so_many_through_and_fills_again() -> None:
    limits, clock = _limits()
    key = _key(rate=Rate(3, 60))
    for _ in range(3):
        _use(limits, key, works=False)
    with pytest.raises(LimitError, match=r"3 times in 60 seconds; try again in 20 s\.") as refused:
        _use(limits, key)
    assert patience(refused.value) == {"retry-after": "20"}
    clock.now += 19.9
    with pytest.raises(LimitError):
        _use(limits, key)
    clock.now += 0.2
    _use(limits, key)
    with pytest.raises(LimitError):
        _use(limits, key)
    clock.now += 3600
    for _ in range(3):
        _use(limits, key)
    with pytest.raises(LimitError):
        _use(limits, key)  # what is not used is not saved beyond the limit


@given(st.integers(1, 20), st.floats(0.1, 1000), st.lists(st.floats(0, 100), min_size=1, max_size=60))
def test_no_span_of_time_has_more_than_the_bucket_and_what_flows_in(
    count: int, seconds: float, waits: list[float]
) -> None:
    limits, clock = _limits()
    begun = clock.now
    for let_in, wait in enumerate(waits, 1):
        clock.now += wait
        try:
            _use(limits, _key(rate=Rate(count, seconds)))
        except LimitError as error:
            clock.now += error.wait_s * 1.001 + 1e-6
            _use(limits, _key(rate=Rate(count, seconds)))  # what it says is true
        assert let_in <= count + (clock.now - begun) * count / seconds + 1e-6


def test_keys_have_buckets_of_their_own_and_a_new_limit_counts_at_once() -> None:
    limits, _ = _limits()
    _use(limits, _key("a", Rate(1, 60)))
    _use(limits, _key("b", Rate(1, 60)))
    with pytest.raises(LimitError):
        _use(limits, _key("a", Rate(1, 60)))
    _use(limits, _key("a", Rate(2, 60)))
    _use(limits, _key("a"))


def test_so_much_is_open_at_once_and_refusals_cost_nothing() -> None:
    limits, _ = _limits()
    key = _key(rate=Rate(3, 60), concurrency=2)
    with limits.within(key, works=True):
        with limits.within(key, works=True):
            for _ in range(5):
                with pytest.raises(LimitError, match="may have 2 at once"):
                    _use(limits, key)
        _use(limits, key)  # of the rate nothing was taken by what was refused
        with pytest.raises(LimitError, match="3 times in 60"):
            _use(limits, key)


def test_runs_that_nobody_waits_for_count_and_looking_at_them_does_not() -> None:
    runs = {"a": 2}
    limits, _ = _limits(lambda owner: runs.get(owner, 0))
    key = _key(concurrency=2)
    with pytest.raises(LimitError):
        _use(limits, key)
    with ExitStack() as held:
        for _ in range(2 + ASIDE):
            held.enter_context(limits.within(key, works=False))
        with pytest.raises(LimitError, match="too many requests open"):
            _use(limits, key, works=False)
    _use(limits, key, works=False)
    _use(limits, _key("b", concurrency=1))
    runs["a"] = 1
    _use(limits, key)


def test_what_fails_is_open_no_more() -> None:
    limits, _ = _limits()
    key = _key(concurrency=1)
    for _ in range(3):
        with pytest.raises(KeyError), limits.within(key, works=True):
            raise KeyError
    _use(limits, key)


def test_books_of_keys_that_rest_are_closed() -> None:
    limits, clock = _limits()
    for number in range(100):
        _use(limits, _key(str(number), Rate(10, 60)))
    assert len(limits._books) == 100
    clock.now += 120
    with limits.within(_key("held", concurrency=1), works=True):
        _use(limits, _key("last", Rate(10, 3600)))
    assert set(limits._books) == {"held", "last"}
