"""The tiny models by which each task is proven: through the hub, the fleet, Ray Serve and the controller."""

from collections.abc import Mapping

from tests.support.expert_models import Published, published
from tests.support.tiny import audio, captions, diffusion, films, tabular, text, vision

HF = "transformers"
DIFFUSERS = "diffusers"

CONTROLS = ("canny", "depth", "hed", "mlsd", "normal", "openpose", "seg")

GROUPS: Mapping[str, tuple[Published, ...]] = {
    "texts": (
        published(text.classifier, HF, "text-classification"),
        published(text.tagger, HF, "token-classification"),
        published(text.filler, HF, "fill-mask"),
        published(text.judge, HF, "zero-shot-classification"),
        published(text.answerer, HF, "question-answering"),
        published(text.encoder, "sentence-transformers", "sentence-similarity", "feature-extraction"),
    ),
    "writing": (
        published(text.bart, HF, "summarization"),
        published(text.t5, HF, "text2text-generation", "translation"),
        published(text.chat, HF, "conversational", "text-generation"),
        published(text.tapas, HF, "table-question-answering"),
        published(tabular.forest, "sklearn", "tabular-classification"),
    ),
    "pictures": (
        published(vision.classifier, HF, "image-classification"),
        published(vision.yolos, HF, "object-detection"),
        published(vision.clip, HF, "zero-shot-image-classification"),
        published(vision.owl, HF, "zero-shot-object-detection"),
        published(vision.segformer_ade, HF, "image-segmentation", "seg-control"),
        published(vision.sam, HF, "mask-generation"),
        published(vision.dpt, HF, "depth-estimation", "depth-control", "normal-control"),
    ),
    "looking": (
        published(captions.blip, HF, "image-to-text"),
        published(captions.vilt, HF, "visual-question-answering"),
        published(captions.llava, HF, "image-text-to-text"),
        published(captions.layoutlm, HF, "document-question-answering"),
        published(vision.videomae, HF, "video-classification"),
    ),
    "sounds": (
        published(audio.whisper, HF, "automatic-speech-recognition"),
        published(audio.classifier, HF, "audio-classification"),
        published(audio.vits, HF, "text-to-speech"),
        published(audio.speecht5_voices, HF, "audio-to-audio", parts={"vocoder": audio.vocoder}),
    ),
    "drawing": (
        published(diffusion.stable, DIFFUSERS, "text-to-image"),
        published(diffusion.editor, DIFFUSERS, "image-to-image"),
        published(diffusion.inpainter, DIFFUSERS, "inpainting"),
        published(
            diffusion.controlnet,
            DIFFUSERS,
            *(f"{control}-text-to-image" for control in CONTROLS),
            parts={"base": diffusion.stable},
        ),
        published(films.text_to_video, DIFFUSERS, "text-to-video"),
        published(films.svd, DIFFUSERS, "image-to-video"),
    ),
}
"""Models that are deployed together."""

MODELS: Mapping[str, Published] = {
    task: model for group in GROUPS.values() for model in group for task in model.card.tasks
}
"""The model that proves each task."""
