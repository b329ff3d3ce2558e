"""Texts and their words under labels: classification, entities, gaps, labels of the request."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from deployments.errors import ExpertError, InputError
from deployments.result import Input, Result
from deployments.runners.entities import Token, entities
from deployments.runners.lists import labels_of
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner, control

_TOP = 5  # labels told, the best first
_OVERLAP = 4  # neighbouring windows share this part of a window: a quarter
_GAP = re.compile(r"\[mask\]|<mask>|_{3,}", re.IGNORECASE)
_WORD_STARTS = ("Ġ", "▁")  # marks of a token that begins a word, of byte-level BPE and SentencePiece
_MANY = 0.1  # the least share of a vocabulary that begins words
_HYPOTHESIS = "This example is {}."


class TextClassifier(TextRunner):
    """Sorts whole texts under the model's own labels; of a long text it reads the beginning."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForSequenceClassification)
        self.tokenizer.split_special_tokens = True  # a "</s>" that someone wrote is text
        self._pipeline = transformers.pipeline(
            "text-classification", model=self.model, tokenizer=self.tokenizer, device=self.device
        )

    def ready(self, item: Input) -> tuple[str, int]:
        """The text, and how many labels are wanted."""
        return text_of(item), self.whole(item, "top_k", _TOP, 1, 1000)

    def infer(self, items: Sequence[tuple[str, int]]) -> list[Result]:
        """The best labels with their scores, the best first."""
        found = self._pipeline(
            [text for text, _ in items], top_k=None, truncation=True, batch_size=len(items)
        )
        return [labelled(labels[:count]) for labels, (_, count) in zip(found, items, strict=True)]


class TokenClassifier(TextRunner):
    """Finds entities; a text of any length is read whole, in windows that overlap."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForTokenClassification)
        if not self.tokenizer.is_fast:
            raise ExpertError(
                f"{self.card.id} cannot find words in a text: its tokenizer does not tell where they stand."
            )
        self._control = control(self.tokenizer)

    def ready(self, item: Input) -> str:
        """The text."""
        return text_of(item)

    def infer(self, items: Sequence[str]) -> list[Result]:
        """Entities in the order of the text, each with its place in it."""
        # As many blanks as a mark has letters, so that places stay those of the text as written.
        plain = [self._control.sub(lambda mark: " " * len(mark[0]), text) for text in items]
        encoded = self.tokenizer(
            plain,
            truncation=True,
            max_length=self.limit,
            stride=self.limit // _OVERLAP,
            padding=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        scores, labels = self.logits(encoded).softmax(-1).max(-1)
        found: list[dict[tuple[int, int], tuple[int, Token]]] = [{} for _ in items]
        for row, owner in enumerate(encoded["overflow_to_sample_mapping"].tolist()):
            self._read(encoded, row, scores[row].tolist(), labels[row].tolist(), found[owner])
        return [
            _named(entities(text, (token for _, (_, token) in sorted(tokens.items()))))
            for text, tokens in zip(items, found, strict=True)
        ]

    def _read(
        self,
        encoded: Any,
        row: int,
        scores: list[float],
        labels: list[int],
        tokens: dict[tuple[int, int], tuple[int, Token]],
    ) -> None:
        """Add a window's tokens by place; of a token read twice, that of the window with more around it."""
        names = self.model.config.id2label
        words = encoded.word_ids(row)
        places = encoded["offset_mapping"][row].tolist()
        real = [
            index
            for index, special in enumerate(encoded["special_tokens_mask"][row].tolist())
            if not special and places[index][1] > places[index][0]
        ]
        for nth, index in enumerate(real):
            start, end = places[index]
            around = min(nth, len(real) - 1 - nth)
            if around >= tokens.get((start, end), (-1,))[0]:
                label = str(names[labels[index]])
                tokens[start, end] = around, Token(start, end, words[index], label, scores[index])


