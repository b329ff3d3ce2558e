"""Leases that wait a moment for the next call."""

import asyncio

import pytest

from controller.spares import SHARED_S, SPARE_S, Held, Spares
from tests.support.fakes import virtual


@pytest.fixture
def back() -> list[str]:
    return []


def _granted(back: list[str], until: float = 100.0) -> tuple[Spares, Held]:
    held = Held(until)
    held.granted(1)
    return Spares(lambda one: back.append(one.name)), held


@virtual
async def test_a_lease_serves_the_next_call(back: list[str]) -> None:
    kept, held = _granted(back)
    held.served(0.5)
    kept.keep("a", held)
    assert kept.take("b", 10.0) is None
    assert kept.take("a", 10.0) is held
    assert kept.take("a", 10.0) is None, "one call at a time"
    held.served(0.25)
    assert (held.calls, held.worked_s) == (2, 0.75)
    await asyncio.sleep(2 * SPARE_S)
    assert back == [], "it is in use"


@virtual
async def test_a_lease_that_nobody_takes_is_given_back(back: list[str]) -> None:
    kept, held = _granted(back)
    kept.keep("a", held)
    await asyncio.sleep(SPARE_S + 0.01)
    assert back == [held.name]
    assert kept.take("a", 10.0) is None


@virtual
async def test_others_have_their_turn(back: list[str]) -> None:
    kept, held = _granted(back)
    while not back:
        kept.keep("a", held)
        await asyncio.sleep(SPARE_S / 2)
        assert kept.take("a", 10.0) is (None if back else held)
    assert asyncio.get_running_loop().time() - held.since <= SHARED_S + SPARE_S


@virtual
async def test_a_lease_that_ends_too_soon_is_given_back(back: list[str]) -> None:
    kept, held = _granted(back, until=9.0)
    kept.keep("a", held)
    assert kept.take("a", 10.0) is None
    assert back == [held.name]


@virtual
async def test_leases_of_an_expert_that_is_gone_are_given_back(back: list[str]) -> None:
    kept, held = _granted(back)
    kept.keep("a", held)
    kept.drop("b")
    assert back == []
    kept.drop("a")
    await asyncio.sleep(2 * SPARE_S)
    assert back == [held.name], "once"
