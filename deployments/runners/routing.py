"""Which runner serves a card that names none: the one that fits its library and its tasks."""

from collections.abc import Mapping

from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS

_SAME = (
    "text-classification",
    "token-classification",
    "fill-mask",
    "zero-shot-classification",
    "summarization",
    "translation",
    "text2text-generation",
    "question-answering",
    "table-question-answering",
    "image-classification",
    "object-detection",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
    "image-segmentation",
    "mask-generation",
    "depth-estimation",
    "video-classification",
    "image-to-text",
    "visual-question-answering",
    "document-question-answering",
    "automatic-speech-recognition",
    "audio-classification",
    "text-to-speech",
    "text-to-audio",
)

_TRANSFORMERS: Mapping[str, str] = {
    # What a model can do besides tells more of its kind than its first task does.
    "image-text-to-text": "image-text-to-text",
    "text-generation": "text-generation",
    "conversational": "text-generation",
    "feature-extraction": "embedding",
    "sentence-similarity": "embedding",
    **{task: task for task in _SAME},
    "image-to-image": "super-resolution",
    "audio-to-audio": "voice-conversion",
    "depth-control": "depth-estimation",
    "normal-control": "depth-estimation",
    "seg-control": "image-segmentation",
}

_DIFFUSERS: Mapping[str, str] = {
    **{name: "controlnet" for name in TASKS if name.endswith("-text-to-image")},
    "text-to-image": "diffusion",
    "image-to-image": "diffusion",
    "inpainting": "diffusion",
    "text-to-video": "video-diffusion",
    "image-to-video": "video-diffusion",
    "text-to-audio": "audio-diffusion",
}

ROUTES: Mapping[str, Mapping[str, str]] = {
    "transformers": _TRANSFORMERS,
    "sentence-transformers": _TRANSFORMERS,
    "diffusers": _DIFFUSERS,
    "sklearn": {"tabular-classification": "tabular-classification"},
    "controlnet_aux": {name: "annotator" for name in TASKS if name.endswith("-control")},
}
"""Runners by the Hub's name of a library, and by task; of a card's tasks the first one listed here counts."""


def runner_of(card: ModelCard) -> str | None:
    """The name of the runner that serves a card; None where this release has none for it."""
    if card.runner is not None:
        return card.runner
    routes = ROUTES.get(card.library or "", {})
    return next((runner for task, runner in routes.items() if task in card.tasks), None)
