"""How models write down recordings: frame by frame, as CTC models and transducers do, or in one go.

CTC: Graves et al. 2006. Transducers: arXiv 1211.3711; with durations (TDT): arXiv 2304.06795.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

from deployments.errors import ExpertError
from deployments.runners.sound import Wave, groups, pads_exactly, quiet_parts

_PIECE = 30.0  # seconds that a model hears at once
_MARGIN = 4.0  # seconds at each side of a piece that only give its neighbours' words their context
_PAUSE = 0.6  # seconds of silence that end a phrase
_PHRASE = 15.0  # seconds after which one ends with the next word


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recording says.

    Attributes:
        text: all of it.
        chunks: its phrases: ``text``, and ``start`` and ``end`` in seconds.
        language: the language's code, empty where the model does not tell it.

    """

    text: str
    chunks: list[dict[str, Any]] = field(default_factory=list)
    language: str = ""


class _Piece(NamedTuple):
    """A part of recording ``owner``, from sample ``offset`` on; tokens count from ``first`` to ``last``."""

    owner: int
    offset: int
    wave: Wave
    first: int
    last: int


class _Token(NamedTuple):
    """A token and the sample at which it begins."""

    number: int
    at: int


class FrameEar:
    """Models that tell what is said at every frame; long recordings come in overlapping pieces."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, most: int) -> None:
        """Take a model with its processors, and the most pieces of one model call."""
        self._model, self._extractor, self._tokenizer, self._most = model, extractor, tokenizer, most
        self._rate = int(extractor.sampling_rate)
        self._hop = _hop(model.config, extractor)
        self._transducer = hasattr(model.config, "blank_token_id")
        self._padded = pads_exactly(model.config, extractor)
        pad = model.config.pad_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._blank = model.config.blank_token_id if self._transducer else pad

    def hear(self, waves: Sequence[Wave]) -> list[Heard]:
        """What each recording says."""
        pieces = [piece for owner, wave in enumerate(waves) for piece in self._pieces(owner, wave)]
        found: list[list[_Token]] = [[] for _ in pieces]
        for group in groups([len(piece.wave) for piece in pieces], self._padded, self._most):
            several = self._tokens([pieces[index].wave for index in group])
            for index, tokens in zip(group, several, strict=True):
                found[index] = _within(pieces[index], tokens)
        return [
            self._written(
                [
                    token
                    for piece, tokens in zip(pieces, found, strict=True)
                    if piece.owner == owner
                    for token in tokens
                ],
                len(wave),
            )
            for owner, wave in enumerate(waves)
        ]

    def _pieces(self, owner: int, wave: Wave) -> Iterator[_Piece]:
        # Everything is a multiple of a frame, so that each frame belongs to one piece.
        size = round(_PIECE * self._rate / self._hop) * self._hop
        margin = round(_MARGIN * self._rate / self._hop) * self._hop
        offset = 0
        while True:
            end = offset + size
            final = end >= len(wave)
            first = offset + margin if offset else 0
            yield _Piece(owner, offset, wave[offset:end], first, len(wave) if final else end - margin)
            if final:
                return
            offset += size - 2 * margin

    def _tokens(self, waves: Sequence[Wave]) -> list[list[_Token]]:
        features = self._extractor(
            list(waves), sampling_rate=self._rate, padding=True, return_tensors="pt"
        ).to(self._model.device, self._model.dtype)
        if self._transducer:
            return self._emitted(features, [len(wave) for wave in waves])
        ids = self._model(**features).logits.argmax(-1).cpu().tolist()
        counts = self._frames(waves, features, len(ids[0]))
        return [
            [
                _Token(number, at * self._hop)
                for number, at in _collapsed(row[:count])
                if number != self._blank
            ]
            for row, count in zip(ids, counts, strict=True)
        ]

    def _emitted(self, features: Any, lengths: Sequence[int]) -> list[list[_Token]]:
        most = [self._model.config.max_symbols_per_step * (length // self._hop + 1) for length in lengths]
        made = self._model.generate(**features, max_new_tokens=max(most))
        # A token begins where all before it have ended.
        starts = (made.durations.cumsum(-1) - made.durations).cpu().tolist()
        skipped = {self._blank, *self._tokenizer.all_special_ids}
        return [
            [
                _Token(number, at * self._hop)
                for number, at in zip(row[: limit + 1], frames, strict=False)
                if number not in skipped
            ]
            for row, frames, limit in zip(made.sequences.cpu().tolist(), starts, most, strict=True)
        ]

    def _frames(self, waves: Sequence[Wave], features: Any, longest: int) -> list[int]:
        """How many frames of each row are of its recording, and not of padding."""
        import torch

        if not self._padded:
            return [longest] * len(waves)
        if "input_values" in features:
            lengths = torch.tensor([len(wave) for wave in waves])
            return list(map(int, self._model._get_feat_extract_output_lengths(lengths)))
        lengths = features["attention_mask"].sum(-1)
        encoder = getattr(self._model, "encoder", None)
        shortened = getattr(encoder, "_get_subsampling_output_length", None)
        return list(map(int, shortened(lengths) if shortened else lengths))

    def _written(self, tokens: Sequence[_Token], length: int) -> Heard:
        chunks = []
        for phrase in self._phrases(tokens):
            numbers = [token.number for token in phrase]
            text = self._tokenizer.decode(numbers, group_tokens=False, skip_special_tokens=True).strip()
            end = min(phrase[-1].at + self._hop, length)
            if text:
                chunks.append(chunk(text, phrase[0].at / self._rate, end / self._rate))
        return Heard(" ".join(entry["text"] for entry in chunks), chunks)

    def _phrases(self, tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
        """Words between which there is no pause."""
        phrase: list[_Token] = []
        for word in self._words(tokens):
            pause = phrase and word[0].at - phrase[-1].at > _PAUSE * self._rate
            if phrase and (pause or word[-1].at - phrase[0].at > _PHRASE * self._rate):
                yield phrase
                phrase = []
            phrase += word
        if phrase:
            yield phrase

    def _words(self, tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
        """Tokens of a word each; a mark between words goes with the word before it."""
        mark = getattr(self._tokenizer, "word_delimiter_token", None)
        names = self._tokenizer.convert_ids_to_tokens([token.number for token in tokens])
        word: list[_Token] = []
        for token, name in zip(tokens, names, strict=True):
            if name == mark:
                # It says nothing of when the word before it ended.
                word.append(_Token(token.number, word[-1].at if word else token.at))
            if word and (name == mark or str(name).startswith("▁")):
                yield word
                word = []
            if name != mark:
                word.append(token)
        if word:
            yield word


class WholeEar:
    """Models that write a short recording down in one go; long ones come in parts, cut where it is quiet."""

    PACE: ClassVar[Mapping[str, float]] = {
        "moonshine": 6.5,
        "speech_to_text": 12.0,
        "speecht5": 30.0,
        "speech-encoder-decoder": 12.0,
    }
    """Kinds that need nothing but the recording, with the most tokens that a second of speech can have."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, most: int) -> None:
        """Take a model with its processors, and the most parts of one model call."""
        self._model, self._extractor, self._tokenizer, self._most = model, extractor, tokenizer, most
        self._rate = int(extractor.sampling_rate)
        self._pace = self.PACE[model.config.model_type]

    def hear(self, waves: Sequence[Wave]) -> list[Heard]:
        """What each recording says."""
        parts = [
            (owner, start, part)
            for owner, wave in enumerate(waves)
            for start, part in quiet_parts(wave, self._rate, _PIECE)
        ]
        texts = [""] * len(parts)
        for group in groups([len(part) for _, _, part in parts], False, self._most):
            for index, text in zip(group, self._texts([parts[index][2] for index in group]), strict=True):
                texts[index] = text
        heard = []
        for owner in range(len(waves)):
            chunks = [
                chunk(text, start / self._rate, (start + len(part)) / self._rate)
                for (mine, start, part), text in zip(parts, texts, strict=True)
                if mine == owner and text
            ]
            heard.append(Heard(" ".join(entry["text"] for entry in chunks), chunks))
        return heard

    def _texts(self, waves: Sequence[Wave]) -> list[str]:
        features = self._extractor(
            list(waves), sampling_rate=self._rate, padding=True, return_tensors="pt"
        ).to(self._model.device, self._model.dtype)
        most = 8 + round(self._pace * len(waves[0]) / self._rate)
        limit = _positions(self._model.config)
        numbers = self._model.generate(**features, max_new_tokens=min(most, limit))
        texts = self._tokenizer.batch_decode(numbers, skip_special_tokens=True)
        return [str(text).strip() for text in texts]


