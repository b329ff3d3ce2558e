"""Questions about pictures of documents.

By LayoutLM (arXiv 1912.13318), on words that RapidOCR reads, and Donut (2111.15664), which reads by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.captioning import pair
from deployments.runners.rapidocr import Line, RapidOcr
from deployments.runners.sampling import Writing, options, writing
from deployments.runners.sight import moved, plain, room, seen, usual
from deployments.runners.single import image_of, text_of
from deployments.runners.vision_language import OrChat, grouped

NO_WORDS = "There are no words in this picture."
NOT_FOUND = "The answer was not found in this document."

_LAYOUT = "layoutlm"
_PAIR = "vision-encoder-decoder"
_GRID = 1000  # LayoutLM's boxes lie in a square of this side
_OVERLAP = 128  # tokens that two pieces of a long document share
_LONGEST_ANSWER = 15  # tokens
_PIECES = 16  # of documents in one forward pass
_LENGTH = 128  # tokens that Donut writes
_ASKED = "<s_docvqa><s_question>{}</s_question><s_answer>"

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Page:
    """A document's words, each with its box, and a question about them."""

    question: list[str]
    words: list[str]
    boxes: list[Box]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A document's picture, and a question about it as the ids of Donut's prompt."""

    picture: Any
    prompt: tuple[int, ...]
    writing: Writing


class DocumentAnswerer(OrChat):
    """Answers a question with words of the document."""

    kinds = frozenset({_LAYOUT, _PAIR})

    def open_own(self, found: str) -> None:
        """See ``OrChat``."""
        self._kind = found
        if found == _PAIR:
            self._open_donut()
        else:
            self._open_layout()

    def ready(self, item: Input) -> _Page | _Seen:
        """The question with the document's words, or with its picture."""
        question = plain(text_of(item), self._tokenizer)
        if not question:
            raise InputError(f"{item.task} needs a question in words under 'text'.")
        if self._kind == _PAIR:
            return self._seen(item, question)
        words = question.split()
        tokens = len(self._tokenizer(words, is_split_into_words=True).input_ids)
        most = self._window // 2
        if tokens > most:
            raise InputError(
                f"The question has {tokens} tokens, and the model takes {most}; ask a shorter one."
            )
        return _Page(words, *self._read(image_of(item)))

    def infer(self, items: Sequence[Any]) -> list[Result]:
        """One answer for each question."""
        if self._kind == _PAIR:
            # Positions of a prompt are counted from its start, so that none may be filled up.
            return grouped(items, lambda item: (item.writing.length, len(item.prompt)), self._written)
        found = dict.fromkeys(range(len(items)), Result(text=NO_WORDS, data={"answer": "", "score": 0.0}))
        read = [place for place, page in enumerate(items) if page.words]
        if read:
            found |= zip(read, self._found([items[place] for place in read]), strict=True)
        return list(found.values())

    # LayoutLM ------------------------------------------------------------------------------------------

    def _open_layout(self) -> None:
        import transformers

        if find_spec("rapidocr") is None:
            raise ExpertError(
                f"{self.card.id} needs the words of a document; install rapidocr and onnxruntime "
                "(the extra 'embedded'), which read them."
            )
        self._tokenizer = self.load_processor(transformers.AutoTokenizer)
        if not self._tokenizer.is_fast:
            raise ExpertError(
                f"{self.card.id} has a tokenizer that cannot tell words apart (no tokenizer.json)."
            )
        self._tokenizer.padding_side = "right"
        self._model = self.load_model(transformers.AutoModelForDocumentQuestionAnswering)
        self._window = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)
        self._ocr = RapidOcr()
        self._ocr.load(self.card, "cpu")
        self._ocr.stopping = self.stopping

    def _read(self, image: Image) -> tuple[list[str], list[Box]]:
        height, width = image.pixels.shape[:2]
        lines = self._ocr.answer(Input("image-to-text", {"image": image})).data
        found = [entry for line in lines for entry in words_of(line, width, height)]
        return [word for word, _ in found], [box for _, box in found]

    def _found(self, pages: Sequence[_Page]) -> list[Result]:
        pieces = self._tokenizer(
            [page.question for page in pages],
            [page.words for page in pages],
            is_split_into_words=True,
            truncation="only_second",
            max_length=self._window,
            stride=min(_OVERLAP, self._window // 4),
            padding=True,
            return_overflowing_tokens=True,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        owners = pieces.pop("overflow_to_sample_mapping").tolist()
        starts, ends = self._scores(pieces, owners, pages)
        best = [("", 0.0)] * len(pages)
        for number, owner in enumerate(owners):
            inside = np.array([part == 1 for part in pieces.sequence_ids(number)])
            first, last, score = best_span(starts[number], ends[number], inside)
            if score > best[owner][1]:
                places = pieces.word_ids(number)
                best[owner] = (" ".join(pages[owner].words[places[first] : places[last] + 1]), score)
        return [
            Result(text=answer or NOT_FOUND, data={"answer": answer, "score": round(score, 4)})
            for answer, score in best
        ]

    def _scores(
        self, pieces: Any, owners: Sequence[int], pages: Sequence[_Page]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each piece, how well an answer starts and ends at each token: two arrays, pieces × tokens."""
        import torch

        boxes = torch.zeros((*pieces["input_ids"].shape, 4), dtype=torch.long)
        boxes[pieces["input_ids"] == self._tokenizer.sep_token_id] = _GRID
        for number, owner in enumerate(owners):
            parts, places = pieces.sequence_ids(number), pieces.word_ids(number)
            for at, (part, place) in enumerate(zip(parts, places, strict=True)):
                if part == 1:
                    boxes[number, at] = torch.tensor(pages[owner].boxes[place])
        inputs = moved({**pieces, "bbox": boxes}, self._model)
        inputs["token_type_ids"] = inputs["token_type_ids"].clamp(max=self._model.config.type_vocab_size - 1)
        shown = inputs["attention_mask"].bool().cpu()
        told = []
        for start in range(0, len(owners), _PIECES):
            some = self._model(**{name: value[start : start + _PIECES] for name, value in inputs.items()})
            told.append(torch.stack((some.start_logits, some.end_logits)).float().cpu())
        both = torch.cat(told, dim=1).masked_fill(~shown, -torch.inf).numpy()
        return both[0], both[1]

    # Donut ---------------------------------------------------------------------------------------------

    def _open_donut(self) -> None:
        self._images, self._tokenizer, self._model = pair(self)
        known = self._tokenizer.get_added_vocab()
        lacking = [token for token in ("<s_docvqa>", "<s_question>", "<s_answer>") if token not in known]
        if lacking:
            raise ExpertError(
                f"{self.card.id} was not made to answer questions: its tokenizer lacks {', '.join(lacking)}."
            )

    def _seen(self, item: Input, question: str) -> _Seen:
        ids = self._tokenizer(_ASKED.replace("{}", question), add_special_tokens=False).input_ids
        left = room(self._model, len(ids))
        if left < 1:
            raise InputError(
                f"The question has {len(ids)} tokens, too many for the model; ask a shorter one."
            )
        asked = writing(self, item, usual(self._model, _LENGTH))
        return _Seen(seen(item), tuple(ids), Writing(min(left, asked.length), 0.0))

    def _written(self, items: Sequence[_Seen]) -> list[Result]:
        import torch

        pictures = [item.picture for item in items]
        inputs = moved(self._images(images=pictures, return_tensors="pt"), self._model)
        prompts = torch.tensor([item.prompt for item in items], device=self._model.device)
        unknown = self._tokenizer.unk_token_id
        made = self._model.generate(
            pixel_values=inputs["pixel_values"],
            decoder_input_ids=prompts,
            bad_words_ids=None if unknown is None else [[unknown]],
            **options([item.writing for item in items], self._model.generation_config),
        )
        texts = self._tokenizer.batch_decode(made[:, prompts.shape[1] :])
        return [self._told(text) for text in texts]

    def _told(self, text: str) -> Result:
        """What stands before the answer's end mark, control tokens left out."""
        answer = text.partition("</s_answer>")[0]
        for token in (self._tokenizer.eos_token, self._tokenizer.pad_token):
            answer = answer.replace(token, "") if token else answer
        answer = re.sub(r"<[^<>]*>", "", answer).strip()
        return Result(text=answer or NOT_FOUND, data={"answer": answer})


def words_of(line: Line, width: int, height: int) -> list[tuple[str, Box]]:
    """The words of a line that was read, each with its box in a square of 1000.

    The line's box, in pixels of a picture of ``width`` × ``height``, is shared out by the letters.
    """
    box, text = line["box"], line["text"]
    left, right = box["xmin"], box["xmax"]
    each = (right - left) / max(1, len(text))

    def scaled(pixels: float, side: int) -> int:
        return min(_GRID, max(0, int(_GRID * pixels / side)))

    top, bottom = scaled(box["ymin"], height), scaled(box["ymax"], height)
    return [
        (
            match[0],
            (
                scaled(left + match.start() * each, width),
                top,
                scaled(left + match.end() * each, width),
                bottom,
            ),
        )
        for match in re.finditer(r"\S+", text)
    ]


def best_span(
    starts: NDArray[np.float32], ends: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[int, int, float]:
    """The likeliest answer: its first token, its last one, and the probability of both together.

    Args:
        starts: how well an answer starts at each token, -inf for what fills the piece up.
        ends: how well one ends there.
        inside: which tokens are words of the document. The first token stands for "no answer" and takes its
            share of the probability.

    """
    open_to = inside.copy()
    open_to[0] = True
    chances = []
    for scores in (starts, ends):
        kept = np.where(open_to, scores.astype(np.float64), -np.inf)
        even = np.exp(kept - kept.max())
        chances.append(np.where(inside, even / even.sum(), 0.0))
    both = np.triu(np.outer(*chances))
    both = np.tril(both, _LONGEST_ANSWER - 1)
    first, last = divmod(int(both.argmax()), both.shape[1])
    return first, last, float(both[first, last])
