"""What a call of a model of transformers holds, by its configuration and those of its processors."""

import inspect
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments.runners.routing import runner_of
from deployments.sizing.stage import (
    Unrehearsed,
    Work,
    built,
    entered,
    floats,
    numbers,
    ones,
    peak,
    stage,
)
from model_catalog.card import ModelCard
from model_catalog.guess import WRITTEN_TOKENS

LONGEST = 2048
"""The most tokens of each text of a batch: of a longer one, fewer go into the same memory."""

ASKED = 32
"""Tokens of a question or caption beside a picture."""

TOGETHER = 32
"""The most rows of one forward pass of the runners of texts."""

WRITTEN = 256
"""Tokens that an encoder's decoder writes where its configuration does not say."""

SECONDS = 30
"""The longest piece of a recording that models hear at once."""

_USUAL_TOKENS = 512
_UNTOLD = 100_000_000
_PHOTO = (768, 1024)  # height and width of a picture, in pixels
_SMALL = (480, 640)  # of one whose model takes pictures as they come
_TILE = 192  # as of runners.upscaling
_POSITIONS = (
    "max_encoder_position_embeddings",
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
)

AUTOS: Mapping[str, tuple[str, ...]] = {
    "text-classification": ("AutoModelForSequenceClassification",),
    "zero-shot-classification": ("AutoModelForSequenceClassification",),
    "token-classification": ("AutoModelForTokenClassification",),
    "fill-mask": ("AutoModelForMaskedLM",),
    "question-answering": ("AutoModelForQuestionAnswering",),
    "table-question-answering": ("AutoModelForTableQuestionAnswering", "AutoModelForSeq2SeqLM"),
    "summarization": ("AutoModelForSeq2SeqLM",),
    "translation": ("AutoModelForSeq2SeqLM",),
    "text2text-generation": ("AutoModelForSeq2SeqLM",),
    "text-generation": ("AutoModelForCausalLM",),
    "embedding": ("AutoModelForTextEncoding", "AutoModel"),
    "image-classification": ("AutoModelForImageClassification",),
    "object-detection": ("AutoModelForObjectDetection",),
    "zero-shot-image-classification": ("AutoModelForZeroShotImageClassification",),
    "zero-shot-object-detection": ("AutoModelForZeroShotObjectDetection",),
    "image-segmentation": ("AutoModelForUniversalSegmentation", "AutoModelForSemanticSegmentation"),
    "mask-generation": ("AutoModelForMaskGeneration",),
    "depth-estimation": ("AutoModelForDepthEstimation",),
    "super-resolution": ("AutoModelForImageToImage",),
    "video-classification": ("AutoModelForVideoClassification",),
    "document-question-answering": ("AutoModelForDocumentQuestionAnswering",),
    "image-text-to-text": ("AutoModelForImageTextToText",),
    "automatic-speech-recognition": ("AutoModelForCTC", "AutoModelForSpeechSeq2Seq"),
    "audio-classification": ("AutoModelForAudioClassification",),
}
"""The classes under which runners load their models; others have the one that their configuration names."""

_MANY_ROWS = {
    "zero-shot-classification": TOGETHER,
    "token-classification": TOGETHER,
    "question-answering": TOGETHER,
    "summarization": 16,
    "translation": 16,
    "super-resolution": 8,
}
"""Runners that make several rows of one input, for each label, part or tile, and the most of one call."""

_FEW_ROWS = {
    "text-generation": 2 * TOGETHER,
    "text2text-generation": 16,
    "fill-mask": TOGETHER,
    "embedding": TOGETHER,
    "table-question-answering": TOGETHER,
}
"""Runners whose calls have no more rows than this, however large a batch is."""

_WHOLE_PASS = frozenset({"text-classification", "zero-shot-classification", "embedding"})
"""Runners that ask models with a decoder for one pass, in which nothing is written."""


def work(card: ModelCard, folder: Path, dtype: Any) -> Work:
    """What the largest call of a card's model holds.

    Args:
        card: the model's card.
        folder: with its configuration, vetted.
        dtype: the torch type of its numbers.

    Raises:
        Unrehearsed: it cannot be told without running the model.

    """
    import transformers

    runner = runner_of(card) or ""
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config  # its kernels are for a GPU; they hold no more than plain ones
    rehearsal = _Rehearsal(card, runner, folder, config)
    given = rehearsal.processed()  # by real processors, so before the stage is entered
    model = built(lambda: _model(runner, config, dtype), dtype)
    with stage():
        return rehearsal.run(entered(model), given)


