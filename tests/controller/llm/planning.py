"""Requests planned by the LLM planner over a scripted endpoint, as the controller does it."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from controller.llm.planner import LlmPlanner
from controller.plan import Plan
from controller.planner import Offers, Reply
from controller.request import Attachment, Message, Request
from deployments.llm.client import Llm, Usage
from deployments.llm.endpoint import Endpoint
from model_catalog.card import ModelCard
from tests.support.endpoint import Asked, ScriptedEndpoint

Raw = dict[str, Any]


@dataclass
class Planned:
    """What came of a request."""

    plan: Plan
    requests: list[Asked]
    replies: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    @property
    def reply(self) -> str:
        return "".join(self.replies)

    @property
    def wire(self) -> list[Raw]:
        return self.plan.wire()


def nothing(task: str) -> tuple[ModelCard, ...]:
    """Offers nothing."""
    return ()


def asked(text: str, *attachments: Attachment, context: Sequence[Message] = ()) -> Request:
    return Request(messages=(*context, Message(role="user", content=text)), attachments=attachments)


def llm_of(endpoint: ScriptedEndpoint, **settings: Any) -> Llm:
    """A client of a scripted endpoint that tries once."""
    given = {"model": "scripted", "base_url": endpoint.url, "api_key": "any", "retries": 0}
    return Llm(Endpoint.model_validate(given | settings))


async def plan(
    script: Any,
    request: Request | str = "Do it",
    *,
    offers: Offers = nothing,
    max_tasks: int = 32,
    seen: Callable[[Planned, Any], None] | None = None,
    server: Mapping[str, Any] | None = None,
    times: Mapping[str, float] | None = None,
    **settings: Any,
) -> Planned:
    """Plan a request; every task is added to the plan before the next one is asked for.

    Args:
        script: what the endpoint answers.
        request: the request, or its words.
        offers: what can run.
        max_tasks: the limit of the plan.
        seen: told each step, after it was added.
        server: further settings of the scripted endpoint.
        times: the times of the planner.
        settings: further settings of the endpoint as the client knows it.

    """
    with ScriptedEndpoint(script, **(server or {})) as endpoint:
        llm = llm_of(endpoint, **settings)
        done = Planned(Plan(max_tasks), endpoint.requests)
        conversation = asked(request) if isinstance(request, str) else request
        try:
            planner = LlmPlanner(llm, dict, **(times or {})).plan(conversation, offers, done.plan, done.usage)
            async with aclosing(planner) as steps:
                async for step in steps:
                    if isinstance(step, Reply):
                        done.replies.append(step.text)
                    else:
                        done.plan.add(step)
                    if seen is not None:
                        seen(done, step)
        finally:
            await llm.close()
        return done


def task(name: str, task_id: Any, dep: Sequence[Any] = (), **args: Any) -> Raw:
    return {"task": name, "id": task_id, "dep": list(dep), "args": args}


def caption(task_id: Any, image: str = "/images/a.png") -> Raw:
    return task("image-to-text", task_id, image=image)


def speak(task_id: Any, text: Any = "hello", dep: Sequence[Any] = ()) -> Raw:
    return task("text-to-speech", task_id, dep, text=text)


def written(*tasks: Any, reply: str | None = None) -> str:
    return json.dumps({"tasks": list(tasks), "reply": reply}, ensure_ascii=False)


def strict_form(raw: Mapping[str, Any]) -> Raw:
    """A task as an LLM writes it that is held to the schema: every name, null or not."""
    args = {name: raw["args"].get(name) for name in ("text", "image", "audio", "video", "table")}
    return {
        "task": raw["task"],
        "id": raw["id"],
        "dep": raw["dep"],
        "args": args,
        **{name: raw.get(name) for name in ("options", "want", "model", "reason")},
    }
