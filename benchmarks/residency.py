"""What the fleet gains over Serve's own autoscaling where there are more experts than GPUs have room for.

The same load goes to the same experts twice in one run: as members of the fleet, which is woken by leases
and evicts by last use, and as plain Serve applications that scale between zero and one replica. Twelve
experts take 0.4 of a GPU and three a whole one; there are two logical GPUs. People come one after the other,
most of them for the same few experts, and ask five times each. An expert takes half a second to load, and
50 ms for a call, without computing. Then: how soon a third expert answers where two hold the GPUs, and what
200 idle experts cost.

    python -m benchmarks.residency [--people N] [--idle N]
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker, as a proxy would be
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import psutil
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from controller.members import Members
from deployments import fleet, membership
from deployments.result import Call, Input, Result
from deployments.runners.base import Runner
from deployments.standing import Standing
from model_catalog.card import ModelCard

LOAD_S, CALL_S = 0.5, 0.05
TURNS = 5
SKEW = 1.2
IDLE_S = 5.0
"""After how long without a call plain Serve ends a replica: as short as people's pauses allow."""

TARGETS = {"p99": 0.5, "p50": 1.2, "controller": 10.0, "third": 2.0}


class Loads(Runner):
    """Loads and answers in the time it is told, without computing."""

    def load(self, card: ModelCard, device: str) -> None:
        """Take the time of a small model."""
        super().load(card, device)
        time.sleep(LOAD_S)

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        """Take the time of a call."""
        time.sleep(CALL_S)
        return [Result(text="done", data=[]) for _ in inputs]


class Plain:
    """The same as a plain Serve deployment."""

    def __init__(self) -> None:
        time.sleep(LOAD_S)

    async def infer(self) -> str:
        """Take the time of a call."""
        await asyncio.sleep(CALL_S)
        return "done"


@dataclass(frozen=True)
class Person:
    """Somebody who asks one expert a few times, from ``start`` on."""

    start: float
    expert: int


def people(count: int, experts: int, pause: float, seed: int = 7) -> list[Person]:
    """Who comes when and asks for what: a few experts are popular, most are not."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    order = list(range(experts))
    chance.shuffle(order)
    weights = [1 / rank**SKEW for rank in range(1, experts + 1)]
    starts = accumulate(chance.expovariate(1 / pause) for _ in range(count))
    return [Person(start, chance.choices(order, weights)[0]) for start in starts]


class Load:
    """Brings the load, from inside the cluster as a controller does."""

    async def fleet(self, cards: Sequence[ModelCard], load: Sequence[Person]) -> list[float]:
        """Every call's time by leases."""
        members = Members()

        async def call(number: int) -> None:
            card = cards[number]
            async with members.lease(card, time.time() + 300, time.time() + 300):
                await members.handle(card).remote(Call("bench", card.tasks[0], 0, {"text": "x"}))

        return await _driven(load, call)

    async def plain(self, names: Sequence[str], load: Sequence[Person]) -> list[float]:
        """Every call's time by plain handles."""
        handles: list[DeploymentHandle] = [
            await asyncio.to_thread(serve.get_app_handle, name) for name in names
        ]

        async def call(number: int) -> None:
            await handles[number].infer.remote()

        return await _driven(load, call)


async def _driven(load: Sequence[Person], call: Any) -> list[float]:
    began = time.perf_counter()
    times: list[float] = []

    async def ask(person: Person) -> None:
        await asyncio.sleep(max(0.0, began + person.start - time.perf_counter()))
        for _ in range(TURNS):
            since = time.perf_counter()
            await call(person.expert)
            times.append(time.perf_counter() - since)

    await asyncio.gather(*map(ask, load))
    return times


def _cards(shares: Sequence[float], name: str = "expert") -> list[ModelCard]:
    return [
        ModelCard(
            id=f"bench/{name}-{number}", tasks=("fill-mask",), runner="benchmarks.residency:Loads", gpu=share
        )
        for number, share in enumerate(shares)
    ]


