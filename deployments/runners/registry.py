"""Which class runs a card: built-in names, installed plugins, and classes named outright."""

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from deployments.errors import FleetError
from deployments.runners.base import Runner
from deployments.runners.routing import runner_of
from model_catalog.card import ModelCard

GROUP = "hugginggpt.runners"
"""The entry point group under which a plugin offers runners."""

_BUILT_IN = {
    "rapidocr": "deployments.runners.rapidocr:RapidOcr",
    "espeak": "deployments.runners.espeak:Espeak",
    "canny": "deployments.runners.canny:Canny",
    "noisereduce": "deployments.runners.noisereduce:NoiseReduce",
    "vader": "deployments.runners.vader:Vader",
    "textrank": "deployments.runners.textrank:TextRank",
    "tfidf": "deployments.runners.tfidf:TfIdf",
    "text-classification": "deployments.runners.text:TextClassifier",
    "token-classification": "deployments.runners.text:TokenClassifier",
    "fill-mask": "deployments.runners.text:MaskFiller",
    "zero-shot-classification": "deployments.runners.text:ZeroShotClassifier",
    "summarization": "deployments.runners.seq2seq:Summarizer",
    "translation": "deployments.runners.seq2seq:Translator",
    "text2text-generation": "deployments.runners.seq2seq:Rewriter",
    "question-answering": "deployments.runners.answering:Answerer",
    "text-generation": "deployments.runners.generation:Writer",
    "embedding": "deployments.runners.embedding:Embedder",
    "table-question-answering": "deployments.runners.tables:TableAnswerer",
    "tabular-classification": "deployments.runners.tabular:RowClassifier",
    "image-classification": "deployments.runners.vision:ImageClassifier",
    "object-detection": "deployments.runners.vision:ObjectDetector",
    "zero-shot-image-classification": "deployments.runners.vision:ZeroShotImageClassifier",
    "zero-shot-object-detection": "deployments.runners.vision:ZeroShotObjectDetector",
    "image-segmentation": "deployments.runners.segmentation:Segmenter",
    "mask-generation": "deployments.runners.masks:MaskMaker",
    "depth-estimation": "deployments.runners.depth:DepthEstimator",
    "super-resolution": "deployments.runners.upscaling:Upscaler",
    "video-classification": "deployments.runners.films:VideoClassifier",
    "image-to-text": "deployments.runners.captioning:Captioner",
    "visual-question-answering": "deployments.runners.looking:VisualAnswerer",
    "image-text-to-text": "deployments.runners.vision_language:VisionLanguage",
    "document-question-answering": "deployments.runners.documents:DocumentAnswerer",
    "annotator": "deployments.runners.annotators:Annotator",
    "automatic-speech-recognition": "deployments.runners.transcribing:Transcriber",
    "audio-classification": "deployments.runners.sound:AudioClassifier",
    "text-to-speech": "deployments.runners.speech:Speaker",
    "voice-conversion": "deployments.runners.voices:VoiceConverter",
    "text-to-audio": "deployments.runners.music:Musician",
    "audio-diffusion": "deployments.runners.audio_diffusion:SoundMaker",
    "diffusion": "deployments.runners.diffusion:Painter",
    "controlnet": "deployments.runners.controlnet:ControlledPainter",
    "video-diffusion": "deployments.runners.filming:Filmmaker",
    "remote": "deployments.runners.remote:Remote",
    "llm": "deployments.runners.chatting:Chatter",
}

_EXTRAS = {
    "pandas": "models",
    "sentencepiece": "models",
    "skops": "models",
    "scipy": "models",
    "ftfy": "models",
    "controlnet_aux": "annotators",
    "torchvision": "annotators",
    "timm": "annotators",
}


def resolve(name: str) -> type[Runner]:
    """The runner that a card means by ``name``.

    A name is a built-in one, one that a plugin offers under the entry point group ``hugginggpt.runners``, or
    ``package.module:Class``. The last imports what it names, so it may only come from the operator's own
    cards, never from a request. A plugin cannot take a built-in name.

    Raises:
        FleetError: there is no such runner here.

    """
    target = _BUILT_IN.get(name) or _plugin(name) or (name if ":" in name else None)
    if target is None:
        raise FleetError(
            f"There is no runner {name!r}; use one of {', '.join(_BUILT_IN)}, install the plugin with it, "
            "or write it as package.module:Class."
        )
    module, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise FleetError(
            f"The runner {target!r} cannot be imported; install its package or mend the name."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Runner)):
        raise FleetError(f"{target!r} is no runner; name a subclass of deployments.runners.base.Runner.")
    return found


def available(name: str) -> bool:
    """Whether ``name`` stands for a runner that can be imported here; its model's libraries are not asked."""
    try:
        resolve(name)
    except FleetError:
        return False
    return True


def missing(card: ModelCard) -> tuple[str, ...]:
    """The modules that a card and its runner need and that are not installed here."""
    runner = runner_of(card)
    own = resolve(runner).requires if runner is not None and available(runner) else ()
    return tuple(name for name in dict.fromkeys((*own, *card.requires)) if not _installed(name))


def extra_of(module: str) -> str:
    """The extra of this package that brings a module."""
    return _EXTRAS.get(module, "embedded")


def _plugin(name: str) -> str | None:
    return next((point.value for point in entry_points(group=GROUP, name=name)), None)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