def chunk(text: str, start: float, end: float) -> dict[str, Any]:
    """A phrase with its time in seconds."""
    return {"text": text, "start": round(float(start), 2), "end": round(float(end), 2)}


def _collapsed(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Tokens of several frames once, with the first of their frames."""
    for number, run in groupby(enumerate(numbers), key=lambda pair: pair[1]):
        yield number, next(run)[0]


def _within(piece: _Piece, tokens: Sequence[_Token]) -> list[_Token]:
    """The tokens that are the piece's own, not its neighbours'; counted from the recording's begin."""
    placed = [_Token(token.number, token.at + piece.offset) for token in tokens]
    return [token for token in placed if piece.first <= token.at < piece.last]


def _hop(config: Any, extractor: Any) -> int:
    """Samples from one frame to the next.

    Raises:
        ExpertError: the model's configuration does not tell.

    """
    ratio = getattr(config, "inputs_to_logits_ratio", None)
    factor = getattr(getattr(config, "encoder_config", None), "subsampling_factor", None)
    if factor:
        ratio = extractor.hop_length * factor
    if not ratio:
        raise ExpertError(f"This release cannot place the words of a {config.model_type} model in time.")
    return int(ratio)


def _positions(config: Any) -> int:
    """The most tokens that a model's decoder has places for, less those it begins and ends with."""
    decoder = getattr(config, "decoder", None) or config
    names = ("max_target_positions", "max_text_positions", "max_position_embeddings")
    known = [getattr(decoder, name, None) for name in names]
    return max(1, min((int(limit) for limit in known if limit), default=448) - 2)