def _keeper(cards: Sequence[ModelCard], folder: str) -> DeploymentHandle:
    began = time.perf_counter()
    app = membership.keeper_app(cards, folder)
    failed = fleet.run([serve.RunTarget(app, name=fleet.KEEPER, route_prefix=None)])
    assert not failed, failed
    print(f"  a fleet of {len(cards)} experts is set up after {time.perf_counter() - began:.1f} s")
    return serve.get_app_handle(fleet.KEEPER)


def _figures(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "longest": round(max(times), 2)}


def loaded(count: int, pause: float, folder: str) -> dict[str, Any]:
    """The load on both."""
    cards = _cards([0.4] * 12 + [1.0] * 3)
    load = people(count, len(cards), pause)
    driver: Any = serve.run(
        serve.deployment(Load, ray_actor_options={"num_cpus": 0}).bind(), name="load", route_prefix=None
    )
    keeper = _keeper(cards, folder)
    ours = driver.fleet.remote(cards, load).result()
    standings: list[Standing] = keeper.standings.remote().result()
    for standing in standings:
        keeper.remove.remote(standing.card.id).result()
    serve.delete(fleet.KEEPER)
    _until_gone("fill-mask")
    plain = serve.deployment(
        Plain,
        max_ongoing_requests=100,
        autoscaling_config={
            "min_replicas": 0,
            "initial_replicas": 0,
            "max_replicas": 1,
            "downscale_delay_s": IDLE_S,
            "look_back_period_s": 1.0,
            "metrics_interval_s": 0.5,
        },
        graceful_shutdown_wait_loop_s=0.1,
    )
    names = [f"plain-{number}" for number in range(len(cards))]
    fleet.run([
        serve.RunTarget(
            plain.options(ray_actor_options={"num_cpus": 0, "num_gpus": card.gpu}).bind(),
            name=name,
            route_prefix=None,
        )
        for name, card in zip(names, cards, strict=True)
    ])  # fmt: skip
    theirs = driver.plain.remote(names, load).result()
    for name in [*names, "load"]:
        serve.delete(name)
    calls = len(load) * TURNS
    assert len(ours) == len(theirs) == calls, "every request is answered"
    hits = sum(standing.hits for standing in standings)
    wakes = sum(standing.wakes for standing in standings)
    return {
        "calls": calls,
        "fleet": _figures(ours),
        "plain": _figures(theirs),
        "hit_rate": round(hits / calls, 3),
        "wakes": wakes,
        "evictions": wakes - sum(standing.awake for standing in standings),
    }


def third(folder: str) -> dict[str, float]:
    """The seconds until an expert is awake: with a free GPU, and where another has to leave for it."""
    cards = _cards([1.0] * 3, "whole")
    keeper = _keeper(cards, folder)
    took = []
    for card in cards:
        began = time.perf_counter()
        keeper.wake.remote(card.id).result()
        took.append(time.perf_counter() - began)
    for card in cards:
        keeper.remove.remote(card.id).result()
    serve.delete(fleet.KEEPER)
    _until_gone("fill-mask")
    return {"free_s": round(statistics.mean(took[:2]), 2), "taken_s": round(took[2], 2)}


