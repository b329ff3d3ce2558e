"""Answers cut out of a text (Devlin et al., arXiv 1810.04805, sections 4.2 and 4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.errors import ExpertError, InputError
from deployments.result import Input, Result
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner

_LONGEST = 30  # tokens of an answer
_OVERLAP = 3  # neighbouring windows share this part of the text in a window: a third
_NONE = "The text holds no answer to this question."


@dataclass(slots=True)
class _Found:
    """The best answer so far, and the least that any window gives to there being none."""

    score: float = -1.0
    start: int = 0
    end: int = 0
    none: float = 1.0


class Answerer(TextRunner):
    """Finds the answer to a question in a context of any length, read in windows that overlap."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForQuestionAnswering)
        if not self.tokenizer.is_fast:
            raise ExpertError(
                f"{self.card.id} cannot answer from a text: its tokenizer does not tell where words stand."
            )

    def ready(self, item: Input) -> tuple[str, str]:
        """Question and context.

        Raises:
            InputError: one lacks, or the question is too long.

        """
        question = text_of(item, "question").strip()
        context = item.text("context")
        if not context.strip():
            raise InputError(
                "question-answering finds the answer in a text: give it one under 'context', or ask a "
                "conversational task instead."
            )
        tokens = self.count(question)
        if tokens > self.limit // 2:
            raise InputError(
                f"The question has {tokens} tokens, and {self.card.id} takes at most {self.limit // 2}; "
                "shorten it, and give the text under 'context'."
            )
        return question, context

    def infer(self, items: Sequence[tuple[str, str]]) -> list[Result]:
        """The best answer with its score and place; empty where the model holds that there is none."""
        import torch

        longest = max(self.count(question) for question, _ in items)
        encoded = self.tokenizer(
            [question for question, _ in items],
            [context for _, context in items],
            truncation="only_second",
            max_length=self.limit,
            stride=max(1, (self.limit - longest) // _OVERLAP),
            padding=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        outputs = list(self.forward(encoded))
        starts, ends = (
            torch.cat([output[name].float().cpu() for output in outputs])
            for name in ("start_logits", "end_logits")
        )
        found = [_Found() for _ in items]
        for row, owner in enumerate(encoded["overflow_to_sample_mapping"].tolist()):
            self._look(encoded, row, starts[row], ends[row], found[owner])
        return [_result(best, context) for best, (_, context) in zip(found, items, strict=True)]

    def _look(self, encoded: Any, row: int, starts: Any, ends: Any, found: _Found) -> None:
        """Let one window better what is found."""
        import torch

        ids = encoded["input_ids"][row].tolist()
        nowhere = ids.index(self.tokenizer.cls_token_id) if self.tokenizer.cls_token_id in ids else 0
        of_context = torch.tensor([part == 1 for part in encoded.sequence_ids(row)])
        allowed = of_context.clone()
        allowed[nowhere] = True
        start, end = (logits.masked_fill(~allowed, -1e9).softmax(0) for logits in (starts, ends))
        found.none = min(found.none, float(start[nowhere] * end[nowhere]))
        spans = torch.outer(start * of_context, end * of_context).triu().tril(_LONGEST - 1)
        score = float(spans.max())
        if score > found.score:
            first, last = divmod(int(spans.argmax()), spans.shape[1])
            places = encoded["offset_mapping"][row].tolist()
            found.score, found.start, found.end = score, places[first][0], places[last][1]


def _result(found: _Found, context: str) -> Result:
    words = context[found.start : found.end]
    answer = words.strip()
    if found.none > found.score or not answer:
        return Result(
            text=_NONE, data={"answer": "", "score": round(found.none, 4), "start": None, "end": None}
        )
    start = found.start + len(words) - len(words.lstrip())
    data = {
        "answer": answer,
        "score": round(found.score, 4),
        "start": start,
        "end": start + len(answer),
    }
    return Result(text=answer, data=data)
