"""Which tasks the inference protocol has, and how each is answered."""

from collections.abc import Mapping
from typing import Any

from controller.api.inference import audio, text, vision
from controller.api.inference.asked import Asked
from controller.api.inference.job import Job, Method
from controller.errors import RequestError
from model_catalog.card import ModelCard
from model_catalog.tasks import MEDIA, TASKS, Argument, Modality, TaskType

METHODS: Mapping[str, Method] = {
    "text-classification": text.text_class,
    "token-classification": text.entities,
    "fill-mask": text.gap,
    "zero-shot-classification": text.zero_shot,
    "summarization": text.summary,
    "translation": text.translation,
    "question-answering": text.answer,
    "conversational": text.rewriting,
    "text-generation": text.writing,
    "text2text-generation": text.rewriting,
    "sentence-similarity": text.likeness,
    "feature-extraction": text.vectors,
    "table-question-answering": text.table_answer,
    "tabular-classification": text.rows,
    "image-classification": vision.seen_class,
    "video-classification": vision.seen_class,
    "zero-shot-image-classification": vision.zero_shot,
    "zero-shot-object-detection": vision.zero_shot,
    "object-detection": vision.objects,
    "image-segmentation": vision.parts,
    "mask-generation": vision.parts,
    "image-to-text": vision.caption,
    "image-text-to-text": vision.looking,
    "visual-question-answering": vision.picture_answer,
    "document-question-answering": vision.page_answer,
    "depth-estimation": vision.depth,
    "text-to-image": vision.painting,
    "text-to-video": vision.painting,
    "image-to-image": vision.repainting,
    "image-to-video": vision.repainting,
    "automatic-speech-recognition": audio.transcript,
    "audio-classification": vision.seen_class,
    "audio-to-audio": audio.sound,
    "text-to-speech": audio.speech,
    "text-to-audio": audio.speech,
}
"""By task; those that the protocol does not know are answered by ``other``."""


async def other(job: Job) -> Any:
    """A task that the protocol does not know: its arguments in ``inputs``, by name, or the only one alone.

    Raises:
        RequestError: an argument is missing.

    """
    outcome = await job.run({argument.name: await _argument(job, argument) for argument in job.row.arguments})
    if job.row.outputs[0] in MEDIA:
        return await job.file(outcome)
    return outcome.data if outcome.data is not None else [{"generated_text": outcome.text or ""}]


async def _argument(job: Job, argument: Argument) -> str:
    asked = job.asked
    value = asked.part(argument.name)
    if value is None:
        value = asked.take(argument.name)
    if value is None and argument.modality is Modality.TEXT:
        value = asked.take("prompt")
    alone = len(job.row.arguments) == 1 or (asked.media is not None and argument.modality in MEDIA)
    if value is None and not alone:
        names = " and ".join(repr(known.name) for known in job.row.arguments)
        raise RequestError(f"{job.row.name} needs {names}; send them by name in inputs.", argument.name)
    if argument.modality in MEDIA:
        return await asked.file(value, "inputs" if value is None else argument.name)
    return asked.words(value, "inputs" if value is None else argument.name)


def named(task: str) -> TaskType:
    """The task that a path names.

    Raises:
        RequestError: there is none of that name.

    """
    row = TASKS.get(task.strip().lower().replace("_", "-"))
    if row is None:
        raise RequestError(
            f"There is no task {task[:80]!r}; one is {', '.join(list(METHODS)[:6])}, and so on."
        )
    return row


def meant(card: ModelCard, asked: Asked) -> TaskType:
    """The task that is meant by the name of a model alone: the first of its card that takes so many inputs.

    Of a language model it is to go on with the text.
    """
    count = len(asked.inputs) if isinstance(asked.inputs, Mapping) else 1
    fitting = [task for task in card.tasks if sum(a.required for a in TASKS[task].arguments) == count]
    if "text-generation" in fitting:
        return TASKS["text-generation"]
    return TASKS[(fitting or card.tasks)[0]]
