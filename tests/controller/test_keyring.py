"""The keyring: which keys are good, how soon it learns, and what it asks for it."""

import asyncio

import pytest

from controller.errors import KeysError
from controller.failure import patience
from controller.keyring import ANEW_S, ANSWER_S, RENEW_S, STALE_S, Keyring
from deployments.errors import HistoryError
from deployments.history.ring import Key, Ring, fresh_id, fresh_token, id_of
from tests.support.fakes import virtual


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Keeper:
    """Keeps keys, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.asked = 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.fails = 0

    async def ring(self) -> Ring:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None or self.asked <= self.fails:
            raise self.error or HistoryError("its replica died")
        return Ring(dict(self.keys), b"s" * 32)

    def add(self, expires: float | None = None) -> str:
        number = fresh_id()
        token, digest = fresh_token(number)
        self.keys[number] = Key(number, "k", digest, frozenset({"run"}), expires=expires)
        return token


def _ring() -> tuple[Keyring, Keeper, Clock]:
    keeper, clock = Keeper(), Clock()
    return Keyring(keeper, clock, clock), keeper, clock


async def test_a_key_is_known_by_its_token_alone() -> None:
    ring, keeper, _ = _ring()
    token, other = keeper.add(), keeper.add()
    key = await ring.key(token)
    assert key is not None
    assert key.id == id_of(token)
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    mixed = f"{token[:21]}{other[21:]}"
    for wrong in (forged, mixed, "", "hgp_", "x" * 500, f" {token}", f"{token}\n", token.upper(), key.digest,
                  f"hgp_{key.id}_{key.digest[:48]}", f"hgp_{key.id}_"):  # fmt: skip
        assert await ring.key(wrong) is None
    assert keeper.asked == 1


async def test_a_key_ends_at_its_end() -> None:
    ring, keeper, clock = _ring()
    token = keeper.add(expires=clock.now + 2)
    assert await ring.key(token) is not None
    clock.now += 2
    assert await ring.key(token) is None


async def test_a_revoked_key_is_refused_within_seconds_and_a_new_one_known() -> None:
    ring, keeper, clock = _ring()
    token = keeper.add()
    assert await ring.key(token) is not None
    keeper.keys.clear()
    clock.now += STALE_S + 0.1
    assert await ring.key(token) is None
    fresh = keeper.add()
    clock.now += ANEW_S + 0.1
    assert await ring.key(fresh) is not None


async def test_tokens_of_strangers_cost_one_question_a_second() -> None:
    ring, keeper, clock = _ring()
    for _ in range(100):
        assert await ring.key(fresh_token(fresh_id())[0]) is None
    assert keeper.asked == 1
    for _ in range(10):
        clock.now += ANEW_S / 2
        for _ in range(20):
            assert await ring.key(fresh_token(fresh_id())[0]) is None
    assert keeper.asked <= 6
    before = keeper.asked
    for _ in range(10):
        assert await ring.key("hgp_nothing") is None
    clock.now += 100
    assert await ring.key("hgp_nothing") is None, "what is no token is not even looked up"
    assert keeper.asked == before


async def test_many_at_once_ask_once_and_none_waits_while_the_answer_is_young() -> None:
    ring, keeper, clock = _ring()
    token = keeper.add()
    keeper.gate = asyncio.Event()
    asking = [asyncio.create_task(ring.key(token)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # whoever goes away takes nobody's answer along
    keeper.gate.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert all(isinstance(key, Key) for key in told[1:])
    assert keeper.asked == 1
    keeper.gate = asyncio.Event()
    clock.now += RENEW_S + 0.1
    assert await ring.key(token) is not None
    await asyncio.sleep(0)
    assert keeper.asked == 2, "it is being asked meanwhile"
    assert await ring.key(token) is not None
    assert keeper.asked == 2
    keeper.gate.set()


@virtual
async def test_nobody_passes_while_nobody_tells() -> None:
    ring, keeper, clock = _ring()
    token = keeper.add()
    keeper.error = HistoryError("the database is away")
    with pytest.raises(KeysError) as refused:
        await ring.key(token)
    assert patience(refused.value) == {"retry-after": "5"}
    keeper.error, keeper.gate = None, asyncio.Event()  # never set: it hangs
    begun = asyncio.get_running_loop().time()
    with pytest.raises(KeysError):
        await ring.key(token)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(ANSWER_S, abs=0.5)
    keeper.gate = None
    assert await ring.key(token) is not None
    keeper.error = HistoryError("away again")
    clock.now += STALE_S - 0.1
    assert await ring.key(token) is not None, "the last answer still counts"
    clock.now += 0.2
    with pytest.raises(KeysError):
        await ring.key(token)
    with pytest.raises(KeysError):
        await ring.signer()


@virtual
async def test_one_failure_is_gone_over() -> None:
    ring, keeper, _ = _ring()
    token = keeper.add()
    keeper.fails = 2
    assert await ring.key(token) is not None
    assert keeper.asked == 3


def test_nothing_secret_is_shown() -> None:
    keeper = Keeper()
    token = keeper.add()
    (key,) = keeper.keys.values()
    ring = Ring(keeper.keys, b"very secret")
    assert key.digest not in repr(key) + repr(ring)
    assert "very secret" not in repr(ring)
    assert token[21:] not in repr(ring)