class MaskFiller(TextRunner):
    """Fills gaps, written ``[MASK]``, ``<mask>`` or ``___``, each on its own where there are several."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForMaskedLM)
        self._mask = self.tokenizer.mask_token
        if self._mask is None:
            raise ExpertError(f"{self.card.id} cannot fill gaps: its tokenizer has no mask.")
        self._control = control(self.tokenizer)
        self._marks_words = _marks_words(self.tokenizer.get_vocab())

    def example(self, task: str) -> Input:
        """See ``TextRunner``."""
        return Input(task, {"text": "A red ___ on a hill."})

    def ready(self, item: Input) -> tuple[list[str], int]:
        """The text's pieces between its gaps, and how many words are wanted for each.

        Raises:
            InputError: it has no gap, or is too long.

        """
        pieces = _GAP.split(text_of(item).replace(self._mask, "[MASK]"))
        if len(pieces) == 1:
            raise InputError(f"{item.task} fills a gap: write ___ or [MASK] where the word is missing.")
        length = self.count(self._masked(pieces))
        if length > self.limit:
            raise InputError(
                f"The text has {length} tokens, and {self.card.id} reads at most {self.limit}; "
                "give it the sentences around the gap."
            )
        return pieces, self.whole(item, "top_k", _TOP, 1, 1000)

    def infer(self, items: Sequence[tuple[list[str], int]]) -> list[Result]:
        """The likeliest words with their scores, for each gap; the text with the best of all."""
        texts = [self._masked(pieces) for pieces, _ in items]
        encoded = self.tokenizer(texts, padding=True, return_tensors="pt")
        logits = self.logits(encoded)
        results = []
        for row, (pieces, top) in enumerate(items):
            gaps = (encoded["input_ids"][row] == self.tokenizer.mask_token_id).nonzero()[:, 0]
            best = logits[row, gaps].softmax(-1).topk(min(top, logits.shape[-1]))
            results.append(self._filled(pieces, best.indices.tolist(), best.values.tolist()))
        return results

    def _masked(self, pieces: Sequence[str]) -> str:
        """The pieces with masks between them, and no other marks of the tokenizer's."""
        return str(self._mask.join(self._control.sub(" ", piece) for piece in pieces))

    def _filled(self, pieces: list[str], tokens: list[list[int]], scores: list[list[float]]) -> Result:
        best = [candidates[0] for candidates in tokens]
        data = [
            {
                "gap": gap + 1,
                "word": self._word(token),
                "token": token,
                "score": round(score, 4),
                "text": self._joined(pieces, [*best[:gap], token, *best[gap + 1 :]]),
            }
            for gap in range(len(best))
            for token, score in zip(tokens[gap], scores[gap], strict=True)
        ]
        return Result(text=self._joined(pieces, best), data=data)

    def _word(self, token: int) -> str:
        raw = str(self.tokenizer.convert_ids_to_tokens(token))
        return str(self.tokenizer.decode([token])).strip().removeprefix("##") or raw

    def _joined(self, pieces: list[str], tokens: list[int]) -> str:
        """The pieces with tokens between them; one that ends the word before it closes up to it."""
        text = pieces[0]
        for token, piece in zip(tokens, pieces[1:], strict=True):
            raw = str(self.tokenizer.convert_ids_to_tokens(token))
            ends_word = raw.startswith("##") or (self._marks_words and not raw.startswith(_WORD_STARTS))
            text = (text.rstrip() if ends_word else text) + self._word(token) + piece
        return text


class ZeroShotClassifier(TextRunner):
    """Sorts texts under the request's labels, by a model of entailment (Yin et al., arXiv 1909.00161).

    Of a long text it reads the beginning.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForSequenceClassification)
        self.tokenizer.split_special_tokens = True  # a "</s>" that someone wrote is text
        names = {int(index): str(name).lower() for index, name in self.model.config.id2label.items()}
        entailing = [index for index, name in names.items() if name.startswith("entail")]
        if not entailing or len(names) == 1:
            raise ExpertError(
                f"{self.card.id} cannot sort under any labels: it has no label 'entailment' but "
                f"{', '.join(names.values())}. Give its card the task text-classification."
            )
        self._entailed = entailing[0]
        against = [index for index, name in names.items() if name.startswith(("contra", "not"))]
        self._denied = (against or [index for index in names if index != self._entailed])[0]
        self._hypothesis = self.card.defaults.get("hypothesis_template", _HYPOTHESIS)

    def ready(self, item: Input) -> tuple[str, tuple[str, ...]]:
        """The text and its labels."""
        return text_of(item), labels_of(item)

    def infer(self, items: Sequence[tuple[str, tuple[str, ...]]]) -> list[Result]:
        """Every label with its score, the best first; the scores of several labels add up to 1."""
        pairs = [(text, self._hypothesis.replace("{}", label)) for text, labels in items for label in labels]
        encoded = self.tokenizer(
            [text for text, _ in pairs],
            [hypothesis for _, hypothesis in pairs],
            truncation="only_first",
            padding=True,
            return_tensors="pt",
        )
        logits = self.logits(encoded)
        results, start = [], 0
        for _, labels in items:
            results.append(self._sorted(labels, logits[start : start + len(labels)]))
            start += len(labels)
        return results

    def _sorted(self, labels: Sequence[str], logits: Any) -> Result:
        if len(labels) == 1:  # whether it is so at all
            scores = logits[:, [self._denied, self._entailed]].softmax(-1)[:, 1].tolist()
        else:
            scores = logits[:, self._entailed].softmax(0).tolist()
        ranked = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
        return labelled([{"label": label, "score": score} for score, label in ranked])


def labelled(labels: Sequence[dict[str, Any]]) -> Result:
    """Labels with scores, the best first, as data; the best one in words."""
    data = [{"label": str(item["label"]), "score": round(float(item["score"]), 4)} for item in labels]
    best = data[0]
    return Result(text=f"{best['label']} ({best['score']:.2f})", data=data)


def _marks_words(vocabulary: Collection[str]) -> bool:
    """Whether tokens that begin a word are marked.

    The marks are letters too, and may stand in a WordPiece vocabulary, which marks the tokens that do not.
    """
    marked = sum(token.startswith(_WORD_STARTS) for token in vocabulary)
    if marked > _MANY * len(vocabulary):
        return True
    return marked > 0 and not any(token.startswith("##") for token in vocabulary)


def _named(found: list[dict[str, Any]]) -> Result:
    words = ", ".join(f"{entity['word']} ({entity['entity']})" for entity in found)
    return Result(text=words or "The text names nothing that the model looks for.", data=found)
