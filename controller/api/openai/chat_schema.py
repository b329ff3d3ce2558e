"""Chat completions: the forms of requests and answers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from controller.api.openai.parts import Part, Words
from controller.api.openai.schema import PLANNER, Account, Body, Form, Name, Told, Usage, now

MOST_MESSAGES = 10_000


class ChatMessage(Body):
    """One message; those of tools are passed over."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Words | list[Part] | None = None


class StreamOptions(Body):
    """Whether a stream ends with the usage."""

    include_usage: bool | None = None


class AudioOptions(Body):
    """How a spoken answer is to sound: a voice by name, and the format."""

    voice: str | dict[str, Any] = "alloy"
    format: Literal["wav", "mp3", "flac", "opus", "aac", "pcm16"] = "wav"


class ChatBody(Body):
    """A chat; see docs/api.md for what of OpenAI's fields counts here."""

    model: Name = PLANNER
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: AudioOptions | None = None
    n: int | None = 1
    logprobs: bool | None = False
    top_logprobs: int | None = None
    response_format: Form | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None

    @property
    def knobs(self) -> dict[str, str]:
        """How an expert should write, in the registry's words."""
        found = {
            "max_new_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
        }
        return {name: str(value) for name, value in found.items() if value is not None}

    @property
    def stops(self) -> list[str]:
        """Words at which an expert's answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatAudio(Told):
    """A spoken answer: base64, and the words it says."""

    id: str
    data: str
    expires_at: int
    transcript: str


class ChatAnswer(Told):
    """The answer; ``hugginggpt`` tells how it came about. A spoken one has its words in ``audio``."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    annotations: tuple[Any, ...] = ()
    audio: ChatAudio | None = None
    hugginggpt: Account


class ChatChoice(Told):
    """The one answer of a completion."""

    index: int = 0
    message: ChatAnswer
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class ChatCompletion(Told):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(default_factory=now)
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatChunk(Told):
    """A piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: Usage | None = None
