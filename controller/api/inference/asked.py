"""What a client of the inference protocol asks: a file as it is, or JSON with inputs and parameters."""

import asyncio
import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from controller.api.media import Lent, decoded
from controller.errors import RequestError
from controller.files import elsewhere, local_path
from model_catalog.tasks import Modality, TaskType

_PATH = re.compile(r"/?(?:public/)?(?:images|audios|videos|files|examples)/[\w-]+\.\w{1,5}")
_LINK = re.compile(r"https?://", re.IGNORECASE)

_NESTED = ("generate_parameters", "generation_parameters", "generate_kwargs")
"""Parameters that hold further ones."""

_EMPTY_OF_MEANING = frozenset(
    {
        "truncation",
        "truncate",
        "padding",
        "clean_up_tokenization_spaces",
        "use_cache",
        "wait_for_model",
        "model",
    }
)
"""Parameters that ask for what is done anyway, or that change no result."""

_LARGEST = 2**63  # the largest number of a parameter: what fits no machine's word tunes nothing
_LARGE = 1 << 20  # bytes of JSON that are parsed beside the event loop


@dataclass(slots=True)
class Asked:
    """One request.

    Attributes:
        files: stores media for this one call.
        host: the name the request was sent to, whose URLs name files of this server.
        accept: the media types that the client takes, as it wrote them.
        media: the body, where it is a file.
        inputs: what the model is to work on, of a body in JSON.
        parameters: how it is to work.
        extra: what else the JSON holds.

    """

    files: Lent
    host: str = ""
    accept: str = ""
    media: bytes | None = None
    inputs: Any = None
    parameters: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> Any:
        """A part of the inputs by name, wherever a client puts it: in ``inputs``, or beside it."""
        if isinstance(self.inputs, Mapping) and name in self.inputs:
            return self.inputs[name]
        return self.extra.get(name)

    def take(self, name: str) -> Any:
        """A parameter, which counts as used then; None where it was not given."""
        return self.parameters.pop(name, None)

    def words(self, value: Any = None, name: str = "inputs") -> str:
        """A text.

        Raises:
            RequestError: it is none, or empty.

        """
        found = self.inputs if value is None and name == "inputs" else value
        if not isinstance(found, str) or not found.strip():
            raise RequestError(f"Send a text in {name!r}, which is not empty.", name)
        return found

    def texts(self, value: Any, name: str) -> list[str]:
        """A list of texts.

        Raises:
            RequestError: it is none, or one of them is empty.

        """
        if not isinstance(value, list) or not value:
            raise RequestError(f"Send a list of texts in {name!r}.", name)
        return [self.words(item, name) for item in value]

    async def file(self, value: Any = None, name: str = "inputs") -> str:
        """The path of a file that was sent as the body, in base64, as a ``data:`` URL, or that lies here.

        Raises:
            RequestError: it is none of these.
            MediaError: it is of a kind that is not taken, or broken.

        """
        if value is None and self.media is not None:
            return await self.files.keep(self.media)
        found = self.words(self.inputs if value is None else value, name).strip()
        if _LINK.match(found) or _PATH.fullmatch(found):
            return found if elsewhere(found, self.host) else local_path(found, self.host)
        data = await decoded(found)
        if data is None:
            data = await asyncio.to_thread(_decoded, found, name)
        return await self.files.keep(data)

    async def table(self, value: Any, name: str) -> str:
        """The path of a table that was sent as columns of cells.

        Raises:
            RequestError: it is no such table.

        """
        if (
            not isinstance(value, Mapping)
            or not value
            or not all(isinstance(v, list) for v in value.values())
        ):
            raise RequestError(
                f"Send the table in {name!r}, as an object of columns with a list of cells each.", name
            )
        if len({len(cells) for cells in value.values()}) != 1:
            raise RequestError(
                "The columns of the table must have one length; fill the shorter ones up.", name
            )
        return await self.files.keep(await asyncio.to_thread(_csv, value), "table.csv")

    def knobs(self, row: TaskType, renamed: Mapping[str, str] | None = None) -> dict[str, str]:
        """The parameters that are left, as arguments of a task.

        Args:
            row: the task.
            renamed: names of the protocol's own, and what the task calls them.

        Raises:
            RequestError: one is unknown, or no number or word.

        """
        optional = (a for a in row.arguments if not a.required and a.modality is Modality.TEXT)
        taken = (*row.knobs, *optional)
        args: dict[str, str] = {}
        for name, value in self.parameters.items():
            if value is None or name in _EMPTY_OF_MEANING:
                continue
            known = (renamed or {}).get(name, name)
            knob = next((knob for knob in taken if known in (knob.name, *knob.aliases)), None)
            if knob is None:
                raise unknown(row, name)
            args[knob.name] = _written(name, value)
        return args


def unknown(row: TaskType, *names: str) -> RequestError:
    """What a request is told whose parameters mean nothing here."""
    taken = ", ".join(knob.name for knob in row.knobs) or "none"
    return RequestError(
        f"{row.name} takes no parameter {', '.join(names)}; leave it out. It takes: {taken}.", names[0]
    )


async def read(request: Request, files: Lent) -> Asked:
    """What a request asks.

    Raises:
        RequestError: it says that it is JSON and is not, or has no body.

    """
    body = await request.body()
    asked = Asked(files, request.headers.get("host", ""), request.headers.get("accept", ""))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        if not body:
            raise RequestError(
                "Send a file as the body, or JSON with inputs (Content-Type: application/json)."
            )
        asked.media = body
        return asked
    found = await asyncio.to_thread(_parsed, body) if len(body) > _LARGE else _parsed(body)
    parameters = found.pop("parameters", None) or {}
    if not isinstance(parameters, dict):
        raise RequestError("The parameters must be an object.", "parameters")
    asked.inputs = found.pop("inputs", None)
    asked.extra = found
    asked.parameters = _flat(parameters)
    return asked


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode(json.detect_encoding(body))
        found = json.loads(text)
        if "\\ud" in text or "\\uD" in text:  # halves of characters, which no text has
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise RequestError('The body is no valid JSON; send {"inputs": …, "parameters": {…}}.') from None
    if not isinstance(found, dict):
        raise RequestError('The body must be an object; send {"inputs": …, "parameters": {…}}.')
    return found


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with those inside others beside them; nothing that is null."""
    flat = {name: value for name, value in parameters.items() if name not in _NESTED and value is not None}
    for name in _NESTED:
        inner = parameters.get(name)
        if inner is not None and not isinstance(inner, dict):
            raise RequestError(f"The parameter {name} must be an object.", name)
        flat |= {key: value for key, value in (inner or {}).items() if value is not None}
    return flat


def _decoded(value: str, name: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (ValueError, binascii.Error):
        raise RequestError(
            f"Send the file as the body, or in base64 in {name!r}, or name one that was uploaded here.", name
        ) from None


def _written(name: str, value: Any) -> str:
    """A parameter as the word or number that a task takes."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float() if -_LARGEST <= value <= _LARGEST:
            return str(int(value)) if value == int(value) else repr(value)
        case int() | float():
            raise RequestError(f"The parameter {name} is too large a number, or none; send another.", name)
        case _:
            raise RequestError(f"The parameter {name} must be a word or a number.", name)


def _csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()
