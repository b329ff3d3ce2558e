"""What happens when twice as much is asked for as can be done: goodput, refusals, waits, and memory.

Two experts of a chain hold each batch for 200 ms without computing, so that what can be done is bounded by
them and not by this machine. How much that is, is measured before and after with as many clients as keep
both busy; then requests come at random times, whether others have been answered or not: at 80 % of it, and
at twice as much. The clients are in a process of their own; ``late_p99_s`` is how much later than they should
they asked themselves, which is what the machine does to everybody meanwhile.

    python -m benchmarks.overload [--seconds N] [--places N] [--load FACTOR]
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker, as a proxy would be
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import httpx2
import psutil
import ray
from ray import serve

from benchmarks.arrivals import Arrivals, Phase, closed, opened, percentile
from controller.app import install
from controller.server import any_port
from controller.settings import Settings
from deployments.result import Input, Result
from deployments.runners.base import Runner
from model_catalog.card import Figure, ModelCard

TASKS = ("summarization", "translation")
HOLD_S = 0.2

GOODPUT = 0.9
"""What of the peak must still be done at twice of it."""

LATENCY = 3.0
"""How much longer the slowest of a hundred accepted may take than at 80 % load."""

REFUSAL_S = 0.2
"""How long the slowest of a hundred refusals may take: less than one call of an expert."""

MEMORY = 0.05
"""How much more memory the product may hold at the end of the overload than in its first half."""

EVERY_S = 2.0
"""How often it is looked what memory they hold."""

QUIET_S = 10.0
"""How long what is under way may go on when nobody asks any more."""


class Holds(Runner):
    """Takes its time, and nothing else."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        """Give back the texts, after a while."""
        self.stopping.wait(HOLD_S)
        return [Result(text=item.text(), data=[]) for item in inputs]


def cards(places: int) -> list[ModelCard]:
    """The experts of the chain, each of which takes so many calls together."""
    return [
        ModelCard(
            id=f"bench/{task}",
            tasks=(task,),
            runner="benchmarks.overload:Holds",
            batch_size=places,
            downloads=Figure(value=1, date="2026-01"),
        )
        for task in TASKS
    ]


# What is held and left ---------------------------------------------------------------------------------


class Watch:
    """The memory of the product's processes, now and then: to read it takes time itself."""

    def __init__(self) -> None:
        self.found: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.found.append((time.time(), memory()))

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def growth(self, phase: Phase) -> float:
        """By what part the memory grew from the second quarter of a phase to its last."""
        length = phase.ended - phase.began

        def mean(start: float) -> float:
            there = [held for at, held in self.found if start <= (at - phase.began) / length < start + 0.25]
            return sum(there) / max(1, len(there))

        return mean(0.75) / mean(0.25) - 1 if mean(0.25) else 0.0


def replicas() -> Iterator[psutil.Process]:
    """The processes of replicas and proxies that this one has started."""
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith(("ray::ServeReplica", "ray::ProxyActor")):
                yield process
        except psutil.Error:
            continue


def memory() -> int:
    """Bytes that they hold for themselves."""
    total = 0
    for process in replicas():
        try:
            found = process.memory_full_info()
        except psutil.Error:
            continue
        total += int(found.uss)
    return total


def left(url: str) -> int:
    """How many calls and runs are under way: those of the replicas, as Serve counts them, and the runs."""
    count = 0
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["name"].startswith("SERVE_REPLICA::"):
            handle = ray.get_actor(actor["name"], namespace=actor["namespace"])
            count += int(ray.get(handle.get_num_ongoing_requests.remote(), timeout=10))
    runs = httpx2.get(f"{url}/v1/runs?limit=100", timeout=10).raise_for_status().json()["data"]
    return count + [run["state"] for run in runs].count("running")


def quiet(url: str) -> float | None:
    """After how many seconds nothing is under way any more; None where something goes on."""
    began = time.perf_counter()
    while time.perf_counter() - began < QUIET_S:
        if not left(url):
            return time.perf_counter() - began
        time.sleep(0.1)
    return None


