"""Where an LLM is and how it is asked."""

import ipaddress
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

OPENAI = "https://api.openai.com/v1"
"""The address of OpenAI's own endpoint."""

AZURE_VERSION = "2024-10-21"
"""The version of Azure's interface that is asked for where none is named: the first with strict schemas."""

CONTEXT_TOKENS = 16_000
"""What an LLM reads and writes at most, where the settings say nothing else."""


class Endpoint(BaseModel):
    """An OpenAI-compatible endpoint, and the model to ask there.

    Attributes:
        model: the model's name; at Azure the deployment's.
        base_url: the address below which ``/chat/completions`` lies; None for OpenAI's own. At Azure the
            resource's address.
        api_key: the key; None where the endpoint takes all.
        azure: whether the endpoint is spoken to in Azure's way.
        api_version: the version of Azure's interface.
        reasoning_effort: how long a reasoning model is to think, in words of its own; None to leave that
            open.
        timeout_s: how long the first token may take, tries anew included, and each one after it.
        retries: how often a request is tried anew that failed before its first token.
        concurrency: how many answers are written at once; further ones wait.
        context_tokens: how much the model reads and writes, in tokens.

    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1, max_length=200)]
    base_url: str | None = None
    api_key: Annotated[SecretStr | None, Field(exclude=True)] = None
    azure: bool = False
    api_version: str | None = None
    reasoning_effort: str | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    context_tokens: Annotated[int, Field(ge=2000)] = CONTEXT_TOKENS

    @model_validator(mode="after")
    def _askable(self) -> Self:
        if self.base_url is not None and not is_address(self.base_url):
            raise ValueError(
                "the address of an LLM must be one such as https://llm.example.org/v1, without user, "
                "password, query or fragment"
            )
        if self.secret is not None and not (self.secret.isascii() and self.secret.isprintable()):
            raise ValueError("the key holds characters that no key has; give it anew")
        if self.azure and (self.base_url is None or self.secret is None):
            raise ValueError("Azure needs the resource's address and a key")
        if self.secret is not None and not self.private:
            raise ValueError(
                f"the key would go to {self.host} in the open; give its address with https://, or give no key"
            )
        return self

    @property
    def address(self) -> str:
        """Where it is, OpenAI's own address included."""
        return self.base_url or OPENAI

    @property
    def host(self) -> str:
        """The machine it is on, for messages."""
        return urlsplit(self.address).netloc

    @property
    def secret(self) -> str | None:
        """The key as it is sent; never to be logged."""
        return (self.api_key.get_secret_value().strip() or None) if self.api_key else None

    @property
    def private(self) -> bool:
        """Whether what is sent there is seen by nobody on the way: HTTPS, or this very machine."""
        return urlsplit(self.address).scheme == "https" or self.local

    @property
    def local(self) -> bool:
        """Whether it is on this very machine."""
        name = urlsplit(self.address).hostname or ""
        try:
            return name == "localhost" or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def is_address(url: str) -> bool:
    """Whether a text is the address of a service, with nothing in it that may be secret."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#")
    return known and plain and "@" not in parts.netloc
