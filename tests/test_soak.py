"""Long proofs: many runs at once while replicas are killed, and memory over many runs."""

import asyncio
import os
import random
import signal
import threading

import httpx2
import psutil
import pytest

from tests.support.cluster import replicas

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

REQUESTS = (
    "Read the text in /examples/sign.png aloud",
    "Show me the edges of /examples/sign.png and tell me what it says",
    "Is this review positive: 'I loved every minute of it, wonderful!'? And read it aloud",
    "How similar are 'a cat sat' and 'the cat is sitting'?",
)


async def _ask(http: httpx2.AsyncClient, text: str) -> dict[str, object]:
    answer = await http.post("/v1/runs", json={"messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


async def _many(url: str, count: int, workers: int) -> list[dict[str, object]]:
    """Runs of every kind, ``workers`` at a time."""
    gate = asyncio.Semaphore(workers)
    async with httpx2.AsyncClient(base_url=url, timeout=180) as http:

        async def one(number: int) -> dict[str, object]:
            async with gate:
                return await _ask(http, REQUESTS[number % len(REQUESTS)])

        return await asyncio.gather(*(one(number) for number in range(count)))


def test_every_run_ends_whole_while_replicas_are_killed(product: str) -> None:
    stop = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        dice = random.Random(7)
        while not stop.wait(6.0):
            victims = replicas(
                dice.choice(("image-to-text", "text-to-speech", "text-classification", "canny"))
            )
            if victims:
                killed.append(victims[0])
                os.kill(victims[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        told = asyncio.run(_many(product, 160, 4))
    finally:
        stop.set()
        killer.join()
    assert len(killed) >= 3
    statuses = []
    for run in told:
        planned = {task["id"] for task in run["plan"]["plan"]}  # type: ignore[index]
        outcomes = run["run"]["outcomes"]  # type: ignore[index]
        assert {outcome["id"] for outcome in outcomes} == planned, "every planned task has an outcome"
        statuses += [outcome["status"] for outcome in outcomes]
        for outcome in outcomes:
            assert outcome["status"] == "done" or outcome["error"]["message"]
    assert statuses.count("done") / len(statuses) > 0.9, "a killed replica costs few tasks"


def test_the_controllers_memory_stays_flat_over_many_runs(product: str) -> None:
    asyncio.run(_many(product, 60, 4))
    (pid,) = replicas("hugginggpt")
    before = psutil.Process(pid).memory_full_info().uss
    asyncio.run(_many(product, 300, 4))
    grown = psutil.Process(pid).memory_full_info().uss - before
    assert grown < 24 << 20, f"the controller grew by {grown} bytes over 300 runs"
