"""Two experts on one GPU: whether each keeps to its share, and what becomes of one that asks too much."""

import asyncio
import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import shapes
from benchmarks.sides import GIB, MODELS, Plan, Served
from controller.failure import root
from deployments import fleet
from deployments.memory import CONTEXT_BYTES
from deployments.runners.generation import Prompt, Writer
from model_catalog.errors import HuggingGPTError

SHARES = {"chat": 6.0, "sd15": 10.0}
"""GiB of the experts that share a GPU: enough for batches, too little for the longest text."""

TOO_MUCH = {"full": 30_000, "tiny": 500}
"""Rare letters, of four tokens each, of a text that needs more memory than ``SHARES`` gives: 3.7 GiB for its
keys and values and over 5 GiB inside a layer, where 3 are left."""


class Hungry(Writer):
    """A chat model that pretends to run out of GPU memory, to try this script where there is no GPU."""

    def infer(self, items: Sequence[Prompt]) -> list[Any]:
        """See ``NeuralRunner``."""
        import torch

        if any(len(item.ids) > TOO_MUCH["tiny"] for item in items):
            raise torch.OutOfMemoryError("pretended")
        return super().infer(items)


async def share(plan: Plan) -> dict[str, Any]:
    """Two experts on one GPU: each within its share under load, and one that asks too much fails alone."""
    parts = {
        name: 0.3 if plan.total is None else math.ceil(100 * gib * GIB / plan.total) / 100
        for name, gib in SHARES.items()
    }
    before = _used(plan)
    experts = {}
    for name, part in parts.items():
        folder = shapes.made(name, plan.root, plan.size == "full")
        runner = "benchmarks.sharing:Hungry" if name == "chat" and plan.total is None else ""
        experts[name] = Served(name, folder, plan, part, runner)
    try:
        # Serve cannot deploy from two threads at once, so that both are deployed in one go.
        await asyncio.to_thread(fleet.deploy, [expert.card for expert in experts.values()])
        for expert in experts.values():
            expert.connect()
            await expert.run(range(2))
        alone = {name: (await expert.run(plan.numbers(MODELS[name])))[0] for name, expert in experts.items()}
        busy = await _both(experts, plan)
        first = {name: await expert.figures() for name, expert in experts.items()}
        during = _used(plan)
        refusal, neighbour = await _too_much(experts, plan)
        answer = await experts["chat"].call(1)
        last = {name: await expert.figures() for name, expert in experts.items()}
    finally:
        for expert in experts.values():
            await expert.close()
    found: dict[str, Any] = {
        "shares": parts,
        "alone": {name: round(rate * plan.each(name), 3) for name, rate in alone.items()},
        "at_once": {name: round(rate * plan.each(name), 3) for name, rate in busy.items()},
        "peak_gib": {name: round(told.peak_bytes / GIB, 2) for name, told in last.items()},
        "refusal": refusal,
    }
    checks = {
        "the input that needs more than the share is told so": "out of GPU memory" in refusal,
        "the next call is answered": bool(answer),
        # A replica's time of loading is its own to the nanosecond.
        "by the same replicas": all(first[name].load_s == last[name].load_s for name in experts),
        "the neighbour's calls are all answered meanwhile": neighbour,
    }
    if plan.total is not None and before is not None and during is not None:
        limits = {name: part * plan.total for name, part in parts.items()}
        found["limit_gib"] = {name: round(limit / GIB, 2) for name, limit in limits.items()}
        found["whole_gpu_gib"] = round((during - before) / GIB, 2)
        checks["each keeps to its share"] = all(
            last[name].peak_bytes + CONTEXT_BYTES <= limit for name, limit in limits.items()
        )
        checks["the whole GPU gives no more than both shares"] = during - before <= sum(limits.values())
    return {**found, "checks": checks}


async def _both(experts: dict[str, Served], plan: Plan) -> dict[str, float]:
    """The rates of experts that work at the same time, each until the others have done a round too."""
    rates: dict[str, list[float]] = {name: [] for name in experts}

    async def work(name: str) -> None:
        while not rates[name] or not all(rates.values()):
            rates[name].append((await experts[name].run(plan.numbers(MODELS[name])))[0])

    await asyncio.gather(*map(work, experts))
    # The last round of the quicker one goes on when the other has ended.
    return {name: statistics.median(several[:-1] or several) for name, several in rates.items()}


async def _too_much(experts: dict[str, Served], plan: Plan) -> tuple[str, bool]:
    """What a call says that needs more than its expert's share, and whether the neighbour's are answered."""
    numbers = plan.numbers(MODELS["sd15"])
    working = asyncio.create_task(experts["sd15"].run(numbers))
    try:
        await experts["chat"].call(0, "\N{GOTHIC LETTER HWAIR}" * TOO_MUCH[plan.size])
        told = "it was answered"
    except Exception as error:
        cause = root(error)
        told = cause.message if isinstance(cause, HuggingGPTError) else f"{type(cause).__name__}: {cause}"
    rate, pictures = await working
    return told, rate > 0 and len(pictures) > 0


def _used(plan: Plan) -> int | None:
    """Bytes of the GPU that are taken, by whomever."""
    if plan.total is None:
        return None
    import torch

    free, total = torch.cuda.mem_get_info(0)
    return int(total - free)
