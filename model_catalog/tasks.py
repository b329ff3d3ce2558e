"""The task registry: one row for each task type, from which everything else derives.

The names are the Hugging Face Hub's pipeline tags, HuggingGPT's ``*-control`` and ``*-text-to-image``
(arXiv 2303.17580, table 13), and a few more of the Hub's tags. Adding a task is one row here and one
runner function.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from model_catalog.errors import UnknownTaskError


class Modality(StrEnum):
    """What a value is made of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    TABLE = "table"
    DATA = "data"


MEDIA = frozenset({Modality.IMAGE, Modality.AUDIO, Modality.VIDEO, Modality.TABLE})
"""Modalities whose values are files, not words."""

SMALL = frozenset({Modality.TEXT, Modality.DATA})
"""Modalities small enough to travel inside an answer."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a task.

    Attributes:
        name: its key in a plan's ``args``.
        modality: what it takes.
        required: whether a plan without it is faulty.
        aliases: other names under which plans give it.
        default: the value taken when it is absent.

    """

    name: str
    modality: Modality
    required: bool = True
    aliases: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class TaskType:
    """One row of the registry.

    Attributes:
        name: the type's name in a plan.
        description: one line, for prompts, documentation and labels.
        arguments: its inputs, in the order a plan lists them.
        outputs: the modalities every result of it offers to dependents, the main one first.
        family: the family of runners that serves it.
        hugginggpt: whether HuggingGPT's planner offers it; such tasks accept ``text``, ``image``,
            ``audio`` and ``video`` even where their row does not name them.
        wants: the jobs a plan may tell apart with ``want``, the usual one first.
        knobs: further optional arguments that only tune the result, as a seed does; nothing is bound to
            them but what names them.
        aside: further optional arguments that doors alone give; no planner is told of them.

    """

    name: str
    description: str
    arguments: tuple[Argument, ...]
    outputs: tuple[Modality, ...]
    family: str
    hugginggpt: bool = True
    wants: tuple[str, ...] = ()
    knobs: tuple[Argument, ...] = ()
    aside: tuple[Argument, ...] = ()

    @property
    def small(self) -> bool:
        """Whether a result holds words and data alone, so that it may be awaited directly."""
        return SMALL.issuperset(self.outputs)

    @property
    def label(self) -> str:
        """The name for people: ``text to speech``."""
        return self.name.replace("-", " ")

    def argument(self, name: str) -> Argument | None:
        """The argument that a plan means by ``name``: a declared one, an alias, or a generic one."""
        known = (*self.arguments, *self.knobs, *self.aside)
        for argument in known:
            if name == argument.name:
                return argument
        for argument in known:
            if name in argument.aliases:
                return argument
        return _GENERIC.get(name) if self.hugginggpt else None


_GENERIC = {
    name: Argument(name, modality, required=False)
    for name, modality in (
        ("text", Modality.TEXT),
        ("image", Modality.IMAGE),
        ("audio", Modality.AUDIO),
        ("video", Modality.VIDEO),
    )
}

TEXT = Argument("text", Modality.TEXT)
IMAGE = Argument("image", Modality.IMAGE)
AUDIO = Argument("audio", Modality.AUDIO)
VIDEO = Argument("video", Modality.VIDEO)
TABLE = Argument("table", Modality.TABLE)
LABELS = Argument("labels", Modality.TEXT, aliases=("candidate_labels",))
QUESTION = Argument("text", Modality.TEXT, aliases=("question", "query"))


def _optional(argument: Argument) -> Argument:
    return Argument(argument.name, argument.modality, required=False, aliases=argument.aliases)


_WORDS = (Modality.TEXT,)
_LABELLED = (Modality.TEXT, Modality.DATA)
_PICTURE = (Modality.IMAGE,)
_DRAWN = (Modality.IMAGE, Modality.DATA, Modality.TEXT)

