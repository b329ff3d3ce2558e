"""The tools: one for each task that can run now, from the registry's rows, and one for a whole request."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from mcp_types import Tool, ToolAnnotations
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from controller.api.mcp.results import RunResult, TaskResult
from controller.api.openai.parts import MOST_FILES
from controller.controller import Controller
from controller.errors import RequestError
from controller.request import MAX_CHARACTERS
from controller.rules.planner import EmbeddedPlanner
from deployments.placing import asks_llm, runs_elsewhere
from model_catalog.card import ModelCard
from model_catalog.tasks import MEDIA, TASKS, Argument, Modality, TaskType

ASK = "ask"
"""The name of the tool for a whole request."""

_M = TypeVar("_M", bound=BaseModel)

_TASKS = {name.replace("-", "_"): row for name, row in TASKS.items()}

_MEDIA_WORDS = {
    Modality.IMAGE: "A picture",
    Modality.AUDIO: "A recording, or a video for its sound",
    Modality.VIDEO: "A video",
    Modality.TABLE: "A table (CSV)",
}
_ARGUMENT_WORDS = {
    "seed": "A whole number; the same one gives the same result.",
    "steps": "Denoising steps: more take longer.",
    "guidance": "How closely the words are followed.",
    "strength": "From 0 to 1: how much is changed.",
    "control_strength": "From 0 to 1: how closely the map is followed.",
    "negative_prompt": "What shall not be seen or heard.",
    "width": "In pixels.",
    "height": "In pixels.",
    "frames": "How many pictures the video has.",
    "fps": "Pictures a second.",
    "seconds": "How long the sound is.",
    "max_new_tokens": "The most tokens that are written.",
    "temperature": "0 for the likeliest words; higher for more variety.",
    "top_p": "From 0 to 1: the share of likely words that are considered.",
    "top_k": "How many classes are told.",
    "threshold": "From 0 to 1: the least score of what is told.",
    "language": "The language spoken.",
    "source_language": "The language of the text.",
    "target_language": "The language wanted.",
    "voice": "The voice, by a name that the model knows.",
    "labels": "The labels, with commas between them.",
    "context": "The text that holds the answer.",
    "mask": "A picture that is white where the other is painted anew",
}
_FILE_WORDS = "the path, URL or id of a file on this server, or a data: URL."


def _written(value: Any) -> Any:
    """A value as the registry's arguments take it: numbers and lists of words become words."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value


_Words = Annotated[
    str,
    BeforeValidator(_written),
    Field(max_length=MAX_CHARACTERS),
    WithJsonSchema({"type": "string", "maxLength": MAX_CHARACTERS}),
]
_Knob = Annotated[
    str, BeforeValidator(_written), Field(max_length=1000), WithJsonSchema({"type": ["string", "number"]})
]
_File = Annotated[str, Field(min_length=1)]


