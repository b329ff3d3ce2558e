"""Streams of steps: closed with whoever reads them, and waited for with a bound."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TypeVar

T = TypeVar("T")


def closing(source: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncGenerator[T]]:
    """The steps of any iterator; leaving the context closes it, where it can be closed."""
    return aclosing(_steps(source))


async def _steps(source: AsyncIterator[T]) -> AsyncGenerator[T]:
    try:
        async for step in source:
            yield step
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def following(steps: AsyncGenerator[T], seconds: float) -> T | None:
    """The next step; None after the last.

    Raises:
        TimeoutError: it did not come in time; the stream has ended then.

    """
    async with asyncio.timeout(max(0.0, seconds)):
        return await anext(steps, None)
