"""Settings: from a TOML file, from the environment, or from defaults that run on a bare laptop.

The environment wins over the file. Names are ``HUGGINGGPT_`` plus the field's name in capitals; the keys keep
HuggingGPT's own names, ``OPENAI_API_KEY`` and ``HUGGINGFACE_ACCESS_TOKEN``.
"""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from controller.errors import SettingsError
from controller.plan import MAX_TASKS
from controller.selector import TOP_K

_HEAD = {"node:__internal_head__": 0.001}  # a resource that Ray gives to the head node alone

FILE = "hugginggpt.toml"
"""The settings file that is read where one lies in the working directory."""


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        host: the address the HTTP endpoint listens on; loopback only, until API keys exist.
        port: the port of the HTTP endpoint.
        dashboard_port: the port of the Ray dashboard, always on loopback.
        data_dir: the folder of artifacts, on the node where the artifact deployment runs.
        catalog: a JSONL file of model cards laid over the shipped ones.
        experts: ids of the models to deploy; empty for every embedded one that this machine can run.
        top_k: how many candidates a task has.
        max_tasks: the most tasks of one plan.
        run_seconds: the deadline of a run; HuggingGPT's own client gives up at 180 s.
        task_seconds: the deadline of one attempt of a task.
        max_body_bytes: the largest JSON request.
        max_upload_bytes: the largest uploaded file.
        origins: further browser origins that may call the API, beyond those on localhost and 127.0.0.1.
        allow_client_llm: whether a client may send ``api_key``, ``api_type`` and ``api_endpoint``.
        inference_mode: where models run that are not embedded, in HuggingGPT's words: ``local`` on this
            cluster, ``huggingface`` elsewhere, ``hybrid`` here where this machine has what a model needs,
            else elsewhere. What a task gives to a model elsewhere leaves the cluster.
        inference_endpoint: the URL of a service of your own that speaks Hugging Face's inference protocol and
            has each model under ``/models/ID``; none for Hugging Face's Inference Providers. A card may name
            the full URL of its own model, as ``{"defaults": {"endpoint": "https://..."}}``, or a provider.
        controller_resources: Ray resources that place the controller; the head node by default.
        artifacts_resources: Ray resources that place the artifact deployment, and so the files; the head
            node by default, so that a restart finds them again.
        openai_api_key: the key of the LLM endpoint.
        huggingface_access_token: the token for the Hugging Face Hub, and for models served elsewhere; it is
            sent over HTTPS or to this machine alone.

    """

    model_config = SettingsConfigDict(
        env_prefix="HUGGINGGPT_", env_ignore_empty=True, extra="forbid", frozen=True, populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    dashboard_port: Annotated[int, Field(ge=1, le=65535)] = 8265
    data_dir: Path = Field(default_factory=lambda: user_data_path("hugginggpt"))
    catalog: Path | None = None
    experts: tuple[str, ...] = ()
    top_k: Annotated[int, Field(ge=1, le=20)] = TOP_K
    max_tasks: Annotated[int, Field(ge=1, le=1000)] = MAX_TASKS
    run_seconds: Annotated[float, Field(gt=0, le=86400)] = 170.0
    task_seconds: Annotated[float, Field(gt=0, le=86400)] = 120.0
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 << 20
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 100 << 20
    origins: tuple[str, ...] = ()
    allow_client_llm: bool = False
    inference_mode: Literal["local", "huggingface", "hybrid"] = "local"
    inference_endpoint: str | None = None
    controller_resources: dict[str, float] = Field(default_factory=lambda: dict(_HEAD))
    artifacts_resources: dict[str, float] = Field(default_factory=lambda: dict(_HEAD))
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY"), exclude=True
    )
    huggingface_access_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("huggingface_access_token", "HUGGINGFACE_ACCESS_TOKEN"),
        exclude=True,
    )

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host != "localhost" and not _is_loopback(host):
            raise ValueError(
                f"{host} can be reached from other machines, and there are no API keys yet to guard it; "
                "use 127.0.0.1 and reach it through an SSH tunnel"
            )
        return host

    @field_validator("inference_endpoint")
    @classmethod
    def _service(cls, url: str | None) -> str | None:
        if url is not None and not _is_service(url):
            raise ValueError(
                "it must be the address of a service, such as https://models.example.org, without user, "
                "password, query or fragment"
            )
        return None if url is None else url.rstrip("/")

    def public(self) -> "Settings":
        """A copy without keys, fit to be given to other processes."""
        return self.model_copy(update=dict.fromkeys(_SECRETS))


_SECRETS = ("openai_api_key", "huggingface_access_token")


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings.

    Args:
        path: a TOML file; without one, ``HUGGINGGPT_CONFIG`` or ``./hugginggpt.toml`` where it exists.
        overrides: values that win over all else, as from the command line; None means not given.

    Raises:
        SettingsError: a file or value cannot be used; the message names it.

    """
    chosen = path or (Path(named) if (named := os.environ.get("HUGGINGGPT_CONFIG")) else None)
    file = chosen or Path(FILE)
    values = _read(file) if chosen or file.is_file() else {}
    given = {name: value for name, value in overrides.items() if value is not None}

    class Layered(Settings):
        """Overrides win over the environment, which wins over the file."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, values))

    try:
        return Settings.model_construct(**dict(Layered(**given)))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:
        raise SettingsError(f"The settings cannot be read: {error}.") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {file} is no valid TOML: {error}.") from None


def _explain(error: ValidationError) -> str:
    """One sentence for each value that cannot be used; values are not repeated, since they may be secret."""
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"])
        parts.append(f"setting {name!r}: {item['msg'].removeprefix('Value error, ')}")
    return f"The settings cannot be used: {'; '.join(parts)}."


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_service(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#")
    return known and plain and "@" not in parts.netloc