def _model(runner: str, config: Any, dtype: Any) -> Any:
    import transformers

    for name in AUTOS.get(runner, ()):
        auto = getattr(transformers, name)
        encoder = name == "AutoModelForTextEncoding"  # where a decoder would stand idle
        if type(config) in auto._model_mapping and not (encoder and not config.is_encoder_decoder):
            return auto.from_config(config, dtype=dtype, trust_remote_code=False)
    named = (getattr(config, "architectures", None) or [""])[0]
    cls = getattr(transformers, named, None)
    if cls is None or not hasattr(cls, "_from_config"):
        raise Unrehearsed(f"transformers has no {named or config.model_type}")
    return cls._from_config(config, dtype=dtype)


class _Rehearsal:
    """One model's call."""

    def __init__(self, card: ModelCard, runner: str, folder: Path, config: Any) -> None:
        self.runner, self.folder, self.config = runner, folder, config
        self.batch = card.batch_size
        self.rows = _MANY_ROWS.get(runner) or min(card.batch_size, _FEW_ROWS.get(runner, card.batch_size))

    def run(self, model: Any, given: Mapping[str, tuple[int, ...]]) -> Work:
        """Build what the call takes, and make it."""
        media = {name: self._tensor(model, name, shape) for name, shape in given.items()}
        takes = inspect.signature(model.forward).parameters
        count = numbers(model)
        if self.runner == "text-generation":
            return self._written(model, count)
        if self.runner == "mask-generation":
            held, _ = peak(model, model.vision_encoder, media)
            return Work(held, numbers=count)
        if self.runner == "image-text-to-text" and hasattr(model, "get_image_features"):
            return self._seen(model, media, count)
        if "decoder_input_ids" in takes and self.runner not in _WHOLE_PASS:
            return self._translated(model, media, count)
        inputs = {**self._words(takes, bool(media)), **media}
        more = any(one.kind is one.VAR_KEYWORD for one in takes.values())
        inputs = {name: value for name, value in inputs.items() if name in takes or (more and name in media)}
        held, _ = peak(model, model, inputs)
        return Work(held, numbers=count)

    def _tensor(self, model: Any, name: str, shape: tuple[int, ...]) -> Any:
        """A batch of what a processor makes of one input."""
        make = ones if name.endswith("mask") else partial(floats, model)
        return make(self.rows, *shape[1:])

    def _words(self, takes: Mapping[str, Any], beside: bool) -> dict[str, Any]:
        """Tokens of texts as long as they may be; of a short one beside a picture."""
        if "input_ids" not in takes:
            return {}
        tokens = min(self.limit(), ASKED) if beside else self.limit()
        words = {"input_ids": ones(self.rows, tokens), "attention_mask": ones(self.rows, tokens)}
        kinds = {"token_type_ids": (7,)} if self.config.model_type == "tapas" else {}
        words |= {name: ones(self.rows, tokens, *more) for name, more in kinds.items()}
        if "bbox" in takes:
            words["bbox"] = ones(self.rows, tokens, 4)
        return words

    def _written(self, model: Any, count: int) -> Work:
        """A decoder reads prompts that leave hardly any room, and writes on."""
        tokens = min(self.limit(most=WRITTEN_TOKENS), WRITTEN_TOKENS)
        words = {"input_ids": ones(self.rows, tokens), "attention_mask": ones(self.rows, tokens)}

        def call(**words: Any) -> Any:
            answer = model(**words, use_cache=True, logits_to_keep=1)
            return answer, answer.logits[:, -1].float().log_softmax(-1)

        held, (answer, _) = peak(model, call, words)
        cached = _cached(answer.past_key_values)
        return Work(max(0, held - cached), cached // (self.rows * tokens), tokens, count)

    def _translated(self, model: Any, media: Mapping[str, Any], count: int) -> Work:
        """An encoder reads, and a decoder writes its first token, in as many beams as it is told to."""
        encoder = model.get_encoder()
        takes = inspect.signature(encoder.forward).parameters
        inputs = {**self._words(takes, bool(media)), **media}
        inputs = {name: value for name, value in inputs.items() if name in takes}
        told = self._read("generation_config.json")
        beams = int(told.get("num_beams") or getattr(self.config, "num_beams", None) or 1)

        reading, seen = peak(model, encoder, inputs)
        if beams > 1:
            seen.last_hidden_state = seen.last_hidden_state.repeat_interleave(beams, 0)
        begun = {"encoder_outputs": seen, "decoder_input_ids": ones(beams * self.rows, 1)}
        if "attention_mask" in inputs:
            begun["attention_mask"] = inputs["attention_mask"].repeat_interleave(beams, 0)

        def call(**begun: Any) -> Any:
            answer = model(**begun, use_cache=True)
            return answer, answer.logits[:, -1].float().log_softmax(-1)

        writing, (answer, _) = peak(model, call, begun)
        cache = getattr(answer.past_key_values, "self_attention_cache", answer.past_key_values)
        length = told.get("max_new_tokens") or told.get("max_length") or WRITTEN
        each, tokens = _cached(cache) // self.batch, min(int(length), self._writable())
        # When it reads, nothing is written yet: the cache grows while it writes.
        written = self.batch * each * tokens
        return Work(max(writing, reading - written), each, tokens, count)

    def _writable(self) -> int:
        """The most tokens that the decoder has places for."""
        decoder = self.config.get_text_config(decoder=True)
        names = ("max_decoder_position_embeddings", "max_target_positions", *_POSITIONS)
        told = (getattr(decoder, name, None) for name in names)
        return min(next((places for places in told if isinstance(places, int)), LONGEST), LONGEST)

    def _seen(self, model: Any, media: Mapping[str, Any], count: int) -> Work:
        """Pictures become tokens, and these a prompt."""
        if "pixel_values" not in media:
            raise Unrehearsed(f"the shape of a {self.config.model_type}'s pictures is not told")
        vision, _ = peak(model, model.get_image_features, {"pixel_values": media["pixel_values"]})
        tokens = min(self.limit(most=WRITTEN_TOKENS), WRITTEN_TOKENS)
        language = getattr(model, "language_model", None) or getattr(model.model, "language_model", None)
        if language is None:
            raise Unrehearsed(f"a {self.config.model_type} has no language model that can be asked alone")
        vectors = floats(model, self.rows, tokens, self.config.get_text_config().hidden_size)
        prompt = {"inputs_embeds": vectors, "attention_mask": ones(self.rows, tokens)}
        held, answer = peak(model, partial(language, use_cache=True), prompt)
        cached = _cached(answer.past_key_values)
        return Work(max(vision, held - cached), cached // (self.rows * tokens), tokens, count)

    # What goes in ----------------------------------------------------------------------------------------

    def limit(self, most: int = LONGEST) -> int:
        """Tokens of the longest text."""
        text = self.config.get_text_config()
        told = [getattr(text, name, None) for name in _POSITIONS]
        limits = [value for value in told if isinstance(value, int) and value > 0][:1]
        if limits and self.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            limits = [limits[0] - (getattr(text, "pad_token_id", None) or 1) - 1]
        own = self._read("tokenizer_config.json").get("model_max_length")
        own = self._read("sentence_bert_config.json").get("max_seq_length") or own
        limits += [int(own)] if isinstance(own, int | float) and own < _UNTOLD else []
        return min([*limits, most] if limits else [_USUAL_TOKENS])

    def processed(self) -> dict[str, tuple[int, ...]]:
        """The shapes of pictures, films and sounds as the model's own processor makes them."""
        if self.runner == "super-resolution":
            return {"pixel_values": (1, 3, _TILE, _TILE)}
        told, whole = self._read("preprocessor_config.json"), self._read("processor_config.json")
        if "feature_extractor_type" in told or "feature_extractor" in whole:
            return self._sound(told or whole["feature_extractor"])
        if not told and "image_processor" not in whole:
            return self._configured()
        return self._film() if "video" in self.runner else self._picture()

    def _picture(self) -> dict[str, tuple[int, ...]]:
        import transformers
        from PIL import Image

        processor = transformers.AutoImageProcessor.from_pretrained(self.folder, local_files_only=True)
        shape = _SMALL if self.config.model_type == "glpn" else _PHOTO
        photo = Image.fromarray(np.full((*shape, 3), 128, np.uint8))
        made = processor(images=[photo], return_tensors="np")
        return {
            name: tuple(value.shape) for name, value in made.items() if name in ("pixel_values", "pixel_mask")
        }

    def _film(self) -> dict[str, tuple[int, ...]]:
        shape = self._picture()["pixel_values"]
        frames = int(getattr(self.config, "num_frames", 16))
        return {"pixel_values": (1, frames, *shape[-3:])}

    def _sound(self, told: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        import transformers

        extractor = transformers.AutoFeatureExtractor.from_pretrained(self.folder, local_files_only=True)
        rate = int(told.get("sampling_rate") or 16_000)
        made = extractor(np.zeros(SECONDS * rate, np.float32), sampling_rate=rate, return_tensors="np")
        return {name: tuple(value.shape) for name, value in made.items() if name.startswith("input")}

    def _configured(self) -> dict[str, tuple[int, ...]]:
        """By the model's own configuration, where its processor has none."""
        vision = getattr(self.config, "vision_config", None) or self.config
        side = getattr(vision, "image_size", None)
        if not isinstance(side, int):
            return {}
        return {"pixel_values": (1, int(getattr(vision, "num_channels", 3)), side, side)}

    def _read(self, name: str) -> dict[str, Any]:
        try:
            read = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}


def _cached(cache: Any) -> int:
    """Bytes of keys and values."""
    if hasattr(cache, "self_attention_cache"):
        return _cached(cache.self_attention_cache) + _cached(cache.cross_attention_cache)
    kept = (getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values"))
    return sum(tensor.nbytes for tensor in kept if isinstance(tensor, torch.Tensor))
