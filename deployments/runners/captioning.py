"""Descriptions of pictures, and the text in them.

By BLIP (arXiv 2201.12086), BLIP-2 (2301.12597), GIT (2205.14100), Pix2Struct (2210.03347), and pairs of an
image encoder and a text decoder: ViT-GPT2, TrOCR (2109.10282), Donut (2111.15664).
"""

from collections.abc import Sequence
from typing import Any

from deployments.errors import ExpertError
from deployments.result import Input, Result
from deployments.runners.processing import processor
from deployments.runners.sampling import Writing, options, writing
from deployments.runners.sight import moved, room, seen, usual
from deployments.runners.vision_language import OrChat, described, grouped

_CLASSES = {
    "blip": "BlipForConditionalGeneration",
    "blip-2": "Blip2ForConditionalGeneration",
    "git": "GitForCausalLM",
    "pix2struct": "Pix2StructForConditionalGeneration",
}
_PAIR = "vision-encoder-decoder"
_LENGTHS = {"caption": 64, "ocr": 512}  # tokens, by what the card yields

PAIR_SPARE = (
    "encoder.pooler.*",  # a decoder looks at every patch, never at the pooled picture
    "*.crossattention.bias",  # causal masks, which old checkpoints of GPT-2 store
    "*.crossattention.masked_bias",
    "*.embed_positions._float_tensor",  # of sinusoids, which are computed
    "*.embed_positions.weights",
)
"""Weights of encoder-decoder pairs that are harmless where they are missing or left over."""

_START_TOKENS = ("<s_cord-v2>", "<s_rvlcdip>", "<s_synthdog>", "<s_iitcdip>")


class Captioner(OrChat):
    """Describes a picture, or reads the text in it, as the card's ``yields`` tells.

    A ``prompt`` among the card's defaults begins the text: ``a photo of`` for BLIP, ``<s_cord-v2>`` for a
    Donut.
    """

    kinds = frozenset({*_CLASSES, _PAIR})

    def open_own(self, found: str) -> None:
        """See ``OrChat``."""
        self._prompt = self.card.defaults.get("prompt", "")
        if found == _PAIR:
            self._open_pair()
            return
        import transformers

        self._processor = processor(self)
        self._tokenizer = self._processor.tokenizer
        self._model = self.load_model(getattr(transformers, _CLASSES[found]))
        inner_loops(self, self._model)
        if found == "blip-2":
            join_blip2(self._model, self._processor)

    def ready(self, item: Input) -> tuple[Any, Writing]:
        """The picture, and how much may be written."""
        length = min(_LENGTHS.get(self.card.yields or "caption", 64), room(self._model))
        asked = writing(self, item, usual(self._model, length))
        return seen(item), Writing(asked.length, 0.0)

    def infer(self, items: Sequence[tuple[Any, Writing]]) -> list[Result]:
        """One text for each picture."""
        return grouped(items, lambda item: item[1].length, self._described)

    def _described(self, items: Sequence[tuple[Any, Writing]]) -> list[Result]:
        inputs = self._inputs([shown for shown, _ in items])
        begun = inputs.get("decoder_input_ids", inputs.get("input_ids"))
        asked = options([item for _, item in items], self._model.generation_config)
        left = room(self._model, 0 if begun is None else begun.shape[1])
        if left < 1:
            raise ExpertError(f"The prompt of {self.card.id} leaves it no room to write; shorten it.")
        asked["max_new_tokens"] = min(left, asked["max_new_tokens"])
        made = self._model.generate(**inputs, **asked)
        return [self._result(ids) for ids in made]

    def _result(self, ids: Any) -> Result:
        text = self._tokenizer.decode(ids, skip_special_tokens=True).strip()
        if "Japanese" in type(self._tokenizer).__name__:
            text = "".join(text.split())  # its tokens are joined by blanks, which Japanese has none of
        return Result(text=text, data=described(text, self.card.yields))

    def _inputs(self, pictures: Sequence[Any]) -> dict[str, Any]:
        if self._processor is None:
            inputs = moved(self._images(images=list(pictures), return_tensors="pt"), self._model)
            return {"pixel_values": inputs["pixel_values"], **self._begun(len(pictures))}
        words = {"text": [self._prompt] * len(pictures)} if self._prompt else {}
        inputs = moved(self._processor(images=list(pictures), return_tensors="pt", **words), self._model)
        inputs.pop("token_type_ids", None)
        return inputs

    # Pairs ---------------------------------------------------------------------------------------------

    def _open_pair(self) -> None:
        self._processor = None
        self._images, self._tokenizer, self._model = pair(self)
        if self._model.config.encoder.model_type == "donut-swin" and not self._prompt:
            known = self._tokenizer.get_added_vocab()
            self._prompt = next((token for token in _START_TOKENS if token in known), "")

    def _begun(self, count: int) -> dict[str, Any]:
        """What the decoder begins with."""
        if not self._prompt:
            return {}
        ids = self._tokenizer(self._prompt, add_special_tokens=False, return_tensors="pt").input_ids
        return {"decoder_input_ids": ids.repeat(count, 1).to(self._model.device)}


def pair(runner: OrChat) -> tuple[Any, Any, Any]:
    """The image processor, the tokenizer and the model of an encoder-decoder pair.

    Raises:
        ExpertError: the folder lacks one, or its weights do not fit.

    """
    import transformers as hf

    images = runner.load_processor(hf.AutoImageProcessor)
    # Japanese tokenizers split words with a dictionary of their own, which is of no use to read.
    tokenizer = runner.load_processor(hf.AutoTokenizer, do_word_tokenize=False)
    model = runner.load_model(hf.VisionEncoderDecoderModel, spare=PAIR_SPARE)
    inner_loops(runner, model)
    settings, inner = model.generation_config, model.config.decoder
    for name, own in (
        ("decoder_start_token_id", tokenizer.bos_token_id or tokenizer.cls_token_id),
        ("eos_token_id", tokenizer.eos_token_id or tokenizer.sep_token_id),
        ("pad_token_id", tokenizer.pad_token_id),
    ):
        if getattr(settings, name) is None:
            told = getattr(model.config, name, None)
            told = getattr(inner, name, None) if told is None else told
            setattr(settings, name, own if told is None else told)
    if settings.pad_token_id is None:
        settings.pad_token_id = settings.eos_token_id
    if settings.decoder_start_token_id is None:
        raise ExpertError(f"{runner.card.id} does not tell what its decoder begins with; it cannot write.")
    return images, tokenizer, model


def inner_loops(runner: OrChat, model: Any) -> None:
    """Let a call be stopped inside of the part that writes, which some models call past their own forward."""
    for name in ("text_decoder", "language_model", "decoder"):
        part = getattr(model, name, None)
        if part is not None:
            runner.stoppable(part)


def join_blip2(model: Any, processor: Any) -> None:
    """Tell model and processor of BLIP-2 from each other what early checkpoints leave out of them.

    Raises:
        ExpertError: the model has no embedding for the token that stands for the picture.

    """
    if processor.num_query_tokens is None:
        processor.num_query_tokens = model.config.num_query_tokens
    if model.config.image_token_id is None:
        model.config.image_token_id = processor.tokenizer.convert_tokens_to_ids(str(processor.image_token))
    if model.config.image_token_id >= model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(model.config.image_token_id + 1, pad_to_multiple_of=64)
    # Only a decoder alone goes on from the last token of the prompt.
    side = "right" if model.language_model.config.is_encoder_decoder else "left"
    processor.tokenizer.padding_side = side
