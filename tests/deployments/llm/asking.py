"""What the tests of the LLM's client share."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from deployments.llm.client import Form, Llm, Usage
from deployments.llm.endpoint import Endpoint
from deployments.llm.errors import LlmError
from tests.support.endpoint import ScriptedEndpoint

KEY = "sk-test-0123456789abcdef"
HELLO = [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": "Hello there"}]
PLAN = Form(
    "plan",
    {
        "type": "object",
        "properties": {"tasks": {"type": "array", "items": {"type": "string"}}},
        "required": ["tasks"],
        "additionalProperties": False,
    },
)


def endpoint(server: ScriptedEndpoint, **changes: Any) -> Endpoint:
    """A scripted server as an endpoint; times are those of tests."""
    usual: dict[str, Any] = {"model": "tiny", "base_url": server.url, "timeout_s": 5.0}
    return Endpoint(**usual | changes)


@asynccontextmanager
async def asking(server: ScriptedEndpoint, **changes: Any) -> AsyncIterator[Llm]:
    """A client of a scripted server."""
    llm = Llm(endpoint(server, **changes))
    try:
        yield llm
    finally:
        await llm.close()


@dataclass
class Heard:
    """What came of a call."""

    pieces: list[str] = field(default_factory=list)
    error: LlmError | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def heard(llm: Llm, form: Form | None = None, run: str = "r1", **options: Any) -> Heard:
    """Ask, and listen to the end."""
    found = Heard()
    try:
        async with aclosing(
            llm.stream(HELLO, form=form, usage=found.usage, run=run, options=options)
        ) as pieces:
            async for piece in pieces:
                found.pieces.append(piece)
    except LlmError as error:
        found.error = error
    return found


def keyed() -> SecretStr:
    """A key."""
    return SecretStr(KEY)
