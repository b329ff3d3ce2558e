"""Direct calls: a conversation with one expert, without a plan, where it answers in words."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence

from fastapi import Request

from controller.api.body import backend
from controller.api.media import call
from controller.api.openai import links
from controller.api.openai.conversation import of_kind
from controller.api.openai.models import misplaced
from controller.errors import RequestError
from controller.events import AnswerDelta, Event, PlanDone, PlanTask, RunCreated, RunDone, TaskDone
from controller.request import Message
from controller.request import Request as Conversation
from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS, Modality, TaskType

_LONGEST_HISTORY = 40_000
"""The most characters of a conversation that an expert is given; its oldest messages are left out."""


def task_of(card: ModelCard, asked: Conversation) -> tuple[TaskType, dict[str, str]]:
    """The task of an expert that fits a message, with its arguments.

    Of those that answer in words and whose arguments the message gives, the one that takes most of its files;
    the order of the card decides where several do.

    Raises:
        RequestError: the expert cannot answer it; the message names the endpoint that fits, or what it lacks.

    """
    speaking = [TASKS[name] for name in card.tasks if TASKS[name].outputs[0] is Modality.TEXT]
    if not speaking:
        raise misplaced(card, "chat")
    fitting = [(row, args) for row in speaking if (args := _bound(row, asked)) is not None]
    if not fitting:
        needed = "; ".join(f"{row.name} takes {_needs(row)}" for row in speaking)
        raise RequestError(
            f"{card.id} cannot answer this message: {needed}. Give it that, or ask hugginggpt.", "messages"
        )
    row, args = max(fitting, key=lambda fit: (len(_media(*fit)), fit[0].name == "conversational"))
    return row, {**args, **_history(row, asked.context)}


def _bound(row: TaskType, asked: Conversation) -> dict[str, str] | None:
    """The arguments that a message gives; None where it lacks one, or brings a file with no use for it.

    A file that it lacks is the latest one of the conversation: "and what colour?" is about that picture.
    """
    files = {modality: of_kind(asked.attachments, modality) for modality in Modality}
    texts = [asked.text] if asked.text.strip() else []
    args: dict[str, str] = {}
    for argument in row.arguments:
        pool = texts if argument.modality is Modality.TEXT else files[argument.modality]
        if not pool and argument.required:
            pool = links.latest([message.content for message in asked.context], argument.modality)
        if pool:
            args[argument.name] = pool.pop(0)
        elif argument.required:
            return None
    return None if any(files.values()) else args


def _media(row: TaskType, args: Mapping[str, str]) -> list[str]:
    return [name for name in args if (found := row.argument(name)) and found.modality is not Modality.TEXT]


def _needs(row: TaskType) -> str:
    return " and ".join(f"one {argument.modality}" for argument in row.arguments if argument.required)


def _history(row: TaskType, context: Sequence[Message]) -> dict[str, str]:
    """The conversation so far, for experts that talk: its notes, and of the rest the latest that fits."""
    if not context or row.argument("history") is None:
        return {}
    notes = [message for message in context if message.role == "system"]
    said = [message for message in context if message.role != "system"]
    room = _LONGEST_HISTORY - sum(len(message.content) for message in notes)
    kept: list[Message] = []
    for message in reversed(said):
        room -= len(message.content)
        if room < 0:
            break
        kept.insert(0, message)
    turns = [{"role": message.role, "content": message.content} for message in (*notes, *kept)]
    return {"history": json.dumps(turns, ensure_ascii=False)}


async def events(
    request: Request, card: ModelCard, asked: Conversation, knobs: Mapping[str, str], stop: Sequence[str] = ()
) -> AsyncGenerator[Event]:
    """A call on one expert, told as a run; closing it gives the call up.

    Args:
        request: the HTTP request.
        card: the expert's.
        asked: the conversation.
        knobs: how it should write, in the registry's words; those that its task has not are left out.
        stop: words at which its answer ends.

    Raises:
        RequestError: it cannot answer this message.
        TaskError: it failed.

    """
    row, args = task_of(card, asked)
    known = {knob.name for knob in row.knobs}
    args |= {name: value for name, value in knobs.items() if name in known}
    number = f"run-{request.state.request_id}"
    wire = {"task": row.name, "id": 0, "dep": [-1], "args": args, "model": card.id}
    yield RunCreated(run=number, brain=card.id)
    yield PlanTask(run=number, task=wire)
    outcome = await call(
        backend(request), row.name, args, model=card.id, host=request.headers.get("host", "")
    )
    yield PlanDone(run=number, plan=[wire])
    yield TaskDone(run=number, outcome=outcome)
    text = cut(_answer(row, asked.text, outcome.text or ""), stop)
    if text:
        yield AnswerDelta(run=number, text=text)
    yield RunDone(run=number, answer=text, outcomes=(outcome,))


def _answer(row: TaskType, asked: str, text: str) -> str:
    """The answer alone: a model without a chat template shows the text that it goes on with first."""
    if row.name == "text-generation":
        _, found, after = text.partition(f"User: {asked}\n\nAssistant:")
        if found:
            return after.strip()
        return text.removeprefix(asked).strip() or text
    return text


def cut(text: str, stop: Sequence[str]) -> str:
    """A text up to the first of some words."""
    places = [place for word in stop if word and (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def reply(text: str, number: str) -> list[Event]:
    """An answer that needed no plan, told as a run."""
    return [
        RunCreated(run=number, brain="rules"),
        PlanDone(run=number, plan=[]),
        AnswerDelta(run=number, text=text),
        RunDone(run=number, answer=text),
    ]