# fmt: off
_ROWS = (
    TaskType("token-classification", "Find names, places and other entities in a text.",
             (TEXT,), _LABELLED, "text"),
    TaskType("text2text-generation", "Rewrite a text as an instruction inside it asks.",
             (TEXT,), _WORDS, "seq2seq"),
    TaskType("summarization", "Shorten a text to what matters.", (TEXT,), _WORDS, "seq2seq"),
    TaskType("translation", "Translate a text into another language.",
             (TEXT, Argument("target_language", Modality.TEXT, required=False)), _WORDS, "seq2seq"),
    TaskType("question-answering", "Answer a question from a context text.",
             (Argument("question", Modality.TEXT, aliases=("text",)),
              Argument("context", Modality.TEXT, required=False)), _LABELLED, "question-answering"),
    TaskType("conversational", "Talk with the person.", (TEXT,), _WORDS, "text-generation"),
    TaskType("text-generation", "Write a text, or go on with one.", (TEXT,), _WORDS, "text-generation"),
    TaskType("sentence-similarity", "Tell how alike two texts are.",
             (Argument("text1", Modality.TEXT, aliases=("text", "source_sentence")),
              Argument("text2", Modality.TEXT, aliases=("sentences",))), _LABELLED, "embedding"),
    TaskType("tabular-classification", "Classify the rows of a table.",
             (Argument("table", Modality.TABLE, required=False),
              Argument("image", Modality.IMAGE, required=False)), _LABELLED, "tabular"),
    TaskType("object-detection", "Find objects in a picture and draw boxes around them.",
             (IMAGE,), _DRAWN, "vision"),
    TaskType("image-classification", "Name what a picture shows, with scores.",
             (IMAGE,), _LABELLED, "vision"),
    TaskType("image-to-image", "Change a picture, by an instruction where there is one.",
             (IMAGE, _optional(TEXT)), _PICTURE, "diffusion"),
    TaskType("image-to-text", "Describe a picture in words (caption), or read the text in it (ocr).",
             (IMAGE,), _LABELLED, "captioning", wants=("caption", "ocr")),
    TaskType("text-to-image", "Draw a picture from a description.", (TEXT,), _PICTURE, "diffusion"),
    TaskType("text-to-video", "Make a video from a description.", (TEXT,), (Modality.VIDEO,), "video"),
    TaskType("visual-question-answering", "Answer a question about a picture.",
             (IMAGE, QUESTION), _LABELLED, "visual-question-answering"),
    TaskType("document-question-answering", "Answer a question about a picture of a document.",
             (IMAGE, QUESTION), _LABELLED, "document-question-answering"),
    TaskType("image-segmentation", "Cut a picture into its parts.", (IMAGE,), _DRAWN, "vision"),
    TaskType("depth-estimation", "Estimate how far away each point of a picture is.",
             (IMAGE,), _PICTURE, "vision"),
    TaskType("text-to-speech", "Read a text aloud.", (TEXT,), (Modality.AUDIO,), "speech"),
    TaskType("automatic-speech-recognition", "Write down what is said in a recording.",
             (AUDIO,), _LABELLED, "audio"),
    TaskType("audio-to-audio", "Clean or change a recording.", (AUDIO,), (Modality.AUDIO,), "audio"),
    TaskType("audio-classification", "Name what a recording holds, with scores.",
             (AUDIO,), _LABELLED, "audio"),
)
# fmt: on

_CONTROLS = {
    "canny": "edge",
    "depth": "depth",
    "hed": "soft-edge",
    "mlsd": "straight-line",
    "normal": "surface-normal",
    "openpose": "pose",
    "seg": "segment",
}
_HUGGINGGPT_CONTROLS = frozenset({"canny", "hed", "mlsd", "normal", "openpose"})

_CONTROL_ROWS = tuple(
    TaskType(
        f"{control}-control",
        f"Make the {kind} map of a picture.",
        (IMAGE,),
        _PICTURE,
        "control",
        hugginggpt=control in _HUGGINGGPT_CONTROLS,
    )
    for control, kind in _CONTROLS.items()
)
_CONTROLLED_ROWS = tuple(
    TaskType(
        f"{control}-text-to-image",
        f"Draw a picture from a description and a {kind} map.",
        (TEXT, IMAGE),
        _PICTURE,
        "diffusion",
    )
    for control, kind in _CONTROLS.items()
)

