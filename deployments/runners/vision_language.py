"""Chat models that look at pictures, for every task of one picture and words."""

import re
import secrets
import warnings
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from deployments.errors import ExpertError, InputError
from deployments.result import Input, Result
from deployments.runners.loading import check_class
from deployments.runners.neural import NeuralRunner
from deployments.runners.processing import kind, processor
from deployments.runners.sampling import Writing, drawn, options, writing
from deployments.runners.sight import moved, plain, room, seen, usual
from deployments.runners.single import text_of

DESCRIBE = "Describe this picture in one or two sentences."
TRANSCRIBE = "Write down all text in this picture, exactly as it stands."
SHORTLY = "{}\nAnswer with a word or a short phrase."
FROM_DOCUMENT = "{}\nAnswer with the words of this document alone."

_TRANSCRIBE_OF: Mapping[str, str] = {
    "deepseek_ocr2": "Free OCR.",
    "glm_ocr": "Text Recognition:",
    "paddleocr_vl": "OCR:",
    "unlimited_ocr": "document parsing.",
}
"""The one prompt for reading that models made for it were trained with, by type."""

_PLAIN: Mapping[str, Mapping[str, str]] = {
    "florence2": {"caption": "<CAPTION>", "ocr": "<OCR>"},
    "paligemma": {
        "caption": "<image>caption en",
        "ocr": "<image>ocr",
        "text": "<image>{}",
        "question": "<image>answer en {}",
    },
}
"""Prompts of models that look and answer, but do not chat: of a job, or around a text or a question."""

_SILENT = frozenset({"blip", "blip-2", "git", "pix2struct", "vision-encoder-decoder"})
"""Types that the Auto class counts among these, but that are not asked in words."""

_LENGTH = 512  # tokens
_THOUGHT = re.compile(r"^.*?</think>", re.DOTALL)

_QUESTIONS = {"visual-question-answering": SHORTLY, "document-question-answering": FROM_DOCUMENT}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One picture with what is said about it."""

    task: str
    picture: Any
    words: str
    writing: Writing


class VisionLanguage(NeuralRunner):
    """Answers, describes and reads: the task makes the prompt, the model's chat template the rest.

    Reasoning between ``<think>`` marks is left out. With the model's own generation configuration, or a
    ``temperature``, tokens are drawn at random; the seed is part of the result.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self._kind = kind(self)
        if self._kind in _SILENT:
            raise ExpertError(
                f"A model of the kind {self._kind} does not follow words; give its card the runner "
                "image-to-text, visual-question-answering or document-question-answering."
            )
        check_class(transformers.AutoModelForImageTextToText, self.folder, self.card.tasks[0])
        self._processor = processor(self)
        self._tokenizer = _tokenizer(self)
        # New tokens follow the last one of the prompt, so that shorter prompts are filled up before it.
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model = self.load_model(transformers.AutoModelForImageTextToText)
        if self._template() is None and self._kind not in _PLAIN:
            raise ExpertError(
                f"{self.card.id} has no chat template, so that it cannot be asked; take a version of it that "
                "was made for chat."
            )

    def ready(self, item: Input) -> _Asked:
        """The picture, the prompt, and how to write."""
        asked = writing(self, item, usual(self._model, _LENGTH))
        if item.task != "image-text-to-text":
            # Of an answer to be relied on, one and the same is wanted each time.
            asked = Writing(asked.length, 0.0)
        elif asked.seed is None:
            asked = replace(asked, seed=secrets.randbelow(2**32))
        return _Asked(item.task, seen(item), self._words(item), asked)

    def key(self, item: Input) -> Hashable:
        """See ``Runner``: the knobs that a whole batch shares."""
        return item.task, *(self.word(item, name) for name in ("max_new_tokens", "temperature", "top_p"))

    def infer(self, items: Sequence[_Asked]) -> list[Result]:
        """What the model says, to all that are written alike in one call."""

        def alike(item: _Asked) -> Hashable:
            return item.writing.length, drawn(item.writing, self._model.generation_config)

        return grouped(items, alike, self._said)

    def _words(self, item: Input) -> str:
        if item.task == "image-to-text":
            return self.card.defaults.get("prompt") or self._job(self.card.yields or "caption")
        words = plain(text_of(item), self._tokenizer)
        if not words:
            raise InputError(f"{item.task} needs words under 'text' that are no control tokens.")
        around = _PLAIN.get(self._kind) if self._template() is None else None
        if item.task == "image-text-to-text":
            return (around or {}).get("text", "{}").replace("{}", words)
        asking = _QUESTIONS[item.task] if around is None else around.get("question", "{}")
        return asking.replace("{}", words)

    def _job(self, job: str) -> str:
        if self._template() is None:
            return _PLAIN[self._kind][job]
        return _TRANSCRIBE_OF.get(self._kind, TRANSCRIBE) if job == "ocr" else DESCRIBE

    def _said(self, items: Sequence[_Asked]) -> list[Result]:
        inputs = moved(self._inputs(items), self._model)
        inputs.pop("labels", None)
        answers = not self._model.config.is_encoder_decoder
        prompt = inputs["input_ids"].shape[1] if answers else 0
        left = room(self._model, prompt)
        if left < 1:
            raise InputError(
                "The text is too long for this model together with a picture; send a part of it."
            )
        several = [item.writing for item in items]
        if left < several[0].length and len(items) > 1:
            # What fills one prompt up must not take the room of its answer.
            return [result for item in items for result in self._said([item])]
        asked = options(several, self._model.generation_config)
        asked["max_new_tokens"] = min(left, asked["max_new_tokens"])
        made = self._model.generate(**inputs, **asked)[:, prompt:]
        texts = self._tokenizer.batch_decode(made, skip_special_tokens=True)
        random = drawn(several[0], self._model.generation_config)
        return [self._result(item, text, random) for item, text in zip(items, texts, strict=True)]

    def _inputs(self, items: Sequence[_Asked]) -> Any:
        shaped = {"return_tensors": "pt", "padding": True}
        template = self._template()
        if template is None:
            with warnings.catch_warnings():
                # PaliGemma's turns tensors into arrays in a way that numpy 2 finds old.
                warnings.simplefilter("ignore", DeprecationWarning)
                return self._processor(
                    images=[item.picture for item in items], text=[item.words for item in items], **shaped
                )
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": item.picture},
                        {"type": "text", "text": item.words},
                    ],
                }
            ]
            for item in items
        ]
        # Reasoning would be cut out anyway, and costs many times the answer.
        more = {"enable_thinking": False} if "enable_thinking" in str(template) else {}
        return self._processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs=shaped,
            **more,
        )

    def _template(self) -> Any:
        return getattr(self._processor, "chat_template", None)

    def _result(self, item: _Asked, written: str, random: bool) -> Result:
        text = _THOUGHT.sub("", written).strip()
        if text.startswith("<think>"):
            raise ExpertError("The model thought until its last token; ask again with more max_new_tokens.")
        match item.task:
            case "image-to-text":
                data: Any = described(text, self.card.yields)
            case "visual-question-answering" | "document-question-answering":
                data = {"answer": text}
            case _:
                data = {"seed": item.writing.seed} if random else None
        return Result(text=text, data=data)


