"""Models served elsewhere: by Hugging Face's Inference Providers, or by an endpoint of the operator's own."""

import asyncio
import logging
import threading
import traceback

import httpx2

from deployments.errors import ExpertError
from deployments.result import Input, Result
from deployments.runners.base import AsyncRunner
from deployments.runners.remote_asking import Ask
from deployments.runners.remote_tasks import METHODS, known_as
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

logger = logging.getLogger("ray.serve")

AUTO = "auto"
"""The provider that stands for whichever serves the model."""


class Remote(AsyncRunner):
    """Asks a model that runs elsewhere, over ``huggingface_hub.AsyncInferenceClient``.

    The card's ``defaults`` say where: ``endpoint``, the URL that serves this very model, or ``provider``, one
    of the client's providers (``auto`` without it). A call's own arguments never do.
    """

    def load(self, card: ModelCard, device: str) -> None:
        """Check that the model can be asked; nothing is asked yet, since every call may cost.

        Raises:
            ExpertError: no service runs one of its tasks, or there is no token to ask with.

        """
        super().load(card, device)
        unserved = [task for task in card.tasks if task not in METHODS]
        if unserved:
            raise ExpertError(f"{card.id} cannot be asked elsewhere: no service runs {', '.join(unserved)}.")
        self._endpoint = card.defaults.get("endpoint")
        self._provider = card.defaults.get("provider", AUTO)
        self._secret = self.token.get_secret_value() if self.token else None
        self._resolved: set[str] = set()
        if self._endpoint is not None and not self._endpoint.startswith(("http://", "https://")):
            raise ExpertError(f"The endpoint of {card.id} must begin with http:// or https://.")
        if self._endpoint is None:
            self._check_token()
        self._check_provider()
        from deployments.runners.remote_client import Connections, guard

        self._connections = Connections(not (self._endpoint or "").startswith("http:"))
        if self._endpoint is None:
            guard(self._secret)

    def _check_token(self) -> None:
        if not self._secret:
            raise ExpertError(
                f"{self.card.id} is served elsewhere, which needs a token: set HUGGINGFACE_ACCESS_TOKEN."
            )
        if self._provider == AUTO and not self._secret.startswith("hf_"):
            raise ExpertError(
                "The token is not one of the Hugging Face Hub (hf_...); set HUGGINGFACE_ACCESS_TOKEN to one, "
                f"or name the provider it is for in the card of {self.card.id}."
            )

    def _check_provider(self) -> None:
        """Refuse tasks that the one service in question never runs."""
        if self._provider == AUTO and self._endpoint is None:
            return
        from huggingface_hub.inference._providers import get_provider_helper

        for task in self.card.tasks:
            try:
                get_provider_helper(self._provider, known_as(task, self.card), self._endpoint or self.card.id)
            except ValueError:
                where = "an endpoint" if self._endpoint else f"the provider {self._provider!r}"
                raise ExpertError(
                    f"{self.card.id} cannot do {task} by {where}; name another provider in its card."
                ) from None

    async def answer(self, item: Input) -> Result:
        """See ``AsyncRunner``; a cancelled call closes its connection.

        Raises:
            InputError: the input lacks something.
            ExpertError: the service refused the call, failed, or gave no usable answer.

        """
        from deployments.runners.remote_client import GIVEN_UP, SECONDS

        if item.task not in METHODS:
            raise ExpertError(f"No service runs {item.task}.")
        ended = threading.Event()
        mark = GIVEN_UP.set(ended)
        try:
            async with asyncio.timeout(SECONDS):
                return await self._asked(item)
        except HuggingGPTError:
            raise
        except Exception as error:  # a library's words may hold what was sent, the token too
            failure = self._failure(error, item.task)
        finally:
            ended.set()
            GIVEN_UP.reset(mark)
        raise failure

    async def _asked(self, item: Input) -> Result:
        from deployments.runners.remote_client import Client

        async with self._connections.use() as http:
            if self._endpoint is None:
                await self._find(known_as(item.task, self.card))
            where = self._endpoint or self.card.id
            client = Client(http, where, self.card.id, self._provider, self._secret)
            try:
                return await METHODS[item.task](Ask(client, item, self.card))
            finally:
                if client.gone:
                    self._forget()

    def _forget(self) -> None:
        """Have the next call look again for who serves the model: it is not, or no more, served there."""
        from deployments.runners.remote_client import forget

        self._resolved.clear()
        if self._endpoint is None:
            forget()

    async def _find(self, task: str) -> None:
        """Have the library find out who serves the model, once; see ``_forget``."""
        from deployments.runners.remote_client import resolve

        if task in self._resolved or (task == "conversational" and self._provider == AUTO):
            return
        try:
            await resolve(self._provider, task, self.card.id)
        except (ValueError, LookupError):
            raise ExpertError(
                f"No provider serves {self.card.id} for {task} now; take another model, or run this one here."
            ) from None
        self._resolved.add(task)

    def _failure(self, error: Exception, task: str) -> ExpertError:
        name = type(error).__name__
        at = traceback.extract_tb(error.__traceback__)[-1]
        logger.warning(
            "%s on %s failed elsewhere with %s at %s:%s", task, self.card.id, name, at.filename, at.lineno
        )
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            return ExpertError(f"{self.card.id} did not answer in time where it is served; try again later.")
        # The library's own questions, of where a model or its result is, have errors of the library.
        answer = getattr(error, "response", None)
        if isinstance(answer, httpx2.Response):
            if answer.status_code in (httpx2.codes.NOT_FOUND, httpx2.codes.GONE):
                self._forget()
            return ExpertError(
                f"{self.card.id} cannot be asked: the Hub or a provider refused ({answer.status_code}) to "
                "tell where it or its result is; look at its id and at what the token may see."
            )
        if isinstance(error, httpx2.TransportError | ConnectionError):
            return ExpertError(
                f"The service of {self.card.id} cannot be reached ({name}); look at the network, or at the "
                "endpoint."
            )
        return ExpertError(f"The service of {self.card.id} gave no usable answer to {task} ({name}).")
