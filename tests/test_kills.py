"""Deployments are killed in mid-run: every run ends with an answer, an error, or as interrupted.

What was acknowledged is in the database, what was interrupted can be repeated, and the database and the files
agree.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.cluster import replicas

ENDED = frozenset({"done", "failed", "cancelled", "interrupted"})
VICTIMS = ("hugginggpt", "artifacts", "history")

REQUESTS = (
    "Read the text in /examples/sign.png aloud",
    "Show me the edges of /examples/sign.png and tell me what it says",
    "Is this review positive: 'I loved every minute of it, wonderful!'? And read it aloud",
)

BACK_S = 60.0
"""How long a killed deployment may take to be back."""


@dataclass
class Round:
    """What clients were told while something was killed.

    Attributes:
        acknowledged: runs that were taken on, by a 202 or by a whole answer.
        answers: those that were answered, and with what.
        errors: what clients were told that got no answer.

    """

    acknowledged: set[str] = field(default_factory=set)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


async def _ask(http: httpx2.AsyncClient, text: str, told: Round, background: bool) -> None:
    body = {"messages": [{"role": "user", "content": text}], "background": background}
    try:
        answer = await http.post("/v1/runs", json=body)
    except httpx2.HTTPError as error:  # the connection broke with the ingress, which the client sees at once
        told.errors.append(type(error).__name__)
        return
    if answer.is_success:
        run = answer.headers["location"].rpartition("/")[2]
        told.acknowledged.add(run)
        if not background:
            told.answers[run] = answer.json()
    else:
        assert answer.text, "an error says what happened"
        told.errors.append(answer.text)


def _kill(name: str) -> None:
    pids = replicas(name)
    assert pids, f"{name} runs"
    os.kill(pids[0], signal.SIGKILL)


async def _round(http: httpx2.AsyncClient, dice: random.Random, victim: str) -> Round:
    """Some runs, and a kill at random in their midst."""
    told = Round()
    asking = [
        asyncio.create_task(_ask(http, dice.choice(REQUESTS), told, background=bool(number % 2)))
        for number in range(4)
    ]
    await asyncio.sleep(dice.uniform(0.0, 0.4))  # at random, which is the point
    await asyncio.to_thread(_kill, victim)
    await asyncio.gather(*asking)
    return told


async def _view(http: httpx2.AsyncClient, run: str) -> dict[str, Any]:
    """A run once it has ended; the server may be coming back."""
    until = time.monotonic() + BACK_S
    while True:
        answer = None
        with suppress(httpx2.HTTPError):
            answer = await http.get(f"/v1/runs/{run}")
        if answer is not None and answer.status_code < 500:
            assert answer.status_code == 200, f"an acknowledged run is lost: {answer.text}"
            view: dict[str, Any] = answer.json()
            if view["state"] in ENDED:
                return view
        assert time.monotonic() < until, f"{run} has no end: {answer and answer.text}"
        await asyncio.sleep(0.1)


async def _ready(http: httpx2.AsyncClient) -> None:
    """Wait until a whole request with files is answered and kept again."""
    until = time.monotonic() + BACK_S
    while True:
        with suppress(httpx2.HTTPError):
            answer = await http.post(
                "/v1/runs", json={"messages": [{"role": "user", "content": REQUESTS[0]}]}
            )
            if answer.is_success and answer.json()["run"]["outcomes"][-1]["status"] == "done":
                assert not answer.json()["run"]["notes"]
                return
        assert time.monotonic() < until, "the server does not come back"
        await asyncio.sleep(0.1)


async def _check(http: httpx2.AsyncClient, told: Round) -> None:
    """Each run ended as it may, and what it made is there."""
    for run in told.acknowledged:
        view = await _view(http, run)
        if run in told.answers and not told.answers[run]["run"]["notes"]:
            assert view["state"] == "done"
            assert view["answer"] == told.answers[run]["run"]["answer"]
        if view["state"] == "done":
            assert {outcome["id"] for outcome in view["outcomes"]} == {task["id"] for task in view["plan"]}
        else:
            assert view["error"]["message"]
        for outcome in view["outcomes"]:
            assert outcome["status"] == "done" or outcome["error"]["message"]
            for artifact in outcome["artifacts"]:
                file = await http.get(artifact["path"])
                assert (file.status_code, len(file.content)) == (200, artifact["size"])
        events = (await http.get(f"/v1/runs/{run}/events")).text
        numbers = [int(line[4:]) for line in events.splitlines() if line.startswith("id: ")]
        assert numbers == list(range(len(numbers)))
        if view["state"] == "interrupted":
            again = await http.post(f"/v1/runs/{run}/repeat", json={"background": False})
            assert again.status_code == 200, again.text
            repeated = await http.get(again.headers["location"])
            assert (repeated.json()["state"], repeated.json()["repeats"]) == ("done", run)


def _agree(data: Path) -> None:
    """Look into the database itself: it is whole, and every run has an end."""
    with closing(sqlite3.connect(data / "history.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        running = database.execute("SELECT id FROM runs WHERE state = 'running'").fetchall()
        assert running == []
        unplanned = (
            "SELECT run FROM artifacts WHERE NOT EXISTS "
            "(SELECT 1 FROM tasks WHERE tasks.run = artifacts.run AND tasks.id = artifacts.task)"
        )
        assert database.execute(unplanned).fetchall() == []


async def _rounds(url: str, data: Path, count: int, seed: int) -> None:
    dice = random.Random(seed)
    async with httpx2.AsyncClient(base_url=url, timeout=BACK_S) as http:
        await _ready(http)
        for number in range(count):
            victim = VICTIMS[number % len(VICTIMS)]
            told = await _round(http, dice, victim)
            assert len(told.acknowledged) + len(told.errors) == 4
            if victim != "hugginggpt":  # the ingress waits for the others, and answers all the same
                assert told.errors == []
                assert [run for run in told.answers.values() if run["run"]["notes"]] == []
            await _ready(http)
            await _check(http, told)
        await asyncio.to_thread(_agree, data)


def test_every_run_ends_whatever_is_killed(product: str, home: Path) -> None:
    asyncio.run(_rounds(product, home / "artifacts", 5, seed=8))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_every_run_ends_whatever_is_killed_fifty_times(product: str, home: Path) -> None:
    asyncio.run(_rounds(product, home / "artifacts", 50, seed=random.randrange(1 << 30)))
