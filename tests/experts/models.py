"""The tiny models by which each task is proven: through the hub, the fleet, Ray Serve and the controller."""

from collections.abc import Mapping

from tests.support.expert_models import Published, published
from tests.support.tiny import (
    Builder,
    audio,
    captions,
    diffusion,
    films,
    scenes,
    speech,
    tabular,
    text,
    translators,
    vision,
)

HF = "transformers"
DIFFUSERS = "diffusers"

CONTROLS = ("canny", "depth", "hed", "mlsd", "normal", "openpose", "seg")

GROUPS: Mapping[str, tuple[Published, ...]] = {
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
        published(films.modelscope, DIFFUSERS, "text-to-video"),
        published(films.stable_video, DIFFUSERS, "image-to-video"),
    ),
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
        published(scenes.segformer_ade, HF, "image-segmentation", "seg-control"),
        published(scenes.sam, HF, "mask-generation"),
        published(scenes.dpt, HF, "depth-estimation", "depth-control", "normal-control"),
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
        published(speech.vits, HF, "text-to-speech"),
        published(speech.speecht5_voices, HF, "audio-to-audio", parts={"vocoder": speech.vocoder}),
        published(speech.musicgen, HF, "text-to-audio"),
    ),
}
"""Models that are deployed together; those that draw come first, for tests of drawing share them."""

MODELS: Mapping[str, Published] = {
    task: model for group in GROUPS.values() for model in group for task in model.card.tasks
}
"""The model that proves each task."""

FURTHER: Mapping[str, tuple[Builder, ...]] = {
    "fill-mask": (text.roberta_filler,),
    "zero-shot-classification": (text.bart_judge,),
    "feature-extraction": (text.last_token,),
    "sentence-similarity": (text.last_token,),
    "summarization": (text.t5, text.pegasus),
    "translation": (
        translators.marian,
        translators.nllb,
        translators.m2m100,
        translators.mbart50,
        text.madlad,
    ),
    "text-generation": (text.gpt2,),
    "table-question-answering": (text.tapex,),
    "tabular-classification": (tabular.boosted, tabular.machine),
    "object-detection": (vision.detr, vision.rt_detr),
    "zero-shot-image-classification": (vision.siglip,),
    "zero-shot-object-detection": (vision.owl2, vision.grounding),
    "image-segmentation": (
        scenes.mask2former,
        scenes.maskformer,
        scenes.detr_panoptic,
        scenes.upernet,
    ),
    "depth-estimation": (scenes.glpn, scenes.depth_anything, scenes.zoedepth),
    "image-to-image": (scenes.swin2sr, diffusion.stable, diffusion.kontext),
    "image-to-text": (captions.blip2, captions.git, captions.vit_gpt2, captions.trocr, captions.llava),
    "visual-question-answering": (captions.blip_answers, captions.blip2, captions.git, captions.llava),
    "document-question-answering": (captions.donut, captions.llava),
    "image-text-to-text": (captions.qwen_vl, captions.paligemma),
    "video-classification": (vision.timesformer,),
    "automatic-speech-recognition": (audio.ctc, audio.parakeet, audio.parakeet_tdt, audio.moonshine),
    "audio-classification": (audio.spectrograms,),
    "text-to-speech": (speech.speecht5, speech.bark),
    "audio-to-audio": (speech.seamless,),
    "text-to-audio": (diffusion.stable_audio, diffusion.audioldm),
    "text-to-image": (diffusion.stable_xl, diffusion.flux),
    **{
        f"{control}-text-to-image": (
            diffusion.xl_controlnet,
            diffusion.xl_union,
            diffusion.flux_union,
            diffusion.adapter,
        )
        for control in CONTROLS
    },
    "text-to-video": (films.motion, films.wan, films.cogvideo, films.ltx),
    "image-to-video": (films.wan_from_pictures, films.ltx),
}
"""Further models that the tests of the task's runner load and run, without a cluster."""
