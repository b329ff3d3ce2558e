"""Responses: the forms of requests and answers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from controller.api.openai.parts import Part, Words
from controller.api.openai.schema import PLANNER, Account, Body, Form, Name, Told, Usage

MOST_ITEMS = 10_000


class InputItem(Body):
    """One item of a conversation: a message, or a step of an earlier answer, which is passed over."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Words | list[Part] | None = None


class TextOptions(Body):
    """How the words of an answer are to be written."""

    format: Form | None = None


class ResponsesBody(Body):
    """A request; see docs/api.md for what of OpenAI's fields counts here."""

    model: Name = PLANNER
    input: Words | Annotated[list[InputItem], Field(min_length=1, max_length=MOST_ITEMS)]
    instructions: Words | None = None
    stream: bool | None = False
    background: bool | None = False
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    text: TextOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    metadata: dict[str, str] | None = None

    @property
    def knobs(self) -> dict[str, str]:
        """How an expert should write, in the registry's words."""
        found = {
            "max_new_tokens": self.max_output_tokens, "temperature": self.temperature, "top_p": self.top_p,
        }  # fmt: skip
        return {name: str(value) for name, value in found.items() if value is not None}


class CachedTokens(Told):
    """Tokens of a prompt that some cache had; none is known of."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ReasoningTokens(Told):
    """Tokens that nobody sees; none is known of."""

    reasoning_tokens: int = 0


class ResponseUsage(Told):
    """Tokens; ``estimated`` where no LLM counted them."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int
    estimated: bool = False

    @classmethod
    def of(cls, usage: Usage) -> "ResponseUsage":
        """The same in this endpoint's words."""
        return cls(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            estimated=usage.estimated,
        )


class ResponseObject(Told):
    """A response: its steps and its answer as ``output``; ``hugginggpt`` tells how it came about."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "failed"]
    model: str
    output: list[dict[str, Any]] = Field(default_factory=list)
    error: dict[str, Any] | None = None
    incomplete_details: None = None
    instructions: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    parallel_tool_calls: bool = True
    temperature: float | None = None
    top_p: float | None = None
    tool_choice: str = "auto"
    tools: tuple[Any, ...] = ()
    max_output_tokens: int | None = None
    previous_response_id: None = None
    text: dict[str, Any] = Field(default_factory=lambda: {"format": {"type": "text"}})
    truncation: Literal["disabled"] = "disabled"
    store: bool = False
    background: bool = False
    usage: ResponseUsage | None = None
    hugginggpt: Account | None = None
