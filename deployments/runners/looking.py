"""Questions about pictures: ViLT (arXiv 2102.03334), BLIP, BLIP-2 and GIT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.errors import InputError
from deployments.result import Input, Result
from deployments.runners.captioning import inner_loops, join_blip2
from deployments.runners.processing import processor
from deployments.runners.sampling import Writing, options, writing
from deployments.runners.sight import moved, plain, room, seen, usual
from deployments.runners.single import text_of
from deployments.runners.vision_language import OrChat, grouped

_CLASSES = {
    "vilt": "ViltForQuestionAnswering",
    "blip": "BlipForQuestionAnswering",
    "blip-2": "Blip2ForConditionalGeneration",
    "git": "GitForCausalLM",
}
_ASKED = "Question: {} Answer:"  # of BLIP-2's paper
_TOP = 5
_LENGTH = 32  # tokens


@dataclass(frozen=True, slots=True)
class _Question:
    """A picture, a question about it, and how many tokens it has."""

    picture: Any
    words: str
    tokens: int
    writing: Writing
    top: int


class VisualAnswerer(OrChat):
    """Answers a question about a picture: in words of its own, or, for ViLT, with the best of its answers."""

    kinds = frozenset(_CLASSES)

    def open_own(self, found: str) -> None:
        """See ``OrChat``."""
        import transformers

        self._kind = found
        self._processor = processor(self)
        self._tokenizer = self._processor.tokenizer
        self._model = self.load_model(getattr(transformers, _CLASSES[found]))
        inner_loops(self, self._model)
        if found == "blip-2":
            join_blip2(self._model, self._processor)

    def ready(self, item: Input) -> _Question:
        """The picture and the question, which must fit the model."""
        words = plain(text_of(item), self._tokenizer)
        if not words:
            raise InputError(f"{item.task} needs a question in words under 'text'.")
        if self._kind == "blip-2":
            words = _ASKED.replace("{}", words)
        tokens = len(self._tokenizer(words).input_ids)
        most = room(self._model)
        if tokens > most:
            raise InputError(
                f"The question has {tokens} tokens, and the model takes {most}; ask a shorter one."
            )
        asked = writing(self, item, usual(self._model, _LENGTH))
        top = self.whole(item, "top_k", _TOP, 1, 100)
        return _Question(seen(item), words, tokens, Writing(asked.length, 0.0), top)

    def infer(self, items: Sequence[_Question]) -> list[Result]:
        """One answer for each question."""
        match self._kind:
            case "vilt":
                return self._chosen(items)
            case "blip-2":
                return grouped(items, lambda item: item.writing.length, self._written)
            case _:
                # BLIP's decoder looks at what fills a shorter question up, and GIT counts it: none is filled.
                return grouped(items, lambda item: (item.writing.length, item.tokens), self._written)

    def _chosen(self, items: Sequence[_Question]) -> list[Result]:
        inputs = self._processor(
            images=[item.picture for item in items],
            text=[item.words for item in items],
            return_tensors="pt",
            padding=True,
        )
        scores = self._model(**moved(inputs, self._model)).logits.float().sigmoid()
        return [self._best(row, item.top) for row, item in zip(scores, items, strict=True)]

    def _best(self, scores: Any, top: int) -> Result:
        best = scores.topk(min(top, len(scores)))
        names = self._model.config.id2label
        data = [
            {"answer": str(names[place]), "score": round(score, 4)}
            for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        return Result(text=data[0]["answer"], data=data)

    def _written(self, items: Sequence[_Question]) -> list[Result]:
        inputs = moved(self._inputs(items), self._model)
        asked = options([item.writing for item in items], self._model.generation_config)
        prompt = self._prompt_length(inputs)
        asked["max_new_tokens"] = max(1, min(asked["max_new_tokens"], room(self._model, prompt)))
        made = self._model.generate(**inputs, **asked)[:, prompt:]
        texts = self._tokenizer.batch_decode(made, skip_special_tokens=True)
        return [Result(text=text.strip(), data={"answer": text.strip()}) for text in texts]

    def _prompt_length(self, inputs: dict[str, Any]) -> int:
        """How many tokens of what is generated are the question itself."""
        if self._kind == "blip":
            return 0
        if self._kind == "blip-2" and self._model.language_model.config.is_encoder_decoder:
            return 0
        return int(inputs["input_ids"].shape[1])

    def _inputs(self, items: Sequence[_Question]) -> dict[str, Any]:
        pictures, words = [item.picture for item in items], [item.words for item in items]
        found = self._processor(images=pictures, text=words, return_tensors="pt", padding=True)
        inputs = {name: value for name, value in found.items() if name != "token_type_ids"}
        if self._kind == "git":
            # GIT goes on after the question: no token may end it.
            inputs["input_ids"] = inputs["input_ids"][:, :-1]
            inputs["attention_mask"] = inputs["attention_mask"][:, :-1]
        return inputs