# The measurement ---------------------------------------------------------------------------------------


@contextmanager
def _clients() -> Iterator[ProcessPoolExecutor]:
    """A process of their own for the clients, which knows nothing of Ray."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def _measure(url: str, places: int, seconds: float, load: float) -> dict[str, Any]:
    busy = 2 * places * len(TASKS)  # a batch in each expert, and the next one
    watch = Watch()
    with _clients() as clients:

        def drive(arrivals: Arrivals) -> Phase:
            return clients.submit(arrivals.drive).result()

        drive(closed(url, busy, min(10.0, seconds / 2)))  # what a call takes is learnt, and memory is taken
        before = drive(closed(url, busy, seconds / 3))
        rate = before.goodput
        usual = drive(opened(url, 0.8 * rate, seconds))
        over = drive(opened(url, load * rate, seconds))
        rest = quiet(url)
        after = drive(closed(url, busy, seconds / 3))
    watch.close()
    peak = (before.goodput + after.goodput) / 2
    slow, slower = percentile(usual.accepted, 0.99), percentile(over.accepted, 0.99)
    return {
        "peak_before": before.goodput,
        "peak_after": after.goodput,
        "usual": usual.told(),
        "overload": over.told(),
        "ratios": {
            "goodput": over.goodput / peak,
            "p99_of_accepted": slower / slow,
            "p99_of_refusals_s": percentile(over.refused, 0.99),
            "memory_growth": watch.growth(over),
            "quiet_after_s": rest,
            "other_answers": over.others,
        },
    }


def main() -> None:
    """Run the benchmark and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--places", type=int, default=2, help="calls that an expert takes together")
    parser.add_argument("--load", type=float, default=2.0, help="what is asked for, in what can be done")
    options = parser.parse_args()
    port = any_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "cards.jsonl"
        chain = cards(options.places)
        own.write_text("".join(card.model_dump_json() + "\n" for card in chain), encoding="utf-8")
        settings = Settings(
            port=port,
            data_dir=Path(folder) / "data",
            catalog=own,
            experts=tuple(card.id for card in chain),
        )
        ray.init(
            address="local",
            num_cpus=4,
            object_store_memory=200 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            serve.start(
                http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False}
            )
            install(settings)
            found = _measure(f"http://127.0.0.1:{port}", options.places, options.seconds, options.load)
        finally:
            serve.shutdown()
            ray.shutdown()
    _print(found, options.load)


def _print(found: dict[str, Any], load: float) -> None:
    ratios = found["ratios"]
    print(
        f"runs a second that can be done: {found['peak_before']:.1f} before, {found['peak_after']:.1f} after"
    )
    columns = (
        "asked_per_s",
        "done_per_s",
        "refused_per_s",
        "p50_s",
        "p99_s",
        "refusal_p50_s",
        "refusal_p99_s",
        "late_p99_s",
    )
    print(f"\n{'':14}" + "".join(f"{name:>15}" for name in columns))
    for name, row in (("at 0.8 of it", found["usual"]), (f"at {load:g} times", found["overload"])):
        print(f"{name:14}" + "".join(f"{row[column]:>15.3f}" for column in columns))
    rest = ratios["quiet_after_s"]
    print()
    for what, value, target in (
        ("goodput to the peak", f"{ratios['goodput']:.2f}", f"at least {GOODPUT}"),
        ("p99 of the accepted to that at 0.8", f"{ratios['p99_of_accepted']:.2f}", f"at most {LATENCY:g}"),
        ("p99 of refusals, s", f"{ratios['p99_of_refusals_s']:.3f}", f"at most {REFUSAL_S}"),
        ("growth of memory", f"{ratios['memory_growth']:.3f}", f"at most {MEMORY}"),
        ("nothing goes on after, s", "never" if rest is None else f"{rest:.1f}", f"at most {QUIET_S:g}"),
        ("neither done nor refused", str(ratios["other_answers"]), "none"),
    ):
        print(f"{what:40} {value:>8}   (target: {target})")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
