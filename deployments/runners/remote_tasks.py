"""Which tasks can be asked elsewhere, and how.

What is sent is text, bytes and plain tables; never a string where the library could open a path or address.
"""

from collections.abc import Awaitable, Callable, Mapping

from deployments.result import Result
from deployments.runners import remote_media as media
from deployments.runners import remote_words as words
from deployments.runners.remote_asking import Ask
from model_catalog.card import ModelCard

Method = Callable[[Ask], Awaitable[Result]]

METHODS: Mapping[str, Method] = {
    "text-classification": words.text_class,
    "token-classification": words.entities,
    "fill-mask": words.gap,
    "zero-shot-classification": words.zero_shot,
    "summarization": words.summary,
    "translation": words.translation,
    "question-answering": words.answer,
    "conversational": words.chat,
    "text-generation": words.writing,
    "text2text-generation": words.writing,
    "sentence-similarity": words.likeness,
    "feature-extraction": words.vector,
    "table-question-answering": words.table_answer,
    "tabular-classification": words.rows,
    "image-classification": media.picture_class,
    "zero-shot-image-classification": media.picture_zero_shot,
    "object-detection": media.objects,
    "image-segmentation": media.segments,
    "image-to-text": media.caption,
    "image-text-to-text": media.looking,
    "visual-question-answering": media.picture_answer,
    "document-question-answering": media.page_answer,
    "image-to-image": media.repainting,
    "text-to-image": media.painting,
    "text-to-video": media.film,
    "image-to-video": media.motion,
    "text-to-speech": media.speech,
    "automatic-speech-recognition": media.transcript,
    "audio-classification": media.sound_class,
    "audio-to-audio": media.sound,
}
"""By task, what asks the service and reads its answer. For the other tasks the client has no method."""

_WRITING = frozenset({"text-generation", "text2text-generation"})
_LOOKING = frozenset({"image-to-text", "visual-question-answering", "document-question-answering"})


def known_as(task: str, card: ModelCard) -> str:
    """The client's name for what is asked of a model: for chat models, most of it is chat."""
    chats = task in _WRITING and "conversational" in card.tasks
    looks = task in _LOOKING and "image-text-to-text" in card.tasks
    if chats or looks or task == "image-text-to-text":
        return "conversational"
    return "text-generation" if task in _WRITING else task
