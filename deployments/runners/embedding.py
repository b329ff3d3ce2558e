"""Texts become vectors, and vectors tell how alike texts are (Reimers, Gurevych, arXiv 1908.10084)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.errors import ExpertError
from deployments.result import Input, Result
from deployments.runners import pooling
from deployments.runners.lists import several
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner

_HEADS = (
    "*cls.*",
    "*lm_head*",
    "*classifier*",
    "*qa_outputs*",
    "*vocab_*",
    "*pooler*",
    "score.*",
    "*.head.*",
    "head.*",  # ModernBERT's
    "decoder.weight",
    "decoder.bias",
)
"""Weights of heads and poolers, which vectors do not need."""

_SHOWN = 80  # characters of a text beside its score
_PROMPTS = (  # of models whose makers ask for words before every text, and that do not tell so in a file
    (re.compile(r"(^|[-/])e5-(small|base|large)(?!.*instruct)"), "query: "),
    (re.compile(r"nomic-embed-text"), "clustering: "),
)
_SAMENESS = ("STS", "sts", "sentence-similarity", "SentenceSimilarity")
"""Names of prompts for likeness, in ``config_sentence_transformers.json``."""


@dataclass(frozen=True, slots=True)
class Texts:
    """An input's texts.

    Attributes:
        texts: as the model reads them: one to turn into a vector, or one before those to compare it with.
        others: those to compare it with, as written; None where a vector is wanted.

    """

    texts: tuple[str, ...]
    others: tuple[str, ...] | None


class Embedder(TextRunner):
    """Turns texts into vectors as the model's sentence-transformers files tell, by their mean else.

    Of a text longer than the model's window it reads the beginning.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        headless = (
            transformers.AutoModelForTextEncoding if config.is_encoder_decoder else transformers.AutoModel
        )
        if type(config).__name__.startswith(("T5", "MT5", "UMT5")):
            headless = transformers.AutoModelForTextEncoding  # the encoder alone
        self.open_as(headless, spare=_HEADS)
        settings = _read(self, "sentence_bert_config.json")
        self.limit = min(self.limit, int(settings.get("max_seq_length") or self.limit))
        self._lower = bool(settings.get("do_lower_case"))
        self._steps = pooling.steps(self.folder, self.device)
        named = _read(self, "config_sentence_transformers.json")
        self._prompts: dict[str, str] = named.get("prompts") or {}
        usual = self._prompts.get(named.get("default_prompt_name") or "", "")
        by_name = next((prompt for pattern, prompt in _PROMPTS if pattern.search(self.card.id.lower())), "")
        self._usual = self.card.defaults.get("prefix", usual or by_name)

    def ready(self, item: Input) -> Texts:
        """The texts, behind the words that the model wants before them.

        Raises:
            InputError: there are none.

        """
        compared = item.task == "sentence-similarity"
        prompt = self._usual
        if compared and "prefix" not in self.card.defaults:
            prompt = next((self._prompts[name] for name in _SAMENESS if name in self._prompts), prompt)
        others = tuple(several(item)) if compared else None
        texts = (text_of(item, "text1" if compared else "text"), *(others or ()))
        return Texts(tuple(prompt + (text.lower() if self._lower else text) for text in texts), others)

    def infer(self, items: Sequence[Texts]) -> list[Result]:
        """A vector for each text; or the cosines of the first text's with the others'."""
        vectors = self._vectors([text for item in items for text in item.texts])
        results, start = [], 0
        for item in items:
            own = vectors[start : start + len(item.texts)]
            start += len(item.texts)
            results.append(_vector(own[0]) if item.others is None else _alike(item.others, own))
        return results

    def _vectors(self, texts: Sequence[str]) -> Any:
        """Float32 vectors on the CPU, a row a text; alike texts share a pass whatever their number."""
        import torch

        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found: list[Any] = [None] * len(texts)
        for start in range(0, len(order), pooling.TOGETHER):
            self.check_stopped()
            places = order[start : start + pooling.TOGETHER]
            encoded = self.tokenizer(
                [texts[place] for place in places],
                truncation=True,
                max_length=self.limit,
                padding=True,
                return_tensors="pt",
            )
            inputs = self.inputs(encoded)
            states = self.model(**inputs).last_hidden_state.float()
            value = states, inputs["attention_mask"]
            for step in self._steps:
                value = step(*value), value[1]
            for place, vector in zip(places, value[0].cpu(), strict=True):
                found[place] = vector
        return torch.stack(found)


def _vector(vector: Any) -> Result:
    return Result(
        text=f"a vector of {len(vector)} numbers", data=[round(number, 6) for number in vector.tolist()]
    )


def _read(runner: TextRunner, name: str) -> dict[str, Any]:
    """A file of the model's folder, empty where there is none.

    Raises:
        ExpertError: it is not JSON.

    """
    path = runner.folder / name
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExpertError(f"{runner.card.id} has a {name} that is no JSON.") from error
    return value if isinstance(value, dict) else {}


def _alike(others: Sequence[str], vectors: Any) -> Result:
    """The cosines of the first vector with each other one."""
    import torch

    unit = torch.nn.functional.normalize(vectors, dim=-1)
    scores = [round(score, 4) for score in (unit[1:] @ unit[0]).tolist()]
    if len(scores) == 1:
        return Result(text=f"similarity {scores[0]:.2f}", data={"score": scores[0]})
    lines = (f"similarity {score:.2f}: {other[:_SHOWN]}" for score, other in zip(scores, others, strict=True))
    return Result(text="\n".join(lines), data={"scores": scores})
