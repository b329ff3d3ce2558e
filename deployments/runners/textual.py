"""What runners of text models share: the model and its tokenizer, how much they read at once, batches."""

import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from deployments.result import Input
from deployments.runners.neural import NeuralRunner
from model_catalog.tasks import TASKS

_UNTOLD = 100_000_000  # tokenizers tell 1e30 where they know no limit
_USUAL = 512  # tokens of a model that tells no limit: of T5's family, mostly
_TOGETHER = 32  # sequences of one forward pass
_SHORT = 64  # characters: shorter texts are alike
_SAME_CALL = frozenset({"top_k", "threshold", "seed"})  # knobs of which each row of a batch has its own
_POSITIONS = (
    "max_encoder_position_embeddings",
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
)


class TextRunner(NeuralRunner):
    """A runner over one model with a tokenizer.

    Attributes:
        model: the model.
        tokenizer: its tokenizer.
        limit: the most tokens the model reads at once, special ones included.

    """

    model: Any
    tokenizer: Any
    limit: int

    def open_as(self, auto: Any, tokenizer: Any = None, **options: Any) -> None:
        """Load the model under an Auto class, and its tokenizer (under ``AutoTokenizer`` by default).

        Raises:
            ExpertError: they cannot be loaded, or do not fit.

        """
        import transformers

        self.model = self.load_model(auto, **options)
        self.tokenizer = self.load_processor(tokenizer or transformers.AutoTokenizer)
        self.limit = window(self.model, self.tokenizer)
        self.tokenizer.model_max_length = self.limit
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if getattr(self.model.config, "pad_token_id", None) is None:
            self.model.config.pad_token_id = self.tokenizer.pad_token_id

    def key(self, item: Input) -> Hashable:
        """Inputs share a batch if their texts are about as long and they are tuned alike."""
        row = TASKS.get(item.task)
        knobs = {knob.name for knob in row.knobs} - _SAME_CALL if row else set()
        tuned = tuple((name, item.text(name)) for name in sorted(knobs))
        length = sum(len(item.text(name)) for name in item.args if name not in knobs)
        return item.task, tuned, max(length, _SHORT).bit_length()

    def inputs(self, encoded: Any, rows: slice | Sequence[int] = slice(None)) -> dict[str, Any]:
        """The tensors of ``encoded`` that the model takes, on its device."""
        return {
            name: encoded[name][rows].to(self.device)
            for name in self.tokenizer.model_input_names
            if name in encoded
        }

    def forward(self, encoded: Any) -> Iterator[Any]:
        """The model's outputs for encoded sequences, at most a few dozen in one pass."""
        for start in range(0, len(encoded["input_ids"]), _TOGETHER):
            self.check_stopped()
            yield self.model(**self.inputs(encoded, slice(start, start + _TOGETHER)))

    def logits(self, encoded: Any, name: str = "logits") -> Any:
        """The model's logits for encoded sequences: float32, on the CPU."""
        import torch

        return torch.cat([output[name].float().cpu() for output in self.forward(encoded)])

    def count(self, text: str, **options: Any) -> int:
        """How many tokens a text has, special ones included."""
        return len(self.tokenizer(text, **options)["input_ids"])


def control(tokenizer: Any, *marks: str, gaps: bool = True) -> re.Pattern[str]:
    """What a tokenizer takes for its own tokens wherever it stands: special tokens, and ``marks``.

    A person who writes one of them means the letters. ``split_special_tokens`` alone does not see to that:
    a Unigram vocabulary (T5, XLM-R, mBART) finds them among its pieces all the same.

    Args:
        tokenizer: the tokenizer.
        marks: more of them.
        gaps: whether masks and T5's sentinels are among them.

    """
    found = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    found |= {str(token) for token in tokenizer.all_special_tokens} | set(marks)
    if not gaps:
        found = {token for token in found if token != tokenizer.mask_token and "extra_id" not in token}
    tokens = sorted((token for token in found if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")


def window(model: Any, tokenizer: Any) -> int:
    """The most tokens that a model reads at once: its positions', or its tokenizer's, whichever is less."""
    config = model.config.get_text_config()
    told = [getattr(config, name, None) for name in _POSITIONS]
    limits = [value for value in told if isinstance(value, int) and value > 0][:1]
    # RoBERTa's family counts positions from the padding's number on.
    limits += [
        module.num_embeddings - module.padding_idx - 1
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    limits.append(tokenizer.model_max_length)
    return min((int(limit) for limit in limits if limit < _UNTOLD), default=_USUAL)
