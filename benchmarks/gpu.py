"""Experts on a GPU against plain diffusers and transformers, and two experts that share one GPU.

Models of the shapes of Stable Diffusion 1.5, Stable Diffusion XL, Whisper large-v3 and Llama 3.2 1B, with
random weights, in half precision. Each runs as an expert, called through its Serve handle with two batches'
worth of calls under way, and plainly, in batches of the same size in a process of its own on the same GPU.
Where both fit, both are held at once and rounds alternate; else one runs after the other.

``share`` puts two experts on one GPU under load at once and looks whether each keeps to its share, and
whether an input that needs more than the share fails alone.

    python -m benchmarks.gpu [--size full|tiny] [--models sd15,sdxl,whisper,chat,share] [--rounds N]
                             [--images N] [--batch N] [--steps N] [--folder DIR] [--json FILE]

``--size tiny`` runs everything on the CPU with a GPU that exists in Ray's books only: it shows that the
script runs, and its figures mean nothing. Ends with 2 where ``full`` finds no GPU, and with 1 where something
failed.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Virtual machines may grow their memory as it is used; Ray would take them for full and end the models.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import ray
from ray import serve

from benchmarks import shapes
from benchmarks.plain import Answers, agreeing
from benchmarks.sharing import share
from benchmarks.sides import GIB, MODELS, Direct, Plan, Served
from controller.failure import root
from deployments.figures import Figures

TARGET = 0.9
SHARE = "share"

Side = Served | Direct


async def compare(name: str, plan: Plan) -> dict[str, Any]:
    """A model as an expert and plainly."""
    model, folder = MODELS[name], shapes.made(name, plan.root, plan.size == "full")
    together = plan.total is None or 2 * model.need * GIB <= plan.total
    share = 0.45 if together else 0.9
    makers: dict[str, Callable[[], Side]] = {
        "expert": lambda: Served(name, folder, plan, share),
        "plain": lambda: Direct(name, folder, plan, share),
    }
    rates: dict[str, list[float]] = {side: [] for side in makers}
    answers: dict[str, Answers] = {}
    figures: dict[str, Figures] = {}
    for group in [list(makers)] if together else [[side] for side in makers]:
        sides = {side: makers[side]() for side in group}
        try:
            await asyncio.gather(*(side.open() for side in sides.values()))
            for side in sides.values():
                await side.run(range(2 * plan.batch_of(model)))  # not counted: the first calls are slower
            for _ in range(plan.rounds):
                for kind, side in sides.items():
                    rate, answers[kind] = await side.run(plan.numbers(model))
                    rates[kind].append(rate * plan.each(name))
            for kind, side in sides.items():
                figures[kind] = await side.figures()
        finally:
            for side in sides.values():
                await side.close()
    return {
        "unit": model.unit,
        "batch": plan.batch_of(model),
        "rates": {kind: [round(rate, 3) for rate in several] for kind, several in rates.items()},
        "rate": {kind: round(statistics.median(several), 3) for kind, several in rates.items()},
        "ratio": round(_ratio(rates), 3),
        "peak_gib": {kind: round(figures[kind].peak_bytes / GIB, 2) for kind in makers},
        "load_s": {kind: round(figures[kind].ready_s, 1) for kind in makers},
        "device": figures["expert"].device,
        "same_answers": f"{agreeing(answers['expert'], answers['plain'])} of {len(answers['plain'])}",
        "rounds": "alternate" if together else "one side after the other",
    }


def _ratio(rates: dict[str, list[float]]) -> float:
    """The expert's rate to the plain one: the median over rounds that ran side by side."""
    return statistics.median(
        ours / plain for ours, plain in zip(rates["expert"], rates["plain"], strict=True)
    )


def _gpu() -> tuple[str, int] | None:
    """The first GPU's name and memory; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    return found.name, int(found.total_memory)


async def _measure(names: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Everything asked for; one that fails leaves the others alone."""
    found: dict[str, Any] = {}
    for name in names:
        began = time.monotonic()
        try:
            found[name] = await (share(plan) if name == SHARE else compare(name, plan))
        except Exception as error:  # such as a model that does not fit on a small GPU
            cause = root(error)
            found[name] = {"failed": " ".join(f"{type(cause).__name__}: {cause}".split())[:600]}
        found[name]["seconds"] = round(time.monotonic() - began, 1)
        _print(name, found[name])
    return found


