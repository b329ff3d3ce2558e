"""What the doors share: reading a JSON body, and finding the controller."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError

from controller.errors import RequestError

if TYPE_CHECKING:
    from controller.api.app import Backend

_M = TypeVar("_M", bound=BaseModel)


def backend(request: Request) -> "Backend":
    """What the application serves."""
    return cast("Backend", request.app.state.backend)


async def read(request: Request, model: type[_M]) -> _M:
    """The JSON body of a request.

    Raises:
        RequestError: it is not JSON, or not of the right form; the message names the faulty field.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("Send the body as JSON, with the header Content-Type: application/json.")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise explained(error.errors(include_input=False, include_url=False)[0]) from None


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
