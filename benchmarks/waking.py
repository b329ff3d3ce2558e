"""How long a model takes to wake: ours on a fresh node, ours after sleep, and a plain Serve deployment.

The model is a text classifier with random weights, of 500 MB by default. Each start begins with none of the
weights in the kernel's cache, as far as the kernel can be told so, and ends with the first answer. Plain is a
deployment that imports transformers, loads the model with ``from_pretrained`` and answers. Rounds alternate.

    python -m benchmarks.waking [--rounds N] [--megabytes N] [--folder DIR] [--experts N]

The folder must lie on a disk. A second table tells the memory of several experts at once, with processes of
their own that are forked, and with such as import everything themselves.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import psutil
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from benchmarks.batching import TASK, build
from deployments import apart, fleet, forking, zygote
from deployments.result import Call
from deployments.runners.registry import resolve
from model_catalog.card import ModelCard

STEPS = ("serve", "process", "imports", "weights", "warm-up", "total", "MB from disk")
STARTS = ("plain", "ours, first on a node", "ours, after sleep")
TEXT = "good bad good"


class Plain:
    """The model as a plain deployment would have it."""

    def __init__(self, folder: str) -> None:
        began = time.monotonic()
        import transformers

        pipeline = transformers.pipeline  # what is imported only when it is used
        auto = transformers.AutoModelForSequenceClassification
        imported = time.monotonic()
        model = auto.from_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._pipeline = pipeline(TASK, model=model, tokenizer=tokenizer, device="cpu")
        self._times = {"imports": imported - began, "weights": time.monotonic() - imported}

    def infer(self, text: str) -> dict[str, Any]:
        """An answer, and how the start went."""
        began = time.monotonic()
        assert self._pipeline(text)
        return {**self._times, "warm-up": time.monotonic() - began, "MB from disk": _read_mb(os.getpid())}


def _read_mb(pid: int) -> float:
    """What a process has read from disks, in MB."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "read_bytes":
            return int(value) / 1e6
    raise LookupError("the kernel does not tell what a process reads")


def forget(folder: Path) -> None:
    """Have the kernel drop the folder's files from its cache, unless somebody holds them."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def card(folder: Path, number: int = 0) -> ModelCard:
    """The expert; each start has a name of its own, since handles remember what is gone."""
    return ModelCard(id=f"bench/waking-{number}", tasks=(TASK,), runner=TASK, path=folder, cpus=1)


def _begun(targets: Sequence[serve.RunTarget]) -> DeploymentHandle:
    """Have an application started; calls on its handle wait until a replica is ready."""
    (handle,) = serve.run_many(targets, wait_for_applications_running=False)
    return handle


async def _plain(folder: Path, number: int) -> dict[str, float]:
    name = f"plain-{number}"
    deployment = serve.deployment(Plain, name=name, ray_actor_options={"num_cpus": 1})
    target = serve.RunTarget(deployment.bind(str(folder)), name=name, route_prefix=None)
    began = time.monotonic()
    handle = _begun([target])
    found: dict[str, float] = await handle.infer.remote(TEXT)
    total = time.monotonic() - began
    serve.delete(name)
    known = found["imports"] + found["weights"] + found["warm-up"]
    return {**found, "process": 0.0, "serve": total - known, "total": total}


async def _ours(folder: Path, number: int) -> dict[str, float]:
    expert = card(folder, number)
    targets = fleet.targets([expert])
    began = time.monotonic()
    handle = _begun(targets)
    await handle.infer.remote(Call("bench", TASK, 0, {"text": TEXT}))
    total = time.monotonic() - began
    found = await handle.figures.remote()
    read = _read_mb(found.pid)
    serve.delete(fleet.app_name(expert))
    return {
        "serve": total - found.ready_s,
        "process": found.start_s,
        "imports": found.import_s,
        "weights": found.load_s,
        "warm-up": found.warm_s,
        "total": total,
        "MB from disk": read,
    }


async def _measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    told: dict[str, list[dict[str, float]]] = {name: [] for name in STARTS}
    numbers = itertools.count()
    for number in range(rounds):
        _end_zygote()
        for name, start in zip(STARTS, (_plain, _ours, _ours), strict=True):
            forget(folder)
            took = await start(folder, next(numbers))
            told[name].append(took)
            print(f"round {number + 1}, {name}: {took['total']:.2f} s", flush=True)
    return {
        name: {step: statistics.median(took[step] for took in all_) for step in STEPS}
        for name, all_ in told.items()
    }


def _end_zygote() -> None:
    """The state of a node that has had no model yet."""
    if (found := zygote.figures()) is not None:
        zygote.stop()
        psutil.wait_procs([psutil.Process(found["pid"])] if psutil.pid_exists(found["pid"]) else [], 20)


# Memory ------------------------------------------------------------------------------------------------


def _memory(folder: Path, experts: int) -> dict[str, float]:
    """MB of all processes of some experts, each page counted once."""
    found = {}
    for name, place in (("forked", _nothing), ("started one by one", _unforked)):
        with place():
            places = [_placed(folder) for _ in range(experts)]
            pids = [place.loaded.pid for place in places]
            zygotes = zygote.figures() if name == "forked" else None
            found[name] = sum(map(_pss_mb, [*pids, *([zygotes["pid"]] if zygotes else [])]))
            for each in places:
                each.close()
    return found


def _placed(folder: Path) -> apart.Apart:
    found = apart.Apart(resolve(TASK)(), TASK, card(folder))
    found.load(None)
    return found


def _pss_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / 1e6


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _unforked() -> Iterator[None]:
    """Without a zygote for a while."""
    before: Callable[..., zygote.Birth] = zygote.fork

    def refuse(*_: Any) -> zygote.Birth:
        raise zygote.Unavailable("told so by the benchmark")

    setattr(zygote, "fork", refuse)  # noqa: B010 - as a test would
    try:
        yield
    finally:
        setattr(zygote, "fork", before)  # noqa: B010


# -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Run the benchmark and print its tables, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=500, help="of weights")
    parser.add_argument("--folder", type=Path, help="where the model is built, on a disk")
    parser.add_argument("--experts", type=int, default=0, help="experts whose memory is told; 0 for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        build(folder, 1024, layers=max(1, round(options.megabytes / 50.4)))
        ray.init(
            address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
        try:
            serve.start(proxy_location="Disabled")
            starts = asyncio.run(_measure(folder, options.rounds))
        finally:
            serve.shutdown()
            ray.shutdown()
        tiny = folder / "tiny"
        build(tiny, 64)
        memory = _memory(tiny, options.experts) if options.experts else {}
    _print(starts, memory, options.experts)


def _print(starts: dict[str, dict[str, float]], memory: dict[str, float], experts: int) -> None:
    print(f"\n{'seconds':24}" + "".join(f"{step:>14}" for step in STEPS))
    for name, took in starts.items():
        print(f"{name:24}" + "".join(f"{took[step]:>14.2f}" for step in STEPS))
    for name, megabytes in memory.items():
        print(f"{experts} experts, {name}: {megabytes:.0f} MB")
    print(json.dumps({"starts": starts, "memory": memory, "modules": len(forking.MODULES)}))


if __name__ == "__main__":
    main()
