"""Models as one calls them without this product: plain diffusers and transformers, in batches of one size."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments import memory
from deployments.figures import Figures
from deployments.runners.pipelines import hushed
from deployments.runners.single import THREADS

RATE = 16_000
"""Samples a second of the recordings."""

SECONDS = 30
"""The length of a recording."""

Answers = list[Any]
Batch = Callable[[Sequence[int]], Answers]
"""Answers numbered inputs in one model call: pictures as arrays, or texts."""


def prompt(number: int) -> str:
    """A picture's description, or a question to a chat model; about 50 tokens of a letter each."""
    return f"Picture {number}: a red house on a green hill under a blue sky"


def recordings() -> list[NDArray[np.float32]]:
    """Sounds of half a minute, which numbered inputs take in turn."""
    source = np.random.default_rng(0)
    return list((0.1 * source.standard_normal((4, SECONDS * RATE))).astype(np.float32))


class Plain:
    """A model in a process of its own."""

    def __init__(self, name: str, folder: str, gpu: bool, tokens: int, steps: int) -> None:
        """Load the model of this short name.

        Args:
            name: as in ``shapes.BUILDERS``.
            folder: where it lies.
            gpu: whether the process holds a share of a GPU.
            tokens: the tokens that a chat model writes.
            steps: of diffusion.

        """
        import torch

        torch.set_num_threads(THREADS)
        began = time.monotonic()
        self._name = name
        # A share of 1 is not limited: this process takes what it wants.
        self._device = memory.device(1.0 if gpu else 0.0)
        dtype = torch.float32
        if self._device == "cuda":
            dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        if name in ("sd15", "sdxl"):
            self._answer = _painter(folder, self._device, dtype, steps)
        elif name == "whisper":
            self._answer = _listener(folder, self._device, dtype)
        else:
            self._answer = _talker(folder, self._device, dtype, tokens)
        self._load_s = time.monotonic() - began

    def run(self, numbers: Sequence[int], batch: int) -> tuple[float, Answers]:
        """Answer numbered inputs in batches; how many a second, and the answers of the first batch."""
        import torch

        began = time.perf_counter()
        groups = [numbers[start : start + batch] for start in range(0, len(numbers), batch)]
        with torch.inference_mode(), hushed():
            answers = [self._answer(group) for group in groups]
        rate = len(numbers) / (time.perf_counter() - began)
        return rate, answers[0]

    def figures(self) -> Figures:
        """What the process measured of itself."""
        return Figures(self._name, self._device, memory.peak(self._device), load_s=self._load_s)


def _painter(folder: str, device: str, dtype: Any, steps: int) -> Batch:
    import diffusers
    import torch

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    with hushed():
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype).to(device)
    pipe.set_progress_bar_config(disable=True)

    def answer(numbers: Sequence[int]) -> Answers:
        found = pipe(
            prompt=[prompt(number) for number in numbers],
            num_inference_steps=steps,
            generator=[torch.Generator("cpu").manual_seed(number) for number in numbers],
            output_type="pil",
        )
        return [np.asarray(image) for image in found.images]

    return answer


def _listener(folder: str, device: str, dtype: Any) -> Batch:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype=dtype).to(device).eval()
    waves = recordings()

    def answer(numbers: Sequence[int]) -> Answers:
        features = processor(
            [waves[number % len(waves)] for number in numbers],
            sampling_rate=RATE,
            return_tensors="pt",
            return_attention_mask=True,
        ).to(device, dtype)
        written = model.generate(
            features.input_features,
            attention_mask=features.attention_mask,
            language="en",
            task="transcribe",
            return_timestamps=True,
        )
        return [text.strip() for text in processor.batch_decode(written, skip_special_tokens=True)]

    return answer


def _talker(folder: str, device: str, dtype: Any, tokens: int) -> Batch:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()

    def answer(numbers: Sequence[int]) -> Answers:
        encoded = tokenizer.apply_chat_template(
            [[{"role": "user", "content": prompt(number)}] for number in numbers],
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
        ).to(device)
        written = model.generate(
            **encoded, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        new = written[:, encoded["input_ids"].shape[1] :]
        return [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]

    return answer


def agreeing(ours: Sequence[Any], plain: Sequence[Any]) -> int:
    """How many answers are the same: texts to the letter, pictures to half a grey level on average."""
    return sum(map(_same, ours, plain))


def _same(ours: Any, plain: Any) -> bool:
    if isinstance(ours, str):
        return ours != "" and bool(ours == plain)
    return bool(ours.shape == plain.shape and np.abs(ours.astype(int) - plain).mean() <= 0.5)
