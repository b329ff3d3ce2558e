"""Write down one planning call as it goes over the wire, with a scripted endpoint in the LLM's place.

python -m scripts.make_planning_call
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from controller.llm.planner import LlmPlanner
from controller.plan import Plan
from controller.planner import Reply as Said
from controller.request import Attachment, Message, Request
from controller.streams import closing
from deployments.llm.client import Llm
from deployments.llm.endpoint import Endpoint
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS, Modality
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "planning-call.md"

REQUEST = Request(
    messages=(Message(role="user", content="Describe this picture, and read the description aloud."),),
    attachments=(Attachment(path="/images/3f9c1e.png", modality=Modality.IMAGE),),
)
PLAN = (
    {
        "task": "image-to-text",
        "id": 0,
        "dep": [],
        "args": {"text": None, "image": "/images/3f9c1e.png", "audio": None, "video": None, "table": None},
        "options": None,
        "want": "caption",
        "model": "Salesforce/blip-image-captioning-large",
        "reason": "More downloads do not matter here; it describes in more detail.",
    },
    {
        "task": "text-to-speech",
        "id": 1,
        "dep": [0],
        "args": {"text": "<GENERATED>-0", "image": None, "audio": None, "video": None, "table": None},
        "options": None,
        "want": None,
        "model": None,
        "reason": None,
    },
)
CHOICES = ("image-to-text", "text-to-speech")

HEAD = """\
# A planning call

What goes to an LLM endpoint and comes back for one request, as a server on loopback took it down. The answer
is scripted; all else is what the product sends. Made by `python -m scripts.make_planning_call`; a test
compares it with the code.

The request: *{request}*, with the picture `{path}`. In this example {choices} each have two models that run,
every other task has one.

"""


async def _planned(url: str) -> Plan:
    llm, plan = Llm(Endpoint(model="an-llm", base_url=url)), Plan()
    known = Catalog.shipped()
    offered = {task: known.top_k(task, 2 if task in CHOICES else 1) for task in TASKS}
    async with closing(LlmPlanner(llm).plan(REQUEST, lambda task: offered[task], plan)) as steps:
        async for step in steps:
            if not isinstance(step, Said):
                plan.add(step)
    await llm.close()
    return plan


def document() -> str:
    """The whole document."""
    answer = json.dumps({"tasks": PLAN, "reply": None}, separators=(",", ":"))
    with ScriptedEndpoint([Reply(answer, tokens=100)]) as endpoint:
        plan = asyncio.run(_planned(endpoint.url))
        (asked,) = endpoint.requests
    choices = " and ".join(CHOICES)
    head = HEAD.format(request=REQUEST.text, path=REQUEST.attachments[0].path, choices=choices)
    return head + "".join([_body(asked), *_messages(asked), _schema(asked), _answer(answer), _plan(plan)])


def _body(asked: Asked) -> str:
    body = {name: value for name, value in asked.body.items() if name != "messages"}
    body["messages"] = ["see below"]
    body["response_format"] = {
        "type": "json_schema",
        "json_schema": {**asked.body["response_format"]["json_schema"], "schema": "see below"},
    }
    return f"## POST /v1/chat/completions\n\n{_fenced(json.dumps(body, indent=2), 'json')}"


def _messages(asked: Asked) -> list[str]:
    return [
        f"## Message {number}: {message['role']}\n\n{_fenced(message['content'], 'text')}"
        for number, message in enumerate(asked.messages)
    ]


def _schema(asked: Asked) -> str:
    return f"## Schema of the answer\n\n{_fenced(_compact(asked.schema), 'json')}"


def _answer(answer: str) -> str:
    shown = answer.replace('},{"task"', '},\n{"task"')
    note = "Each task is dispatched as soon as its last brace is there.\n\n"
    return f"## The answer\n\n{note}{_fenced(shown, 'json')}"


def _plan(plan: Plan) -> str:
    shown = "\n".join(_compact(task.wire()) for task in plan.tasks)
    return f"## The plan, in wire form\n\n{_fenced(shown, 'json')}".rstrip() + "\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _fenced(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````\n\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"{DOCUMENT} written")
