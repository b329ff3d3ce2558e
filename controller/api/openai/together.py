"""Several calls at once."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(calls: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What comes of calls made at once, in their order; where one fails, the others are given up."""
    waiting = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*waiting))
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