# fmt: off
_MORE_ROWS = (
    TaskType("text-classification", "Tell the class of a text, such as its sentiment.",
             (TEXT,), _LABELLED, "text", hugginggpt=False),
    TaskType("zero-shot-classification", "Sort a text under labels given in the request.",
             (TEXT, LABELS), _LABELLED, "text", hugginggpt=False),
    TaskType("fill-mask", "Fill the gap in a sentence.", (TEXT,), _LABELLED, "text", hugginggpt=False),
    TaskType("feature-extraction", "Turn a text into a vector.",
             (TEXT,), (Modality.DATA, Modality.TEXT), "embedding", hugginggpt=False),
    TaskType("table-question-answering", "Answer a question from a table.",
             (TABLE, QUESTION), _LABELLED, "tabular", hugginggpt=False),
    TaskType("image-text-to-text", "Answer or write a text about a picture, as a chat model does.",
             (IMAGE, TEXT), _WORDS, "vision-language", hugginggpt=False),
    TaskType("text-to-audio", "Make music or a sound from a description.",
             (TEXT,), (Modality.AUDIO,), "music", hugginggpt=False),
    TaskType("image-to-video", "Set a picture in motion.",
             (IMAGE, _optional(TEXT)), (Modality.VIDEO,), "video", hugginggpt=False),
    TaskType("video-classification", "Name what a video shows, with scores.",
             (VIDEO,), _LABELLED, "video", hugginggpt=False),
    TaskType("zero-shot-image-classification", "Sort a picture under labels given in the request.",
             (IMAGE, LABELS), _LABELLED, "vision", hugginggpt=False),
    TaskType("zero-shot-object-detection", "Find objects named in the request in a picture.",
             (IMAGE, LABELS), _DRAWN, "vision", hugginggpt=False),
    TaskType("mask-generation", "Outline every thing in a picture.", (IMAGE,), _DRAWN, "vision",
             hugginggpt=False),
    TaskType("inpainting", "Paint a part of a picture anew.",
             (IMAGE, TEXT, Argument("mask", Modality.IMAGE)), _PICTURE, "diffusion", hugginggpt=False),
)
# fmt: on


def _knob(name: str, *aliases: str) -> Argument:
    """An optional number or word that tunes a result."""
    return Argument(name, Modality.TEXT, required=False, aliases=aliases)


_SEED = _knob("seed")
_LENGTH = _knob("max_new_tokens", "max_length", "max_tokens")
_TOP = _knob("top_k")
_THRESHOLD = _knob("threshold")
_WRITING = (_LENGTH, _knob("temperature"), _knob("top_p"), _SEED)
_DIFFUSION = (
    _knob("negative_prompt"),
    _SEED,
    _knob("steps", "num_inference_steps"),
    _knob("guidance", "guidance_scale"),
)
_SIZE = (_knob("width"), _knob("height"))
_REPAINTING = (*_DIFFUSION, _knob("strength"))
_FILMING = (*_DIFFUSION, *_SIZE, _knob("frames", "num_frames"), _knob("fps"))
_CONTROLLED = (*_DIFFUSION, *_SIZE, _knob("control_strength", "controlnet_conditioning_scale"))

_KNOBS: Mapping[str, tuple[Argument, ...]] = {
    "text2text-generation": _WRITING,
    "conversational": _WRITING,
    "text-generation": _WRITING,
    "image-text-to-text": _WRITING,
    "summarization": (_LENGTH,),
    "image-to-text": (_LENGTH,),
    "translation": (_knob("source_language"), _LENGTH),
    "text-classification": (_TOP,),
    "fill-mask": (_TOP,),
    "image-classification": (_TOP,),
    "audio-classification": (_TOP,),
    "video-classification": (_TOP,),
    "visual-question-answering": (_TOP,),
    "object-detection": (_THRESHOLD,),
    "zero-shot-object-detection": (_THRESHOLD,),
    "image-segmentation": (_THRESHOLD,),
    "automatic-speech-recognition": (_knob("language"),),
    "text-to-speech": (_knob("voice"), _SEED),
    "audio-to-audio": (_knob("target_language"), _SEED),
    "text-to-audio": (*_DIFFUSION, _knob("seconds")),
    "text-to-image": (*_DIFFUSION, *_SIZE),
    "image-to-image": _REPAINTING,
    "inpainting": _REPAINTING,
    "text-to-video": _FILMING,
    "image-to-video": _FILMING,
    **{row.name: _CONTROLLED for row in _CONTROLLED_ROWS},
}

_HISTORY = (_knob("history"),)
"""The conversation before the text, as JSON: a list of ``{"role", "content"}``."""

_ASIDE: Mapping[str, tuple[Argument, ...]] = {"conversational": _HISTORY, "text-generation": _HISTORY}

TASKS: Mapping[str, TaskType] = {
    row.name: replace(row, knobs=_KNOBS.get(row.name, ()), aside=_ASIDE.get(row.name, ()))
    for row in (*_ROWS, *_CONTROL_ROWS, *_CONTROLLED_ROWS, *_MORE_ROWS)
}
"""Every task type by name, HuggingGPT's first."""


def task_type(name: str) -> TaskType:
    """The registry's row for ``name``.

    Raises:
        UnknownTaskError: the registry has no such type.

    """
    try:
        return TASKS[name]
    except KeyError:
        raise UnknownTaskError(f"There is no task type {name!r}. Known types: {', '.join(TASKS)}.") from None


def producers(modality: Modality) -> Iterator[TaskType]:
    """The task types whose results offer ``modality``."""
    return (row for row in TASKS.values() if modality in row.outputs)