def idle(count: int, seconds: float, folder: str) -> dict[str, Any]:
    """What many idle experts cost, and waking one, beside as many applications at zero replicas."""
    empty = _rest(seconds)
    cards = _cards([0.4] * count, "idle")
    began = time.perf_counter()
    keeper = _keeper(cards, folder)
    setup = time.perf_counter() - began
    rest = _rest(seconds)
    began = time.perf_counter()
    keeper.wake.remote(cards[-1].id).result()
    woke = time.perf_counter() - began - LOAD_S
    keeper.remove.remote(cards[-1].id).result()
    serve.delete(fleet.KEEPER)
    _until_gone("fill-mask")
    plain = serve.deployment(
        Plain,
        autoscaling_config={"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1},
        ray_actor_options={"num_cpus": 0, "num_gpus": 0.4},
    )
    began = time.perf_counter()
    fleet.run([serve.RunTarget(plain.bind(), name=f"z{n}", route_prefix=None) for n in range(count)])
    theirs = time.perf_counter() - began
    theirs_rest = _rest(seconds)
    began = time.perf_counter()
    serve.get_app_handle("z0").infer.remote().result()
    theirs_woke = time.perf_counter() - began - LOAD_S
    return {
        "fleet": {"setup_s": round(setup, 1), "wake_s": round(woke, 2), **rest},
        "plain": {"setup_s": round(theirs, 1), "wake_s": round(theirs_woke, 2), **theirs_rest},
        "empty": empty,
    }


def _rest(seconds: float) -> dict[str, float]:
    """The share of a core, and the MiB, that Serve's controller and the keeper take while nothing happens."""
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(name in " ".join(process.info["cmdline"] or []) for name in ("ServeController", ":keeper:"))
    ]
    before = [process.cpu_times() for process in found]
    time.sleep(seconds)
    after = [process.cpu_times() for process in found]
    spent = sum(b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True))
    memory = sum(process.memory_info().rss for process in found)
    return {"core_percent": round(100 * spent / seconds, 1), "rss_mib": memory >> 20}


def _until_gone(prefix: str) -> None:
    late = time.monotonic() + 60
    while any(name.startswith(prefix) for name in fleet.status()) and time.monotonic() < late:
        time.sleep(0.5)


def main() -> None:
    """Run the benchmark and print its tables, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=100, help="who asks five times each")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two of them")
    parser.add_argument("--idle", type=int, default=200, help="how many idle experts are weighed")
    parser.add_argument("--rest", type=float, default=20.0, help="for how many seconds")
    options = parser.parse_args()
    ray.init(
        address="local", num_cpus=8, num_gpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR",
    )  # fmt: skip
    try:
        serve.start(
            proxy_location="Disabled", logging_config={"enable_access_log": False, "log_level": "ERROR"}
        )
        found: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            found["load"] = loaded(options.people, options.pause, f"{folder}/load")
            found["third"] = third(f"{folder}/third")
            found["idle"] = idle(options.idle, options.rest, f"{folder}/idle")
    finally:
        serve.shutdown()
        ray.shutdown()
    _print(found, options.idle)


def _print(found: dict[str, Any], idle_experts: int) -> None:
    load, idle_ones = found["load"], found["idle"]
    print(f"\n{load['calls']} calls of 15 experts on 2 GPUs   {'p50 s':>8} {'p99 s':>8} {'longest':>8}")
    for name in ("fleet", "plain"):
        row = load[name]
        print(f"  {name:37} {row['p50']:>8} {row['p99']:>8} {row['longest']:>8}")
    p50 = load["fleet"]["p50"] / load["plain"]["p50"]
    p99 = load["fleet"]["p99"] / load["plain"]["p99"]
    print(f"  fleet to plain: p50 {p50:.2f} (target: at most {TARGETS['p50']}), ", end="")
    print(f"p99 {p99:.2f} (target: at most {TARGETS['p99']})")
    print(f"  hit rate {load['hit_rate']}, {load['wakes']} wakes, {load['evictions']} evictions")
    free, taken = found["third"]["free_s"], found["third"]["taken_s"]
    print(
        f"\nto wake an expert: {free} s where a GPU is free, {taken} s where an idle one has to leave for it"
    )
    print(f"  {taken - free:.2f} s longer (target: at most {TARGETS['third']})")
    print(f"\n{idle_experts} idle experts   {'set up s':>9} {'core %':>8} {'MiB':>6} {'wake s':>8}")
    for name in ("fleet", "plain"):
        row = idle_ones[name]
        print(
            f"  {name:16} {row['setup_s']:>9} {row['core_percent']:>8} {row['rss_mib']:>6} {row['wake_s']:>8}"
        )
    print(f"  {'none':16} {'':>9} {idle_ones['empty']['core_percent']:>8} {idle_ones['empty']['rss_mib']:>6}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
