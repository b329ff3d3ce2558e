"""Items of a response: each task as a call of this server's own tools, the answer as a message.

A task stands as an item of the type ``mcp_call``: the kind that OpenAI's clients know for tools that a server
calls by itself, with arguments, output and error.
"""

import json
from collections.abc import Iterator
from typing import Any

from controller.api.address import Address
from controller.events import Event, PlanTask, TaskDone, TaskFailed, TaskSkipped
from controller.outcome import Outcome, Status

_LABEL = "hugginggpt"

Step = tuple[str, dict[str, Any]]
"""The type of a streamed event, without ``response.`` before it, and its fields."""


class Items:
    """The output of a response while it grows."""

    def __init__(self, number: str, address: Address) -> None:
        """Begin; ``number`` tells the response's items from others', ``address`` makes those of files."""
        self.output: list[dict[str, Any]] = []
        self._number, self._address = number, address
        self._places: dict[int, int] = {}
        self._message: int | None = None
        self._text = ""

    def steps(self, event: Event) -> Iterator[Step]:
        """What an event of a run adds."""
        if isinstance(event, PlanTask):
            yield from self._begun(event.task)
        elif isinstance(event, TaskDone | TaskFailed | TaskSkipped):
            yield from self._ended(event.outcome)

    def _begun(self, task: dict[str, Any]) -> Iterator[Step]:
        place = self._places[int(task["id"])] = len(self.output)
        item: dict[str, Any] = {
            "id": f"mcp_{self._number}_{task['id']}",
            "type": "mcp_call",
            "server_label": _LABEL,
            "name": task["task"],
            "arguments": "",
            "status": "in_progress",
            "output": None,
            "error": None,
        }
        self.output.append(item)
        at = {"item_id": item["id"], "output_index": place}
        yield "output_item.added", {"output_index": place, "item": dict(item)}
        yield "mcp_call.in_progress", at
        item["arguments"] = json.dumps(task.get("args", {}), ensure_ascii=False)
        yield "mcp_call_arguments.delta", {**at, "delta": item["arguments"]}
        yield "mcp_call_arguments.done", {**at, "arguments": item["arguments"]}

    def _ended(self, outcome: Outcome) -> Iterator[Step]:
        place = self._places.get(outcome.id)
        if place is None:
            return
        item = self.output[place]
        good = outcome.status is Status.DONE
        item["status"] = "completed" if good else "failed"
        if good:
            item["output"] = self._told(outcome)
        else:
            said = outcome.error.message if outcome.error else "The task did not end well."
            item["error"] = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": said}]}
        kind = "mcp_call.completed" if good else "mcp_call.failed"
        yield kind, {"item_id": item["id"], "output_index": place}
        yield "output_item.done", {"output_index": place, "item": dict(item)}

    def _told(self, outcome: Outcome) -> str:
        """What a task gave, in lines: its words, and the addresses of its files."""
        files = [self._address.of(item.path) for item in outcome.artifacts]
        return "\n".join([*([outcome.text] if outcome.text else []), *files])

    def said(self, text: str) -> Iterator[Step]:
        """A piece of the answer."""
        if self._message is None:
            yield from self._opened()
        self._text += text
        yield "output_text.delta", {**self._at, "delta": text, "logprobs": []}

    def _opened(self) -> Iterator[Step]:
        self._message = len(self.output)
        item = {
            "id": f"msg_{self._number}",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        self.output.append(item)
        yield "output_item.added", {"output_index": self._message, "item": dict(item)}
        yield "content_part.added", {**self._at, "part": _part("")}

    def closed(self) -> Iterator[Step]:
        """The end of the answer."""
        if self._message is None:
            yield from self._opened()
        assert self._message is not None  # noqa: S101
        item, part = self.output[self._message], _part(self._text)
        yield "output_text.done", {**self._at, "text": self._text, "logprobs": []}
        yield "content_part.done", {**self._at, "part": part}
        item |= {"status": "completed", "content": [part]}
        yield "output_item.done", {"output_index": self._message, "item": dict(item)}

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text

    @property
    def _at(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._number}", "output_index": self._message, "content_index": 0}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
