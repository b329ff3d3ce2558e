"""What models are estimated to need of a GPU, beside the most that they hold when they work.

Five models of full size with random weights (see ``benchmarks.shapes``, and a ViT-L/16) are accounted for
by headers and configuration, as ``hugginggpt catalog share`` does, then loaded by their runners, each in a
process of its own, and given batches of the largest inputs that the account has room for.

    python -m benchmarks.estimates [--size full|tiny] [--models sd15,sdxl,whisper,chat,vit] [--batch N]
                                   [--folder DIR] [--json FILE]

``estimate`` is weights, activations and cache; ``held`` is the peak of tensors that torch's allocator saw;
``reserved`` is what it took from the GPU for them, which the margin is for; ``context`` is what the process
took of the GPU besides. ``--size tiny`` shows on the CPU that the script runs; no GPU holds anything then.
Ends with 1 where an estimate is off by more than a tenth, and with 2 where ``full`` finds no GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shapes
from benchmarks.plain import RATE, prompt, recordings
from benchmarks.sides import GIB, MODELS
from deployments import memory
from deployments.media import Audio, Image
from deployments.result import Input
from deployments.runners.registry import resolve
from deployments.sizing.facts import facts
from model_catalog.card import ModelCard
from model_catalog.guess import WRITTEN_TOKENS
from model_catalog.share import account

TARGET = 0.1
BATCH = 4
VIT = "vit"
_ANSWER = 64  # tokens that a text is given at its end


def vit(folder: Path, full: bool) -> None:
    """A ViT-L/16 that sorts pictures into 1,000 classes."""
    import transformers

    sizes = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    }
    tiny = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.ViTConfig(**(sizes if full else tiny), num_labels=1000)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil().save_pretrained(folder)


def card_of(name: str, root: Path, full: bool, batch: int) -> ModelCard:
    """The card of a model, which is built where it is not there yet."""
    if name == VIT:
        shapes.BUILDERS[VIT] = vit
        task, runner = "image-classification", "image-classification"
    else:
        task, runner = MODELS[name].task, MODELS[name].runner
    return ModelCard(
        id=f"bench/{name}",
        tasks=(task,),
        library="diffusers" if runner == "diffusion" else "transformers",
        runner=runner,
        path=shapes.made(name, root.resolve(), full),
        batch_size=batch,
    )


def inputs(name: str, card: ModelCard) -> list[Input]:
    """A batch of the largest inputs."""
    task = card.tasks[0]
    several = range(card.batch_size)
    match name:
        case "whisper":
            waves = recordings()
            return [
                Input(task, {"audio": Audio(waves[n % len(waves)], RATE), "language": "en"}) for n in several
            ]
        case "chat":
            told = {"temperature": "0", "max_new_tokens": str(_ANSWER)}
            # Unknown words are read letter by letter, so that letters are about as many tokens.
            long = "x" * (WRITTEN_TOKENS - 2 * _ANSWER)
            return [Input(task, {"text": long[n:], **told}) for n in several]
        case "vit":
            picture = Image(np.zeros((768, 1024, 3), np.uint8))
            return [Input(task, {"image": picture}) for _ in several]
        case _:
            return [Input(task, {"text": prompt(n), "steps": "2", "seed": str(n)}) for n in several]


def measure(name: str, root: Path, full: bool, batch: int) -> dict[str, Any]:
    """One model's estimate and peaks, in bytes; for a process of its own."""
    card = card_of(name, root, full, batch)
    made = account(card, facts(card))
    device = memory.device(1.0)
    runner = resolve(card.runner or "")()
    runner.load(card, device)
    runner.warm_up()
    for answer in runner.run(inputs(name, card)):
        if isinstance(answer, Exception):
            raise answer
    estimate = made.weights + made.activations + made.cache
    told = {"model": name, "batch": batch, "estimate": estimate, "total": made.total, "source": made.source}
    return {**told, **(_held() if device == "cuda" else {"held": 0, "reserved": 0, "context": 0})}


def _held() -> dict[str, int]:
    import torch

    reserved = torch.cuda.memory_reserved()
    free, total = torch.cuda.mem_get_info()
    return {
        "held": int(torch.cuda.max_memory_allocated()),
        "reserved": memory.peak("cuda"),
        "context": int(total - free - reserved),  # of all processes: the GPU is to be idle otherwise
    }


def _apart(name: str, options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """``measure`` in a process of its own, so that peaks and context are one model's alone."""
    given = ["--size", options.size, "--batch", str(options.batch), "--folder", str(root), "--one", name]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "benchmarks.estimates", *given], check=False, capture_output=True, text=True
    )
    if done.returncode:
        return {"model": name, "failed": (done.stderr.strip().splitlines() or ["no word"])[-1][:600]}
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _print(told: dict[str, Any]) -> None:
    if "failed" in told:
        print(f"{told['model']:9} failed: {told['failed']}", flush=True)
        return
    ratio = f"{told['estimate'] / told['held']:.3f}" if told["held"] else "-"
    sizes = (told[key] / GIB for key in ("estimate", "held", "reserved", "context", "total"))
    print(f"{told['model']:9} {told['batch']:>5} " + " ".join(f"{size:>9.2f}" for size in sizes), end="")
    print(f" {ratio:>8}  {told['source']}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--models", default=",".join([*MODELS, VIT]), help="separated by commas")
    parser.add_argument("--batch", type=int, default=BATCH, help="inputs of a model call")
    parser.add_argument("--folder", type=Path, help="where models are kept; else they are built anew")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure what was asked for."""
    import torch

    options = _options()
    full = options.size == "full"
    if options.one:
        print(json.dumps(measure(options.one, options.folder, full, options.batch)))
        return
    if full and not torch.cuda.is_available():
        print("There is no NVIDIA GPU here; --size tiny shows that the script runs.", file=sys.stderr)
        sys.exit(2)
    print("GiB       batch  estimate      held  reserved   context     total    ratio")
    with tempfile.TemporaryDirectory() as made:
        root = options.folder or Path(made)
        found = []
        for name in options.models.split(","):
            found.append(_apart(name, options, root))
            _print(found[-1])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(int(any("failed" in told or (full and _off(told)) for told in found)))


def _off(told: dict[str, Any]) -> bool:
    """Whether an estimate is off by more than a tenth."""
    return abs(int(told["estimate"]) / max(1, int(told["held"])) - 1) > TARGET


if __name__ == "__main__":
    main()
