"""Clients of the overload benchmark: so many at once, or arriving at random times whatever happens.

Nothing here imports Ray, since it runs in a process of its own.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

REQUEST = {
    "messages": [
        {"role": "user", "content": "Summarize 'a short text', then translate the summary into French."}
    ]
}
SEED = 8
AGAIN_S = 0.05
"""When a client that is one of so many asks again after a refusal."""

PATIENCE_S = 60.0


def percentile(values: Sequence[float], part: float) -> float:
    """The value that a part of all are below."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))] if ranked else 0.0


@dataclass
class Phase:
    """What came of a load; times are in seconds, ``began`` and ``ended`` since the epoch.

    Attributes:
        accepted: how long those took that ended well.
        refused: how long those took that were told to come again.
        others: how many were neither, and what the first of them was.
        done: when those ended that ended well.
        late: how much later than they should the clients themselves asked: what the machine does to anybody.

    """

    began: float = field(default_factory=time.time)
    ended: float = 0.0
    asked: int = 0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    others: int = 0
    first: str = ""

    @property
    def goodput(self) -> float:
        """Runs that ended well within the phase, a second."""
        return sum(at <= self.ended for at in self.done) / (self.ended - self.began)

    def told(self) -> dict[str, Any]:
        """The figures that are shown."""
        seconds = self.ended - self.began
        return {
            "asked_per_s": self.asked / seconds,
            "done_per_s": self.goodput,
            "refused_per_s": len(self.refused) / seconds,
            "p50_s": percentile(self.accepted, 0.5),
            "p99_s": percentile(self.accepted, 0.99),
            "refusal_p50_s": percentile(self.refused, 0.5),
            "refusal_p99_s": percentile(self.refused, 0.99),
            "late_p99_s": percentile(self.late, 0.99),
            "others": self.others,
            "first": self.first,
        }


@dataclass(frozen=True)
class Arrivals:
    """A load: ``clients`` at once, or ``rate`` a second at random times where that is given."""

    url: str
    seconds: float
    clients: int = 0
    rate: float = 0.0

    def drive(self) -> Phase:
        """Ask for so long, and wait for the last answer."""
        return asyncio.run(self._drive())

    async def _drive(self) -> Phase:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
        async with httpx2.AsyncClient(base_url=self.url, timeout=PATIENCE_S, limits=limits) as http:
            phase = Phase()
            await (self._open(http, phase) if self.rate else self._closed(http, phase))
        return phase

    async def _closed(self, http: httpx2.AsyncClient, phase: Phase) -> None:
        async def client() -> None:
            while time.time() < phase.began + self.seconds:
                if not await _ask(http, phase):
                    await asyncio.sleep(AGAIN_S)

        phase.ended = phase.began + self.seconds
        await asyncio.gather(*(client() for _ in range(self.clients)))

    async def _open(self, http: httpx2.AsyncClient, phase: Phase) -> None:
        chance = random.Random(SEED)  # noqa: S311
        under_way: set[asyncio.Task[bool]] = set()
        at = phase.began
        while (at := at + chance.expovariate(self.rate)) < phase.began + self.seconds:
            await asyncio.sleep(max(0.0, at - time.time()))
            phase.late.append(time.time() - at)
            asking = asyncio.create_task(_ask(http, phase))
            under_way.add(asking)
            asking.add_done_callback(under_way.discard)
        phase.ended = phase.began + self.seconds
        await asyncio.gather(*under_way)


def closed(url: str, clients: int, seconds: float) -> Arrivals:
    """So many clients, each of which asks anew when it is answered."""
    return Arrivals(url, seconds, clients=clients)


def opened(url: str, rate: float, seconds: float) -> Arrivals:
    """Clients that come at random times, so many a second."""
    return Arrivals(url, seconds, rate=rate)


async def _ask(http: httpx2.AsyncClient, phase: Phase) -> bool:
    """Ask once; whether it ended well."""
    phase.asked += 1
    began = time.perf_counter()
    try:
        answer = await http.post("/v1/runs", json=REQUEST)
    except httpx2.HTTPError as error:
        return _other(phase, repr(error))
    took = time.perf_counter() - began
    if answer.status_code == 429:
        if not answer.headers.get("retry-after", "").isdecimal():
            return _other(phase, "a refusal without Retry-After")
        phase.refused.append(took)
        return False
    if answer.status_code != 200:
        return _other(phase, f"{answer.status_code}: {answer.text[:200]}")
    if any(outcome["status"] != "done" for outcome in answer.json()["run"]["outcomes"]):
        return _other(phase, answer.text[:500])
    phase.accepted.append(took)
    phase.done.append(time.time())
    return True


def _other(phase: Phase, told: str) -> bool:
    phase.others += 1
    phase.first = phase.first or told
    return False
