"""The two sides of a comparison: a model as an expert, called through its handle, and called plainly."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from benchmarks.plain import RATE, SECONDS, Answers, Plain, prompt, recordings
from deployments import fleet
from deployments.figures import Figures
from deployments.media import Audio
from deployments.result import Call, Result
from model_catalog.card import ModelCard

GIB = 1 << 30
_TAG = "<GENERATED>-0"


@dataclass(frozen=True, slots=True)
class Model:
    """What is measured of a model.

    Attributes:
        task: what it does.
        runner: the runner that serves it.
        unit: what is counted.
        batch: inputs of one model call.
        need: GPU memory that it takes with such batches at the most, roughly, in GiB.

    """

    task: str
    runner: str
    unit: str
    batch: int
    need: float


MODELS = {
    "sd15": Model("text-to-image", "diffusion", "images/s", 8, 16),
    "sdxl": Model("text-to-image", "diffusion", "images/s", 4, 36),
    "whisper": Model("automatic-speech-recognition", "automatic-speech-recognition", "audio s/s", 8, 16),
    "chat": Model("conversational", "text-generation", "tokens/s", 16, 10),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line, and the GPU's memory in bytes (None on the CPU)."""

    size: str
    rounds: int
    images: int
    batch: int
    steps: int
    tokens: int
    root: Path
    total: int | None

    def batch_of(self, model: Model) -> int:
        """Inputs of one model call."""
        return self.batch or (model.batch if self.size == "full" else 2)

    def numbers(self, model: Model) -> range:
        """The inputs of a round: whole batches."""
        batch = self.batch_of(model)
        return range(batch * math.ceil((self.images or (3 if self.size == "full" else 2) * batch) / batch))

    def each(self, name: str) -> int:
        """What one input counts in the model's unit."""
        return {"whisper": SECONDS, "chat": self.tokens}.get(name, 1)


class Served:
    """The model as an expert."""

    def __init__(self, name: str, folder: Path, plan: Plan, share: float, runner: str = "") -> None:
        model = MODELS[name]
        self._name, self._model, self._plan = name, model, plan
        self.card = ModelCard(
            id=f"bench/{name}",
            tasks=(model.task,),
            runner=runner or model.runner,
            path=folder,
            gpu=share,
            batch_size=plan.batch_of(model),
            batch_wait_s=0.05,  # so that a round's first batch is as full as the others
        )
        self._sounds: list[Any] = []
        self._app: DeploymentHandle | None = None

    async def open(self) -> None:
        """Deploy it."""
        await asyncio.to_thread(fleet.deploy, [self.card])
        self.connect()

    def connect(self) -> None:
        """Use the application, which is up."""
        self._app = serve.get_app_handle(fleet.app_name(self.card))
        if self._name == "whisper":
            self._sounds = [ray.put(Result(audio=Audio(wave, RATE))) for wave in recordings()]

    async def call(self, number: int, text: str = "") -> Any:
        """One call: its picture or text."""
        assert self._app is not None
        args, sources, upstream = self._input(number, text)
        call = Call("bench", self._model.task, number, args, sources)
        result = await self._app.infer.remote(call, *upstream)
        return result.text if result.image is None else result.image.pixels

    def _input(self, number: int, text: str) -> tuple[dict[str, str], tuple[str, ...], list[Any]]:
        if self._name == "whisper":
            return {"audio": _TAG, "language": "en"}, (_TAG,), [self._sounds[number % len(self._sounds)]]
        if self._name == "chat":
            knobs = {"temperature": "0", "max_new_tokens": str(self._plan.tokens)}
        else:
            knobs = {"steps": str(self._plan.steps), "seed": str(number)}
        return {"text": text or prompt(number), **knobs}, (), []

    async def run(self, numbers: Sequence[int]) -> tuple[float, Answers]:
        """Inputs a second, and the answers of the first batch."""
        batch = self._plan.batch_of(self._model)
        room = asyncio.Semaphore(2 * batch)

        async def one(number: int) -> Any:
            async with room:
                return await self.call(number)

        began = time.perf_counter()
        answers = await asyncio.gather(*map(one, numbers))
        return len(numbers) / (time.perf_counter() - began), answers[:batch]

    async def figures(self) -> Figures:
        """What the replica measured of itself."""
        assert self._app is not None
        found: Figures = await self._app.figures.remote()
        return found

    async def close(self) -> None:
        """Give its share back."""
        await asyncio.to_thread(fleet.undeploy, self.card)


class Direct:
    """The model called plainly."""

    def __init__(self, name: str, folder: Path, plan: Plan, share: float) -> None:
        made = ray.remote(num_cpus=0, num_gpus=share)(Plain)
        self._actor = made.remote(name, str(folder), True, plan.tokens, plan.steps)
        self._batch = plan.batch_of(MODELS[name])

    async def open(self) -> None:
        """Wait until it is loaded."""
        await self._actor.figures.remote()

    async def run(self, numbers: Sequence[int]) -> tuple[float, Answers]:
        """Inputs a second, and the answers of the first batch."""
        found: tuple[float, Answers] = await self._actor.run.remote(list(numbers), self._batch)
        return found

    async def figures(self) -> Figures:
        """What the process measured of itself."""
        found: Figures = await self._actor.figures.remote()
        return found

    async def close(self) -> None:
        """End the process."""
        ray.kill(self._actor)


Side = Served | Direct