def _print(name: str, found: dict[str, Any]) -> None:
    if "failed" in found:
        print(f"{name}: failed: {found['failed']}\n", flush=True)
        return
    if "checks" not in found:
        rate, peak = found["rate"], found["peak_gib"]
        row = (name, found["unit"], found["batch"], rate["expert"], rate["plain"], found["ratio"])
        print("{:9} {:10} {:>6} {:>10} {:>10} {:>7}".format(*row), end="")
        told = (peak["expert"], peak["plain"], found["same_answers"], found["rounds"])
        print(" {:>11} {:>10} {:>9}  {}".format(*told), flush=True)
        return
    print("\ntwo experts on one GPU")
    for expert, part in found["shares"].items():
        limit = found.get("limit_gib", {}).get(expert, "none on the CPU")
        print(
            f"  {expert:8} share {part:<5} limit (GiB) {limit}, peak {found['peak_gib'][expert]}; "
            f"alone {found['alone'][expert]}, beside the other {found['at_once'][expert]} "
            f"{MODELS[expert].unit}"
        )
    if "whole_gpu_gib" in found:
        print(f"  both took {found['whole_gpu_gib']} GiB of the GPU, CUDA's own memory included")
    print(f"  too much was answered: {found['refusal']}")
    for check, passed in found["checks"].items():
        print(f"  {'yes' if passed else 'NO':4} {check}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--models", default=",".join([*MODELS, SHARE]), help="separated by commas")
    parser.add_argument("--rounds", type=int, default=0, help="3, or 1 of tiny models")
    parser.add_argument("--images", type=int, default=0, help="inputs of a round; three batches by default")
    parser.add_argument("--batch", type=int, default=0, help="inputs of a model call; as fits the model")
    parser.add_argument("--steps", type=int, default=0, help="of diffusion: 20, or 2 of tiny models")
    parser.add_argument("--tokens", type=int, default=0, help="that the chat model writes: 128, or 8")
    parser.add_argument("--folder", type=Path, help="where the models are made and kept; 15 GB if full")
    parser.add_argument("--json", type=Path, help="file for all figures; else they are the last line")
    options = parser.parse_args()
    unknown = set(options.models.split(",")) - {*MODELS, SHARE}
    if unknown:
        parser.error(f"--models: {', '.join(sorted(unknown))}; there are {', '.join([*MODELS, SHARE])}")
    return options


def main() -> None:
    """Run the benchmark, print tables, then one line of JSON."""
    options = _options()
    full = options.size == "full"
    gpu = _gpu() if full else None
    if full and gpu is None:
        print("No GPU: torch finds no CUDA here, so nothing is measured; --size tiny tries the script.")
        sys.exit(2)
    with tempfile.TemporaryDirectory() as place:
        models = (options.folder or Path(place)).resolve()
        models.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            size=options.size,
            rounds=options.rounds or (3 if full else 1),
            images=options.images,
            batch=options.batch,
            steps=options.steps or (20 if full else 2),
            tokens=options.tokens or (128 if full else 8),
            root=models,
            total=gpu[1] if gpu else None,
        )
        ray.init(
            address="local",
            num_gpus=1,  # one GPU, or one that exists in Ray's books only
            object_store_memory=GIB,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
            where = f"{gpu[0]}, {gpu[1] / GIB:.0f} GiB" if gpu else "CPU; these figures mean nothing"
            print(f"{where}; {plan.steps} steps, {plan.tokens} tokens, {plan.rounds} rounds\n")
            titles = ("model", "unit", "batch", "expert", "plain", "ratio")
            print("{:9} {:10} {:>6} {:>10} {:>10} {:>7}".format(*titles), end="")
            print(" {:>11} {:>10} {:>9}  {}".format("expert GiB", "plain GiB", "same", "rounds"), flush=True)
            found = asyncio.run(_measure(options.models.split(","), plan))
        finally:
            serve.shutdown()
            ray.shutdown()
    told = {"gpu": gpu, "size": options.size, "versions": _versions(), "steps": plan.steps, **found}
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"\ntarget: a ratio of at least {TARGET}" + ("" if options.json else f"\n{json.dumps(told)}"))
    sys.exit(
        int(any("failed" in each or not all(each.get("checks", {}).values()) for each in found.values()))
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "diffusers", "ray")}


if __name__ == "__main__":
    main()
