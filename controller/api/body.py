"""What the doors share: reading a JSON body, and finding the controller."""

from typing import TYPE_CHECKING, TypeVar, cast

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
        raise RequestError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return 'The body is no valid JSON; send {"messages": [{"role": "user", "content": "…"}]}.'
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return f"The request is not of the right form: {where}: {first['msg']}."
