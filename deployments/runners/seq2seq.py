"""Texts become other texts by encoder-decoder models: summaries, translations, rewritings."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deployments.errors import InputError
from deployments.result import Input, Result
from deployments.runners import languages, passages
from deployments.runners.dialects import Dialect, dialect
from deployments.runners.sampling import Writing, alike, batches, options, writing
from deployments.runners.single import text_of
from deployments.runners.textual import TextRunner, control

_TOGETHER = 16  # prompts of one call of generate
_LONGEST = 256  # tokens of an answer where neither call, card nor model says otherwise
_STEP = 64  # tokens: lengths are rounded up to it, so that prompts share calls
_SINUSOIDS = ("*embed_positions.weight*", "*final_logits_bias")  # computed, whether stored or not
_SINUSOIDAL = ("marian", "m2m_100", "nllb-moe", "pegasus", "fsmt")
_BEAMS = ("num_beams", "length_penalty", "no_repeat_ngram_size", "early_stopping")
_UNSPACED = ("zh", "ja", "th", "lo", "km", "my")  # languages without blanks between sentences

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that the encoder reads at once.

    Attributes:
        text: prefix and all.
        tokens: its length.
        options: of ``generate``.
        source: the language that the tokenizer is told, if any.
        writing: how the answer is drawn, where a call may say.

    """

    text: str
    tokens: int
    options: Options
    source: str = ""
    writing: Writing | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One input's prompts, and what stands before each one's answer."""

    prompts: tuple[Prompt, ...]
    joints: tuple[str, ...]


class Rewriter(TextRunner):
    """Answers instructions by an encoder-decoder model; also summarizes and translates, as tasks ask."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import warnings

        import transformers

        config = self.load_processor(transformers.AutoConfig)
        spare = _SINUSOIDS if config.model_type in _SINUSOIDAL else ()
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*sacremoses"
            )  # evens out quotes, which we can do without
            self.open_as(transformers.AutoModelForSeq2SeqLM, spare=spare)
        self._kind = str(config.model_type)
        self._presets: Mapping[str, Any] = getattr(config, "task_specific_params", None) or {}
        self._dialect: Dialect | None = None
        if "translation" in self.card.tasks:
            self._dialect = dialect(self.model, self.tokenizer, self.card.id)
        marks = self._dialect.marks if self._dialect else ()
        self._control = control(self.tokenizer, *marks)
        self._beside_gaps = control(self.tokenizer, *marks, gaps=False)
        self._detector = languages.detector() if self._dialect and self._dialect.switched else None

    def example(self, task: str) -> Input:
        """See ``TextRunner``; a translation is between languages that the model has."""
        item = super().example(task)
        if task != "translation" or not self._dialect:
            return item
        target, source = (*self._dialect.targets[:1], ""), (*self._dialect.sources[-1:], "")
        return Input(task, {**item.args, "target_language": target[0], "source_language": source[0]})

    def key(self, item: Input) -> Hashable:
        """See ``TextRunner``; a language each."""
        return super().key(item), item.text("target_language")

    def ready(self, item: Input) -> Job:
        """The prompts.

        Raises:
            InputError: there are no words, a knob is wrong, or the model has not the languages.

        """
        text = self._words(item)
        if item.task == "summarization":
            return self._summary(item, text)
        if item.task == "translation":
            return self._translation(item, text)
        asked = writing(self, item, _LONGEST)
        prompt = self.card.defaults.get("prefix", "") + text
        tokens = self.count(prompt)
        if tokens > self.limit:
            raise InputError(
                f"The text has {tokens} tokens, and {self.card.id} reads at most {self.limit}; shorten it."
            )
        asked = replace(asked, length=self._length(item, _LONGEST))
        return Job((Prompt(prompt, tokens, (), writing=asked),), ("",))

    def _words(self, item: Input) -> str:
        """The text without the tokenizer's own marks; an instruction may hold gaps to fill.

        Raises:
            InputError: nothing is left of it.

        """
        marks = self._beside_gaps if item.task == "text2text-generation" else self._control
        words = marks.sub(" ", text_of(item))
        if not words.strip():
            raise InputError(
                f"{item.task} needs words, and the text has only marks that {self.card.id} keeps for itself."
            )
        return words

    def infer(self, items: Sequence[Job]) -> list[Result]:
        """One text for each input; a long one's parts are answered apart and joined."""
        prompts = sorted(
            {prompt for job in items for prompt in job.prompts}, key=lambda prompt: prompt.tokens
        )
        answers: dict[Prompt, str] = {}
        for places in batches(prompts, self._shared, _TOGETHER):
            self.check_stopped()
            group = [prompts[place] for place in places]
            answers.update(zip(group, self._generated(group), strict=True))
        return [
            Result(
                text="".join(
                    joint + answers[prompt] for joint, prompt in zip(job.joints, job.prompts, strict=True)
                ).strip()
            )
            for job in items
        ]

    def _shared(self, prompt: Prompt) -> Hashable:
        """What prompts of one call have in common."""
        config = self.model.generation_config
        return prompt.options, prompt.source, prompt.writing and alike(prompt.writing, config)

    def _generated(self, prompts: Sequence[Prompt]) -> list[str]:
        import torch

        if prompts[0].source:
            self.tokenizer.src_lang = prompts[0].source
        encoded = self.tokenizer([prompt.text for prompt in prompts], padding=True, return_tensors="pt")
        inputs = self.inputs(encoded)
        if self._kind == "led":  # its first token sees all others (arXiv 2004.05150)
            inputs["global_attention_mask"] = torch.zeros_like(inputs["attention_mask"])
            inputs["global_attention_mask"][:, 0] = 1
        several = [prompt.writing for prompt in prompts if prompt.writing]
        asked = options(several, self.model.generation_config) if several else dict(prompts[0].options)
        written = self.model.generate(**inputs, **asked)
        marks = (
            set(self._dialect.tokens.values()) if self._dialect else set()
        )  # not special for every tokenizer
        kept = [[token for token in ids if token not in marks] for ids in written.tolist()]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [text.replace("<n>", "\n").strip() for text in texts]  # "<n>": Pegasus' end of a line

    def _counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of texts, without special ones."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _length(self, item: Input, default: int) -> int:
        """The most tokens of an answer, within what the decoder can count."""
        return min(self.whole(item, "max_new_tokens", default, 1, 100_000), max(1, self._most - 1))

    @property
    def _most(self) -> int:
        """The decoder's positions; its family of T5 counts on without end."""
        config = self.model.config
        told = getattr(config, "max_decoder_position_embeddings", None)
        return int(told or getattr(config, "max_position_embeddings", None) or 100_000)

    def _room(self, prefix: str) -> int:
        """Tokens that a prompt has left for text; a few fewer, for tokens merge where texts are joined."""
        return max(1, self.limit - self.count(prefix) - max(2, self.limit // 32))

    # Summaries -----------------------------------------------------------------------------------------

    def _summary(self, item: Input, text: str) -> Job:
        preset = self._presets.get("summarization") or {}
        usual = "summarize: " if self._kind == "t5" else ""
        prefix = self.card.defaults.get("prefix", preset.get("prefix", usual))
        config = self.model.generation_config
        longest = config.max_new_tokens or config.max_length or preset.get("max_length") or _LONGEST
        shortest = config.min_length or preset.get("min_length") or 0
        parts = self._parts(prefix, text)
        options = {name: preset[name] for name in _BEAMS if name in preset and not _set(config, name)}
        options["max_new_tokens"] = self._length(item, int(longest))
        prompts = []
        for part in parts:
            tokens = self.count(prefix + part)
            least = min(_least(int(shortest), tokens), options["max_new_tokens"])
            prompts.append(Prompt(prefix + part, tokens, _frozen({**options, "min_length": least})))
        return Job(tuple(prompts), _spaces(len(prompts)))

    def _parts(self, prefix: str, text: str) -> list[str]:
        """A text in parts that fit behind the prefix."""
        room = self._room(prefix)
        parts = passages.passages(text, room, self._counts)
        while room > 1 and max(self.count(prefix + part) for part in parts) > self.limit:
            room = room * 9 // 10  # tokens have merged otherwise where sentences were joined
            parts = passages.passages(text, room, self._counts)
        return parts

    # Translations --------------------------------------------------------------------------------------

    def _translation(self, item: Input, text: str) -> Job:
        known = self._dialect or dialect(self.model, self.tokenizer, self.card.id)
        target = self._target(item, known)
        source = self._source(item, known, text)
        if source and source == target:
            raise InputError(
                f"The text is in {languages.told([source])} already; name another target_language, "
                "or the text's own as source_language."
            )
        prefix = self.card.defaults.get("prefix") or known.before(source, target)
        preset = self._presets.get(f"translation_{source}_to_{target}") or {}
        options = {name: preset[name] for name in _BEAMS if name in preset}
        options |= known.options(target)
        prompts, joints = [], []
        for joint, unit in self._units(text, self._room(prefix), target):
            prompt = prefix + unit if prefix else self._unmarked(unit)
            tokens = self.count(prompt)
            longest = self._length(item, 2 * _STEP * (1 + tokens // _STEP) + _STEP)
            frozen = _frozen({**options, "max_new_tokens": longest})
            prompts.append(Prompt(prompt, tokens, frozen, source if known.switched else ""))
            joints.append(joint)
        return Job(tuple(prompts), tuple(joints))

    def _units(self, text: str, room: int, target: str) -> Iterator[tuple[str, str]]:
        """The sentences of a text, each behind what stands before its translation: lines stay lines."""
        meant = languages.language(target)
        between = "" if meant and meant.codes[0] in _UNSPACED else " "
        breaks = ""
        for line in text.strip().splitlines():
            units = passages.sentences_within(line, room, self._counts)
            for place, unit in enumerate(units):
                yield (between if place else breaks), unit
            breaks = "\n" if units else f"{breaks}\n"

    def _unmarked(self, prompt: str) -> str:
        """A sentence that no language is told before; Marian's tokenizer takes any ">>a<<" there for one."""
        return f" {prompt}" if self._kind == "marian" and prompt.startswith(">>") else prompt

    def _target(self, item: Input, known: Dialect) -> str:
        """The model's own code of the language to write.

        Raises:
            InputError: the model does not write it, or none is told where there are several.

        """
        asked = self.word(item, "target_language")
        if not asked and len(known.targets) == 1:
            return known.targets[0]
        if not asked and not known.targets:
            return ""
        if not asked:
            raise InputError(
                f"Name the language to translate into as target_language; {self.card.id} writes "
                f"{languages.told(known.targets)}."
            )
        if not known.targets:
            raise InputError(
                f"{self.card.id} does not tell which language it writes; leave target_language out, or give "
                "its card a default."
            )
        target = languages.choose(asked, known.targets)
        if target is None:
            raise InputError(
                f"{self.card.id} does not translate into {asked[:40]!r}; it writes "
                f"{languages.told(known.targets)}."
            )
        return target

    def _source(self, item: Input, known: Dialect, text: str) -> str:
        """The model's own code of the text's language, empty where it needs none.

        Raises:
            InputError: the model does not read it, or it cannot be told.

        """
        if not known.sources:
            return ""
        asked = self.word(item, "source_language")
        if asked:
            source = languages.choose(asked, known.sources)
            if source is None:
                raise InputError(
                    f"{self.card.id} does not translate from {asked[:40]!r}; it reads "
                    f"{languages.told(known.sources)}."
                )
            return source
        if known.usual:
            return known.usual
        found = languages.detect(self._detector, text, known.sources) if self._detector else None
        if found is None:
            raise InputError(
                f"{self.card.id} must be told the text's language: name it as source_language, or install "
                "py3langid, which finds it out."
            )
        return found


class Summarizer(Rewriter):
    """Summarizes; a text longer than the model reads at once part by part."""


class Translator(Rewriter):
    """Translates sentence by sentence, by models of two languages and of many."""


def _frozen(options: Mapping[str, Any]) -> Options:
    return tuple(sorted(options.items()))


def _set(config: Any, name: str) -> bool:
    """Whether a model's generation configuration says something of its own."""
    return getattr(config, name, None) not in (None, 0, 1, 1.0, False)


def _least(wanted: int, tokens: int) -> int:
    """The least tokens of a summary: a short text's is never made longer than half of it."""
    return wanted if tokens >= 2 * wanted else 1 << max(0, (tokens // 2).bit_length() - 1)


def _spaces(count: int) -> tuple[str, ...]:
    return ("", *(" " for _ in range(count - 1)))
