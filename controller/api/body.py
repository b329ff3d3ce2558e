"""What the doors share: reading a JSON body, and finding the controller."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError

from controller.errors import RequestError

if TYPE_CHECKING:
    from controller.api.app import Backend
    from controller.api.recent import Recent

_M = TypeVar("_M", bound=BaseModel)


def backend(request: Request) -> "Backend":
    """What the application serves."""
    return cast("Backend", request.app.state.backend)


def recent(request: Request) -> "Recent":
    """The files that came inside requests lately."""
    return cast("Recent", request.app.state.recent)


async def read(request: Request, model: type[_M]) -> _M:
    """The JSON body of a request.

    Raises:
        RequestError: it is not JSON, or not of the right form; the message names the faulty field.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise no_json()
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise explained(error.errors(include_input=False, include_url=False)[0]) from None


def declared(model: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a body that ``read`` reads, as a route's ``openapi_extra``."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    whole = _inlined(schema, parts)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole}}}}


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in place; one that refers to itself has no end."""
    if isinstance(schema, list):
        return [_inlined(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {name: _inlined(value, parts) for name, value in schema.items()}


def no_json() -> RequestError:
    """What a request is told whose body is not said to be JSON."""
    return RequestError("Send the body as JSON, with the header Content-Type: application/json.")


def explained(fault: Mapping[str, Any]) -> RequestError:
    """What pydantic or FastAPI found wrong first, as an error that names the field."""
    if fault["type"] == "json_invalid":
        return RequestError('The body is no valid JSON; send an object such as {"messages": […]}.')
    path = [str(part) for part in fault["loc"]]
    if path[:1] in (["body"], ["query"], ["path"], ["header"]):
        path = path[1:]
    where = ".".join(path)
    told = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    return RequestError(
        f"The request is not of the right form: {where or 'the body'}: {told}.", where or None
    )