class OrChat(NeuralRunner):
    """A family of models of its own that leaves those that chat to ``VisionLanguage``.

    Attributes:
        kinds: types of models that it runs itself.
        chat: the runner of those that chat.

    """

    kinds: ClassVar[frozenset[str]]
    chat: ClassVar[type[VisionLanguage]] = VisionLanguage
    _chat: VisionLanguage | None = None

    def open(self) -> None:
        """See ``NeuralRunner``."""
        found = kind(self)
        if found in self.kinds:
            self.open_own(found)
            return
        chat = self.chat()
        # The same card, folder and device, and one and the same event that stops a call.
        vars(chat).update(vars(self))
        chat.open()
        self._chat = chat

    @abstractmethod
    def open_own(self, found: str) -> None:
        """Load a model of the type ``found``.

        Raises:
            ExpertError: it cannot be loaded, or its weights do not fit.

        """

    def key(self, item: Input) -> Hashable:
        """See ``Runner``."""
        return self._chat.key(item) if self._chat else self.word(item, "max_new_tokens")

    def run(self, inputs: Sequence[Input]) -> Sequence[Result | Exception]:
        """See ``Runner``."""
        return self._chat.run(inputs) if self._chat else super().run(inputs)


def described(text: str, yields: str | None) -> dict[str, str]:
    """The data of image-to-text."""
    return {"text" if yields == "ocr" else "caption": text}


def grouped(
    items: Sequence[Any], alike: Callable[[Any], Hashable], answer: Callable[[Sequence[Any]], list[Result]]
) -> list[Result]:
    """One result of ``answer`` for each item, in order; ``answer`` is called once for all that are alike."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[alike(item)].append(place)
    found: dict[int, Result] = {}
    for some in places.values():
        found |= zip(some, answer([items[place] for place in some]), strict=True)
    return [found[place] for place in range(len(items))]


def _tokenizer(runner: VisionLanguage) -> Any:
    found = getattr(runner._processor, "tokenizer", None)
    if found is None:
        raise ExpertError(f"The processor of {runner.card.id} has no tokenizer, so that it cannot be asked.")
    return found
