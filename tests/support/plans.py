"""Requests in plain words become plans that tests can compare."""

import asyncio
from typing import Any

from controller.plan import Plan
from controller.request import Attachment, Message, Request
from controller.rules.planner import EmbeddedPlanner, plan_text
from model_catalog.tasks import Modality

Step = tuple[str, dict[str, str]]

REVIEW = "I loved every minute of it, wonderful!"
NOISY = f"http://127.0.0.1:8000/audios/{'0a' * 16}.wav"


def steps_of(text: str, *attachments: Attachment, context: tuple[Message, ...] = ()) -> list[Step]:
    """Each task with its arguments; a task that has a ``want`` is written ``task:want``."""
    tasks = plan_text(text, attachments, context)
    plan = Plan.parse(tasks, max_tasks=100)
    assert plan.notes == []
    assert plan.faults == []
    assert plan.wire() == [{key: task[key] for key in ("task", "id", "dep", "args")} for task in tasks]
    return [(":".join([task["task"], *filter(None, [task.get("want")])]), task["args"]) for task in tasks]


def attached(modality: Modality, path: str = "/files/1") -> Attachment:
    return Attachment(path=path, modality=modality)


async def _answers(request: Request) -> list[Any]:
    return [step async for step in EmbeddedPlanner().plan(request, lambda task: (), Plan())]


def ask(text: str, *attachments: Attachment) -> list[Any]:
    request = Request(messages=(Message(role="user", content=text),), attachments=attachments)
    return asyncio.run(_answers(request))


OCR_SIGN: Step = ("image-to-text:ocr", {"image": "/examples/sign.png"})
CAPTION_A: Step = ("image-to-text", {"image": "/examples/a.jpg"})
SAY_0: Step = ("text-to-speech", {"text": "<GENERATED>-0"})