class AskArguments(BaseModel):
    """What the tool for a whole request takes."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_CHARACTERS,
            description="What is wanted, in plain words. It may need several tasks, one after another.",
        ),
    ]
    files: Annotated[
        list[str], Field(max_length=MOST_FILES, description=f"Files to work on: {_FILE_WORDS}")
    ] = []


def task_of(tool: str) -> TaskType | None:
    """The task that a tool runs."""
    return _TASKS.get(tool)


def listed(controller: Controller) -> list[Tool]:
    """Every tool that can be called now."""
    offered = {row.name: _candidates(controller, row) for row in TASKS.values()}
    tools = [_task_tool(TASKS[name], cards) for name, cards in offered.items() if cards]
    everyone = [card for cards in offered.values() for card in cards]
    return [_ask_tool(controller.brain != EmbeddedPlanner.name or _open(everyone)), *tools]


def _candidates(controller: Controller, row: TaskType) -> list[ModelCard]:
    """The models that run a task now, those of each of its jobs, the usual choice first."""
    wants = (None, *row.wants)
    cards = [card for want in wants for card in controller.selector.offers(row.name, want)]
    return list({card.id: card for card in cards}.values())


def read(row: TaskType, given: dict[str, Any]) -> dict[str, str]:
    """The arguments of a task's tool, by declared name; ``model`` and ``want`` among them where given.

    Raises:
        RequestError: they are not of the right form; the message names the faulty one.

    """
    return _read(arguments(row.name), row.name.replace("-", "_"), given).model_dump(exclude_none=True)


def read_ask(given: dict[str, Any]) -> AskArguments:
    """The arguments of the tool for a whole request.

    Raises:
        RequestError: they are not of the right form; the message names the faulty one.

    """
    return _read(AskArguments, ASK, given)


def _read(model: type[_M], tool: str, given: dict[str, Any]) -> _M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the arguments"
        known = ", ".join(model.model_fields)
        raise RequestError(
            f"The arguments of {tool} are not of the right form: {where}: {first['msg']}. It takes {known}."
        ) from None


@lru_cache(maxsize=len(TASKS))
def arguments(task: str) -> type[BaseModel]:
    """The model of what a task's tool takes: the row's arguments and knobs, ``want`` and ``model``."""
    row = TASKS[task]
    fields: dict[str, Any] = {item.name: _field(item) for item in row.arguments}
    fields |= {item.name: _field(item, _Knob) for item in row.knobs}
    if row.wants:
        words = f"The job wanted: {' or '.join(row.wants)}."
        fields["want"] = (Literal[row.wants] | None, Field(default=None, description=words))
    fields["model"] = (str | None, Field(default=None, max_length=300))
    return create_model(f"Arguments of {task}", __config__=ConfigDict(extra="forbid"), **fields)


def _field(argument: Argument, kind: Any = None) -> tuple[Any, Any]:
    words = _ARGUMENT_WORDS.get(argument.name)
    if argument.modality in MEDIA:
        kind, words = _File, f"{words or _MEDIA_WORDS[argument.modality]}: {_FILE_WORDS}"
    kind = kind or _Words
    aliases = AliasChoices(argument.name, *argument.aliases) if argument.aliases else None
    if argument.required:
        return kind, Field(description=words, validation_alias=aliases)
    return kind | None, Field(default=argument.default, description=words, validation_alias=aliases)


def _task_tool(row: TaskType, cards: Sequence[ModelCard]) -> Tool:
    schema = _given(arguments(row.name).model_json_schema(by_alias=False))
    models = [card.id for card in cards]
    schema["properties"]["model"] = {
        "type": "string",
        "enum": models,
        "description": f"The one model that may run it; {models[0]} is the usual choice.",
    }
    outputs = ", ".join(row.outputs)
    return Tool(
        name=row.name.replace("-", "_"),
        title=row.label.capitalize(),
        description=f"{row.description} It gives {outputs}.",
        input_schema=schema,
        output_schema=_output(TaskResult),
        annotations=_annotations(row.small, _open(cards)),
    )


def _ask_tool(opens: bool) -> Tool:
    return Tool(
        name=ASK,
        title="Ask for anything",
        description=(
            "Answer a whole request in plain words: it is planned as a graph of tasks, each is run by an "
            "expert model, and the answer names the files made. Take a task's own tool where one is enough."
        ),
        input_schema=_given(AskArguments.model_json_schema()),
        output_schema=_output(RunResult),
        annotations=_annotations(False, opens),
    )


def _annotations(small: bool, opens: bool) -> ToolAnnotations:
    """Hints for clients: nothing is ever changed; what holds media is stored as a new file."""
    return ToolAnnotations(read_only_hint=small, destructive_hint=False, open_world_hint=opens)


def _open(cards: Iterable[ModelCard]) -> bool:
    """Whether what is sent may leave this cluster."""
    return any(runs_elsewhere(card) or asks_llm(card) for card in cards)


@lru_cache(maxsize=2)
def _output(model: type[BaseModel]) -> dict[str, Any]:
    return plain(model.model_json_schema(mode="serialization"))


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of pydantic's without the titles that it makes of names."""
    found = {name: _plain(value) for name, value in schema.items() if name != "title"}
    for part in ("properties", "$defs"):
        if part in schema:
            found[part] = {name: plain(inner) for name, inner in schema[part].items()}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, dict) else value


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what a client gives: what it may leave out need not take null too."""
    found = plain(schema)
    for name, field in found["properties"].items():
        kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            rest = {key: value for key, value in field.items() if key != "anyOf"}
            found["properties"][name] = {**kinds[0], **rest}
        if found["properties"][name].get("default", "") is None:
            del found["properties"][name]["default"]
    return found
