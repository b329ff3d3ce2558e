"""What the whole product adds to a bare Ray Serve chain: latency, throughput, and the cost of each stage.

The same three trivial experts run (a) as a bare chain, where a minimal Serve deployment passes each response
on as an argument, and (b) through the full HTTP path: proxy, guard, planner, selector, dispatcher, experts,
responder. Rounds of both alternate, so that the ratio holds when the machine's speed drifts.

    python -m benchmarks.chain [--requests N] [--rounds N]
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker, as a proxy would be
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import httpx2
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

from controller.app import install
from controller.server import any_port
from controller.settings import Settings
from deployments import fleet
from deployments.result import Call, Input, Result
from deployments.runners.base import Runner
from model_catalog.card import Figure, ModelCard

TASKS = ("summarization", "translation", "text-classification")
REQUEST = (
    "Summarize 'a short text', translate the summary into French, "
    "then classify the sentiment of the translation."
)
TARGET = 1.5


class Trivial(Runner):
    """The least a model can do."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        """Give back the text."""
        return [Result(text=item.text(), data=[]) for item in inputs]


CARDS = tuple(
    ModelCard(
        id=f"bench/{task}",
        tasks=(task,),
        runner="benchmarks.chain:Trivial",
        downloads=Figure(value=1, date="2026-01"),
    )
    for task in TASKS
)


class Bare:
    """The shortest way through the three experts that Serve allows; called by handle and by HTTP."""

    def __init__(self) -> None:
        self._experts: list[DeploymentHandle] = [
            serve.get_app_handle(fleet.app_name(card)).options(method_name="infer", _by_reference=True)
            for card in CARDS
        ]

    async def chain(self) -> str:
        """Call all three, each with the response before it."""
        upstream: list[Any] = []
        for number, (task, expert) in enumerate(zip(TASKS, self._experts, strict=True)):
            tag = f"<GENERATED>-{number - 1}"
            text = tag if upstream else "a short text"
            call = Call("bare", task, number, {"text": text}, (tag,) if upstream else ())
            upstream = [expert.remote(call, *upstream)]
        result = await upstream[0]
        return str(result.text)

    async def __call__(self, request: Request) -> str:
        """The chain, over HTTP."""
        await request.body()
        return await self.chain()


async def _sequential(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return times


async def _parallel(call: Callable[[], Awaitable[object]], count: int, workers: int) -> float:
    """Requests a second."""
    began = time.perf_counter()
    await asyncio.gather(*(_sequential(call, count // workers) for _ in range(workers)))
    return count / (time.perf_counter() - began)


async def _measure(url: str, requests: int, rounds: int) -> dict[str, Any]:
    bare = serve.get_app_handle("bare").options(method_name="chain")
    stages: list[dict[str, float]] = []
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:

        async def ours() -> None:
            answer = await http.post("/v1/runs", json={"messages": [{"role": "user", "content": REQUEST}]})
            run = answer.raise_for_status().json()["run"]
            assert [outcome["status"] for outcome in run["outcomes"]] == ["done"] * 3, run
            stages.append(run["seconds"])

        async def bare_http() -> None:
            (await http.post("/bare", json={})).raise_for_status()

        async def bare_handle() -> None:
            await bare.remote()

        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "bare chain, by handle": bare_handle,
            "bare chain, by HTTP": bare_http,
            "full HTTP path": ours,
        }
        for way in ways.values():
            await _sequential(way, 20)
        times: dict[str, list[float]] = {name: [] for name in ways}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        stages.clear()
        for _ in range(rounds):
            for name, way in ways.items():
                times[name] += await _sequential(way, requests)
        alone = list(stages)
        for _ in range(rounds):
            for name, way in ways.items():
                rates[name].append(await _parallel(way, requests, 8))
    return {
        "median_ms": {name: round(1000 * statistics.median(values), 2) for name, values in times.items()},
        "per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "stages_ms": {
            stage: round(1000 * statistics.median(run.get(stage, 0.0) for run in alone), 3)
            for stage in alone[0]
        },
    }


def main() -> None:
    """Run the benchmark and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=80, help="requests of each round")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    port = any_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "cards.jsonl"
        own.write_text("".join(card.model_dump_json() + "\n" for card in CARDS), encoding="utf-8")
        settings = Settings(
            port=port,
            data_dir=Path(folder) / "data",
            catalog=own,
            experts=tuple(card.id for card in CARDS),
        )
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            serve.start(
                http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False}
            )
            install(settings)
            bare = serve.deployment(Bare, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
            serve.run(bare.bind(), name="bare", route_prefix="/bare")
            found = asyncio.run(_measure(f"http://127.0.0.1:{port}", options.requests, options.rounds))
        finally:
            serve.shutdown()
            ray.shutdown()
    _print(found)


def _print(found: dict[str, Any]) -> None:
    median, rate = found["median_ms"], found["per_second"]
    print(f"{'chain of three trivial experts':32} {'median ms':>10} {'runs/s at 8':>12}")
    for name in median:
        print(f"{name:32} {median[name]:>10} {rate[name]:>12}")
    print("\nfull HTTP path, by stage (median ms, inside the controller)")
    for stage, value in found["stages_ms"].items():
        print(f"  {stage:30} {value:>10}")
    ratios = {
        f"{kind} against {base}": round(
            median["full HTTP path"] / median[base]
            if kind == "time"
            else rate[base] / rate["full HTTP path"],
            2,
        )
        for kind in ("time", "throughput")
        for base in ("bare chain, by handle", "bare chain, by HTTP")
    }
    print()
    for name, ratio in ratios.items():
        print(f"{name:45} {ratio:>6}   (target: at most {TARGET})")
    print(json.dumps(found | {"ratios": ratios}))


if __name__ == "__main__":
    main()
