"""The keyring: which API keys are good, asked of whoever keeps them, and remembered for some seconds.

All keys are asked for at once: so a stranger's tokens cost the database nothing, a revoked key ends within
``STALE_S``, and while requests come they never wait for the answer.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Protocol

from controller.errors import KeysError
from controller.failure import failure
from controller.signing import Signer
from deployments.history.ring import Key, Ring, id_of

logger = logging.getLogger("ray.serve")

STALE_S = 5.0
"""How long an answer counts."""

RENEW_S = 2.0
"""After how long it is asked for anew, while requests go on with the one before."""

ANEW_S = 1.0
"""How often it is asked for at most because a token names a key that is not known: it may be new."""

ANSWER_S = 10.0
"""How long an answer may take; a history that starts anew is back by then."""

PAUSES_S = (0.2, 0.4)
"""After how long it is asked again where that failed: a replica that died is being replaced."""


class Keeper(Protocol):
    """Who keeps the keys."""

    async def ring(self) -> Ring:
        """All keys that were not revoked."""
        ...


class Keyring:
    """The keys as they were last told."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Ask nobody yet.

        Args:
            keeper: who keeps the keys.
            clock: seconds that never go back, for the age of answers.
            now: seconds since the epoch, for the ends of keys and addresses.

        """
        self._keeper = keeper
        self._clock = clock
        self._now = now
        self._ring: Ring | None = None
        self._at = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def key(self, token: str) -> Key | None:
        """The key of a token; None where it is none that is good.

        Raises:
            KeysError: nobody tells.

        """
        number = id_of(token)
        if number is None:
            return None
        ring = await self._fresh()
        if number not in ring.keys and self._age > ANEW_S:
            ring = await self._asked()
        return ring.proven(token, self._now())

    async def signer(self) -> Signer:
        """What signs addresses of files, and knows those that are signed.

        Raises:
            KeysError: nobody tells the secret.

        """
        return Signer((await self._fresh()).secret, self._now)

    @property
    def _age(self) -> float:
        return self._clock() - self._at

    async def _fresh(self) -> Ring:
        """A ring that is not stale."""
        if self._ring is None or self._age > STALE_S:
            return await self._asked()
        if self._age > RENEW_S:
            self._ask()
        return self._ring

    def _ask(self) -> "asyncio.Task[None]":
        """Ask, or go along with who asks already; no request's own end ends it."""
        if self._asking is None or self._asking.done():
            asking = self._learn()
            self._asking = asyncio.get_running_loop().create_task(asking, context=contextvars.Context())
        return self._asking

    async def _learn(self) -> None:
        for wait in (*PAUSES_S, None):
            asked = self._clock()
            try:
                async with asyncio.timeout(ANSWER_S):
                    self._ring = await self._keeper.ring()
            except Exception as error:
                logger.warning("the API keys could not be looked up: %s", failure(error).message)
                if wait is None or isinstance(error, TimeoutError):
                    return
                await asyncio.sleep(wait)
            else:
                self._at = asked
                return

    async def _asked(self) -> Ring:
        asked = self._clock()
        await asyncio.shield(self._ask())
        if self._ring is None or self._at < asked - STALE_S:
            raise KeysError("The API keys cannot be looked up now; try again soon.")
        return self._ring
