"""What an expert gives becomes plain: JSON of Python's own types, and text that can be encoded."""

import json
from typing import Any

from deployments.errors import ExpertError


def words(text: str | None) -> str | None:
    """The text with halves of characters replaced, which no encoding can carry."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def plain(data: Any) -> Any:
    """JSON data with numbers and arrays of numpy or torch as Python's own.

    Raises:
        ExpertError: it holds what JSON has no form for.

    """
    if data is None or (isinstance(data, list) and not data):
        return data
    try:
        written = json.dumps(data, default=_own, allow_nan=False, ensure_ascii=False)
        return json.loads(words(written) or "null")
    except (TypeError, ValueError, RecursionError):
        raise ExpertError("The model gave data that is no JSON; its runner must give plain values.") from None


def _own(value: Any) -> Any:
    """A value of another library, by the conversions that numpy and torch share."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(type(value).__name__)
