"""Multipart forms: their fields as a model, their files as bytes."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from controller.api.body import explained
from controller.api.openai.schema import Body
from controller.errors import RequestError

_B = TypeVar("_B", bound=Body)

_MOST_FIELDS = 60
_MOST_FILES = 17


class File:
    """A file of a form: its bytes and the name it was sent under."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name


async def form(request: Request, model: type[_B], *lists: str) -> tuple[_B, dict[str, list[File]]]:
    """The fields of a form as a model, and its files by field; ``image[]`` counts as ``image``.

    Args:
        request: the HTTP request.
        model: of the fields.
        lists: the fields that may come several times.

    Raises:
        RequestError: it is no form, or a field is of the wrong kind.

    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RequestError("Send the body as multipart/form-data, as OpenAI's clients do.")
    try:
        sent = await request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS)
    except HTTPException:
        raise RequestError("The body is no valid multipart/form-data; send it anew.") from None
    values: dict[str, Any] = {}
    files: dict[str, list[File]] = {}
    try:
        for key, value in sent.multi_items():
            name = key.removesuffix("[]")
            if isinstance(value, UploadFile):
                files.setdefault(name, []).append(File(await value.read(), value.filename or ""))
            elif name in lists:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
    finally:
        await sent.close()
    try:
        return model.model_validate(values), files
    except ValidationError as error:
        raise explained(error.errors(include_input=False, include_url=False)[0]) from None


def only(files: dict[str, list[File]], name: str) -> File:
    """The one file of a field.

    Raises:
        RequestError: there is none, or there are several.

    """
    found = files.get(name, [])
    if len(found) != 1:
        told = "is missing" if not found else "came several times, and one is taken"
        raise RequestError(f"The file {name!r} {told}; send it once, as multipart/form-data.", name)
    return found[0]


def described(model: type[Body], *files: str) -> dict[str, Any]:
    """A form for a route's description: the model's fields, and the files."""
    schema = model.model_json_schema()
    schema.pop("$defs", None)
    for name in files:
        schema.setdefault("properties", {})[name] = {"type": "string", "format": "binary"}
    schema["required"] = sorted({*schema.get("required", []), *(name for name in files if name != "mask")})
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
