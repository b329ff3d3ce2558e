"""Texts that decoder models write: answers of chat models, and texts gone on with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deployments.errors import ExpertError, InputError
from deployments.result import Input, Result
from deployments.runners.history import Chat, chat_of, folded, transcript
from deployments.runners.sampling import Writing, alike, batches, options, writing
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner

_TOGETHER = 64  # prompts of one call of generate
_LONGEST = 256  # new tokens of a text that is gone on with
_LONGEST_ANSWER = 512
_LONGEST_THOUGHT = 2048  # of a model that thinks first, with its answer
_THINKS = "<think>"
_THOUGHT = "</think>"
_HARMONY_ANSWER = "<|channel|>final<|message|>"  # gpt-oss, see openai/harmony
_HARMONY = "<|channel|>"
_OTHERS = ("ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification")
_TAIL = 8  # tokens at the end of a prompt that show whether it makes the model think


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model goes on with.

    Attributes:
        text: as the person gave it.
        ids: its tokens, a chat's marks included.
        chat: whether the model answers it, rather than goes on with it.
        thinks: whether the model has been made to think first.
        writing: how the model goes on.

    """

    text: str
    ids: tuple[int, ...]
    chat: bool
    thinks: bool
    writing: Writing


class Writer(TextRunner):
    """Answers by the chat template where the model has one, and goes on with the text where it has none."""

    _warming = False

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.open_as(transformers.AutoModelForCausalLM)
        made_for = getattr(self.model.config, "architectures", None) or [""]
        if str(made_for[0]).endswith(_OTHERS):
            raise ExpertError(f"{self.card.id} is a {made_for[0]}, which writes no texts; name its own task.")
        self.tokenizer.padding_side = "left"
        self._ends = _ends(self.model, self.tokenizer)
        self._harmony = self.tokenizer.get_vocab().get(_HARMONY)

    def warm_up(self) -> None:
        """See ``NeuralRunner``; a model that thinks has not come to an answer then."""
        self._warming = True
        try:
            super().warm_up()
        finally:
            self._warming = False

    def ready(self, item: Input) -> Prompt:
        """The prompt in tokens.

        Raises:
            InputError: it is too long, or a knob is wrong.

        """
        messages = chat_of(item, text_of(item))
        chat = bool(self.tokenizer.chat_template)
        text = transcript(messages)
        ids = self._chat(messages) if chat else self.tokenizer(text)["input_ids"]
        room = self.limit - len(ids)
        if room < 1:
            raise InputError(
                f"The text has {len(ids)} tokens, and {self.card.id} reads and writes {self.limit} in all; "
                "give it a shorter one."
            )
        tail = self.tokenizer.decode(ids[-_TAIL:], skip_special_tokens=False) if chat else ""
        thinks = _THINKS in tail and _THOUGHT not in tail
        usual = _LONGEST_THOUGHT if thinks else _LONGEST_ANSWER if chat else _LONGEST
        asked = writing(self, item, usual)
        # A task of its own asks for the answer alone; only text-generation shows the text and how it goes on.
        alone = chat or item.task != "text-generation"
        asked = replace(asked, length=min(asked.length, room))
        return Prompt("" if alone else text, tuple(ids), chat, thinks, asked)

    def _chat(self, messages: Chat) -> list[int]:
        """A conversation as the model's template writes it; marks inside the messages are plain text."""
        from jinja2 import TemplateError

        try:
            return self._templated(messages)
        except TemplateError:  # it knows no system messages, as Gemma's
            return self._templated(folded(messages))

    def _templated(self, messages: Chat) -> list[int]:
        encoded = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            return_dict=True,
            sanitize_control_tokens=bool(self.tokenizer.is_fast),
            enable_thinking=False,  # of Qwen3, SmolLM3 and others; unknown names do no harm
            reasoning_effort="low",  # of gpt-oss
        )
        return list(encoded["input_ids"])

    def infer(self, items: Sequence[Prompt]) -> list[Any]:
        """The answers, or whole texts; an error for a thought without an answer."""
        results: list[Any] = [None] * len(items)
        config = self.model.generation_config
        for places in batches(items, lambda item: alike(item.writing, config), _TOGETHER):
            group = [items[place] for place in places]
            for place, ids in zip(places, self._generated(group), strict=True):
                results[place] = self._result(items[place], ids)
        return results

    def _generated(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """The new tokens of each."""
        encoded = self.tokenizer.pad(
            {"input_ids": [list(prompt.ids) for prompt in prompts]}, padding=True, return_tensors="pt"
        )
        inputs = self.inputs(encoded)
        inputs.pop("token_type_ids", None)
        written = self.model.generate(
            **inputs,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self._ends,
            **options([prompt.writing for prompt in prompts], self.model.generation_config),
        )
        start = inputs["input_ids"].shape[1]
        return [self._ended(ids) for ids in written[:, start:].tolist()]

    def _ended(self, ids: list[int]) -> list[int]:
        """The tokens up to the first that ends a text: what follows it is padding."""
        ends = (place for place, token in enumerate(ids) if token in (self._ends or ()))
        return ids[: next(ends, len(ids))]

    def _result(self, prompt: Prompt, ids: list[int]) -> Result | ExpertError:
        if not prompt.chat:
            return Result(text=prompt.text + self._further(prompt, ids))
        answer = self._answer(prompt, ids)
        if answer is None and not self._warming:
            return ExpertError(
                f"{self.card.id} thought for {len(ids)} tokens and came to no answer; ask with a larger "
                "max_new_tokens."
            )
        return Result(text=answer or "")

    def _further(self, prompt: Prompt, ids: list[int]) -> str:
        """How a text goes on, with the blank before it that tokenizers drop at the beginning of a text."""
        before = self.tokenizer.decode(prompt.ids, skip_special_tokens=True)
        whole = self.tokenizer.decode([*prompt.ids, *ids], skip_special_tokens=True)
        if whole.startswith(before):
            return str(whole[len(before) :])
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _answer(self, prompt: Prompt, ids: list[int]) -> str | None:
        """The answer without thoughts; None where the model has not come to one."""
        raw = str(self.tokenizer.decode(ids, skip_special_tokens=False))
        # An answer may speak of these marks: they are marks only where the model does think.
        if self._harmony in ids:
            mark = _HARMONY_ANSWER
        elif prompt.thinks or raw.lstrip().startswith((_THINKS, _THOUGHT)):
            mark = _THOUGHT
        else:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
        _, found, answer = raw.partition(mark)
        return self._plain(answer) if found else None

    def _plain(self, text: str) -> str:
        """A text without special tokens."""
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, "")
        return text.strip()


def _ends(model: Any, tokenizer: Any) -> list[int] | None:
    """The tokens that end a text: the model's own, and the tokenizer's."""
    told = model.generation_config.eos_token_id
    ends = list(told) if isinstance(told, list | tuple) else [told]
    found = {int(token) for token in (*ends, tokenizer.eos_token_id) if token is not None}
    return sorted(found) or None
