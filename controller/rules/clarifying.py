"""Clarifying: what the embedded brain asks back where it is not sure enough of what is wanted."""

from collections.abc import Iterator, Sequence

from controller.request import Attachment
from controller.rules.confidence import THRESHOLD, Confidence
from controller.rules.reading import Reading
from controller.rules.wiring import Draft
from model_catalog.tasks import TASKS, Argument, Modality

_MOST_OFFERS = 3


def clarify(
    reading: Reading, drafts: Sequence[Draft], sure: Confidence, attachments: Sequence[Attachment] = ()
) -> str | None:
    """What to say instead of running a plan; None where it may run.

    Where the request is understood and every task lacks its file or text, that is asked for. Where it is
    not, the question quotes what was not understood and names what could be done with the last file at hand.
    Where nothing is asked for and no file is at hand, it is mere talk, and is told what the brain can do.
    """
    if not drafts:
        file = _at_hand(reading, attachments)
        return _choice(reading, *file) if file else reading.vocabulary.reply
    if sure.understood >= THRESHOLD:
        lacks = [list(_lack(draft)) for draft in drafts]
        lacking = [argument for lack in lacks for argument in lack]
        return _ask_for(reading, lacking[0]) if all(lacks) or sure.value < THRESHOLD else None
    file = _at_hand(reading, attachments)
    offered = _choice(reading, *file) if file else _open(reading)
    return f"{_doubt(reading, sure)} {offered}"


def remark(reading: Reading, sure: Confidence) -> str | None:
    """What to say beside a plan that runs, where one of the request's orders is not understood."""
    return _doubt(reading, sure) if sure.unheeded else None


def _doubt(reading: Reading, sure: Confidence) -> str:
    return reading.vocabulary.asking["doubt"].format(words=sure.doubt)


def _at_hand(reading: Reading, attachments: Sequence[Attachment]) -> tuple[Modality, str] | None:
    """The last file that the request names, else the last one attached."""
    named = ((mention.modality, mention.value) for mention in reversed(reading.mentions) if mention.file)
    attached = ((item.modality, item.path) for item in reversed(attachments))
    offers = reading.vocabulary.offers
    return next((file for files in (named, attached) for file in files if file[0] in offers), None)


def _choice(reading: Reading, modality: Modality, file: str) -> str:
    vocabulary = reading.vocabulary
    things = vocabulary.things.get(modality, str(modality))
    options = _options(reading, modality)
    return vocabulary.asking["choice"].format(things=things, file=file, options=options)


def _open(reading: Reading) -> str:
    return reading.vocabulary.asking["open"].format(options=_options(reading, Modality.DATA))


def _options(reading: Reading, modality: Modality) -> str:
    offers = reading.vocabulary.offers[modality][:_MOST_OFFERS]
    return reading.vocabulary.asking["or"].join(
        [", ".join(offers[:-1]), offers[-1]] if offers[1:] else offers
    )


def _lack(draft: Draft) -> Iterator[Argument]:
    """What a task lacks to run."""
    for argument in TASKS[draft["task"]].arguments:
        if argument.name not in draft["args"] and (argument.required or not draft["args"]):
            yield argument


def _ask_for(reading: Reading, lacking: Argument) -> str:
    vocabulary, modality = reading.vocabulary, lacking.modality
    return vocabulary.missing.format(
        things=vocabulary.things.get(modality, str(modality)),
        examples=vocabulary.examples.get(modality, str(modality)),
    )
