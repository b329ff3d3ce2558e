"""What an expert's deployment costs against the same model called directly, at batches of 1, 8 and 32.

A text classifier with random weights runs (a) directly, in a process of its own, one text at a time in a loop
and in batches, and (b) as an expert: calls on its Serve handle, which the replica makes into batches. Each
side has the CPUs of the expert's card, one by default; the caller and Serve need others. Rounds alternate, so
that the ratio holds when the machine's speed drifts. Beside the throughput stands the CPU time of a text in
the process that holds the model: what else the machine does counts for little there.

    python -m benchmarks.batching [--texts N] [--rounds N] [--cpus N] [--width N]
"""

import argparse
import asyncio
import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker, as a proxy would be
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import psutil
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments import fleet
from deployments.result import Call
from model_catalog.card import ModelCard

TASK = "text-classification"
BATCHES = (1, 8, 32)
WORDS = 126
TARGET = 0.9
TEXT = " ".join(["good"] * WORDS)


def build(folder: Path, width: int, layers: int = 6) -> None:
    """A BERT, ``width`` wide, with random weights."""
    import transformers

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    tokenizer = transformers.BertTokenizer(vocab={token: n for n, token in enumerate(tokens)})
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        intermediate_size=4 * width,
        id2label={0: "bad", 1: "good"},
        label2id={"bad": 0, "good": 1},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Direct:
    """The model in a process of its own, as one would call it without Serve."""

    def __init__(self, folder: str, cpus: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(cpus)
        self._pipeline = transformers.pipeline(TASK, model=folder, device="cpu")
        self.run(8, 1)

    def run(self, texts: int, batch: int) -> float:
        """Texts a second, in batches of ``batch``."""
        began = time.perf_counter()
        for _ in range(texts // batch):
            found = self._pipeline([TEXT] * batch, top_k=None, truncation=True, batch_size=batch)
            assert len(found) == batch
        return texts / (time.perf_counter() - began)

    def pid(self) -> int:
        """The process that holds the model."""
        return os.getpid()


def card(folder: Path, batch: int, cpus: int) -> ModelCard:
    """The expert that takes at most ``batch`` texts at once."""
    name = f"bench/batch-{batch}"
    return ModelCard(id=name, tasks=(TASK,), runner=TASK, path=folder, batch_size=batch, cpus=cpus)


async def _served(handle: DeploymentHandle, texts: int, batch: int) -> float:
    """Texts a second through the deployment, with two batches' worth of calls under way."""
    room = asyncio.Semaphore(2 * batch)

    async def one(number: int) -> None:
        async with room:
            await handle.remote(Call("bench", TASK, number, {"text": TEXT}))

    began = time.perf_counter()
    await asyncio.gather(*map(one, range(texts)))
    return texts / (time.perf_counter() - began)


async def _measure(cards: Mapping[int, ModelCard], texts: int, rounds: int) -> tuple[dict[str, float], ...]:
    cpus = int(cards[1].cpus)
    direct = ray.remote(num_cpus=cpus)(Direct).remote(str(cards[1].path), cpus)
    handles = {
        batch: serve.get_app_handle(fleet.app_name(card)).options(method_name="infer")
        for batch, card in cards.items()
    }
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    plain = psutil.Process(await direct.pid.remote())
    for batch, handle in handles.items():
        await _served(handle, 2 * batch, batch)
        await direct.run.remote(2 * batch, batch)
    for _ in range(rounds):
        for batch, handle in handles.items():
            own = psutil.Process((await handle.options(method_name="figures").remote()).pid)
            for side, process, run in (
                ("direct", plain, direct.run.remote),
                ("expert", own, functools.partial(_served, handle)),
            ):
                before = _cpu_s(process)
                rates.setdefault(f"{side}, batches of {batch}", []).append(await run(texts, batch))
                cost = 1000 * (_cpu_s(process) - before) / texts
                costs.setdefault(f"{side}, batches of {batch}", []).append(cost)
    return tuple(
        {name: round(statistics.median(values), 1) for name, values in found.items()}
        for found in (rates, costs)
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Run the benchmark and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=192, help="texts of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpus", type=int, default=1, help="CPUs, and so threads, of the model on each side")
    parser.add_argument("--width", type=int, default=256, help="width of the model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build(folder, options.width)
        cards = {batch: card(folder, batch, options.cpus) for batch in BATCHES}
        books = (len(cards) + 1) * options.cpus  # they take turns
        ray.init(
            address="local",
            num_cpus=books,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            serve.start(proxy_location="Disabled")
            fleet.deploy(list(cards.values()))
            rates, costs = asyncio.run(_measure(cards, options.texts, options.rounds))
        finally:
            serve.shutdown()
            ray.shutdown()
    _print(rates, costs)


def _print(rates: dict[str, float], costs: dict[str, float]) -> None:
    loop = rates["direct, batches of 1"]
    print(f"one text alone takes {1000 / loop:.1f} ms; texts of {WORDS} words\n")
    print(
        f"{'':12} {'direct/s':>10} {'expert/s':>10} {'to direct batches':>18} {'to a direct loop':>18}"
        f" {'CPU ms/text':>12} {'directly':>9}"
    )
    ratios = {}
    for batch in BATCHES:
        direct, expert = rates[f"direct, batches of {batch}"], rates[f"expert, batches of {batch}"]
        ratios[batch] = {"to batches": round(expert / direct, 2), "to loop": round(expert / loop, 2)}
        told = ratios[batch]
        print(
            f"batch of {batch:<3} {direct:>10} {expert:>10} {told['to batches']:>18} {told['to loop']:>18}"
            f" {costs[f'expert, batches of {batch}']:>12} {costs[f'direct, batches of {batch}']:>9}"
        )
    print(f"\ntarget: at least {TARGET} of the direct batched call")
    print(json.dumps({"texts_per_second": rates, "ratios": ratios, "cpu_ms_per_text": costs}))


if __name__ == "__main__":
    main()
