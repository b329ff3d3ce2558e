"""Settings: from a TOML file, from the environment, or from defaults that run on a bare laptop.

The environment wins over the file. Names are ``HUGGINGGPT_`` plus the field's name in capitals; the keys keep
HuggingGPT's own names, ``OPENAI_API_KEY`` and ``HUGGINGFACE_ACCESS_TOKEN``, and what else OpenAI's clients
read keeps theirs: ``OPENAI_BASE_URL``, ``AZURE_OPENAI_ENDPOINT``, ``AZURE_OPENAI_API_KEY`` and
``OPENAI_API_VERSION``.
"""

import ipaddress
import os
import re
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
from deployments.llm.endpoint import is_address

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_NAMED = re.compile(rf"(?:https?://)?(?:{_HOST.pattern}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::\d{{1,5}})?/?")
_HEAD = {"node:__internal_head__": 0.001}  # a resource that Ray gives to the head node alone

LEAST_CONTEXT_TOKENS = 8_000
"""What an LLM must read and write at least: the planner's rules are 3,100 of it, the candidates a quarter at
most, and as much is for the answer; the conversation has 800 or more."""

FILE = "hugginggpt.toml"
"""The settings file that is read where one lies in the working directory."""


def _named(name: str) -> AliasChoices:
    """A name of its own in the environment, without the product's prefix."""
    return AliasChoices(name, name.upper())


def _secret(name: str) -> Any:
    """A key that may be absent; it is part of no dump."""
    return Field(default=None, validation_alias=_named(name), exclude=True)


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        host: the address the HTTP endpoint listens on; any but loopback demands API keys of everybody.
        hosts: further names that this server answers to, as clients write them; one that begins with
            ``https://`` is reached through a proxy that speaks TLS.
        keys: ``required`` asks every request for an API key (``hugginggpt keys create``); ``auto`` does where
            ``host`` is not on loopback. They cannot be switched off there.
        port: the port of the HTTP endpoint.
        dashboard_port: the port of the Ray dashboard, always on loopback.
        data_dir: the folder of artifacts, on the node where the artifact deployment runs; on the machine of a
            command, of what was read from the Hub, pins and blocks.
        database: the URL of the database that keeps history and keys, such as
            ``postgresql://user:password@host/name``; none for a SQLite file in ``data_dir``.
        history_days: after how many days a run, and a conversation that rests, is forgotten; 0 for never.
        artifacts: where files are stored: a URL of fsspec such as ``s3://bucket/folder``; none for
            ``data_dir``.
        artifact_days: after how many days a stored file is removed; 0 for never.
        artifact_bytes: the most bytes of all stored files together; the store takes no more then.
        links: whether web links in requests are fetched; ``auto`` does where ``host`` is on loopback.
        max_link_bytes: the most bytes fetched from one link.
        catalog: a JSONL file of model cards laid over the shipped ones.
        experts: ids of the models to deploy; empty for those of the profile.
        profile: the set of models to deploy beside every embedded one that this machine can run: one that
            ships (``hugginggpt profiles`` lists them) or the path of a TOML file. Of the Hub's models those
            are deployed that ``hugginggpt pull`` has brought to this machine.
        top_k: how many candidates a task has.
        max_tasks: the most tasks of one plan.
        run_seconds: the deadline of a run; HuggingGPT's own client gives up at 180 s.
        task_seconds: the deadline of one attempt of a task.
        idle_seconds: after how long without a call an expert of the Hub sleeps, so that its memory is free;
            0 for never. One whose memory another expert needs sleeps before that.
        weights_ram_bytes: the most bytes of weights that each node keeps in RAM for experts that sleep; 0 for
            none, a quarter of the node's RAM where nothing is said.
        warm_ahead: how many experts without a replica are woken at most while an LLM plans; 0 for none.
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
        brain: ``embedded`` asks no LLM at all; ``llm`` refuses to start where none is configured; ``auto``
            asks one where a key or an address of one is given.
        model: the LLM to ask; at Azure the deployment's name. It may be left out at OpenAI's own endpoint.
        openai_base_url: the address of an OpenAI-compatible endpoint; none for OpenAI's own.
        openai_api_key: the key of the LLM endpoint; without one, and with no other key or address, the
            embedded brain plans and answers.
        azure_openai_endpoint: the address of an Azure resource; the LLM is then asked there.
        azure_openai_api_key: its key.
        openai_api_version: the version of Azure's interface.
        planner_model: another LLM for planning; with ``planner_base_url`` and ``planner_api_key`` elsewhere.
            A key is never sent to another stage's address.
        responder_model: the same for answers.
        expert_model: the same for text tasks that are given to the LLM itself.
        llm_expert: whether text tasks may be given to the LLM itself.
        llm_reasoning_effort: how long a reasoning LLM is to think, in words of its own such as ``low``; one
            that takes no such word is asked without it.
        llm_timeout_s: how long an LLM's first token may take, and each one after it.
        llm_retries: how often an LLM is asked anew that failed before its first token.
        llm_concurrency: how many answers one replica has an LLM write at once.
        llm_context_tokens: what an LLM reads and writes in one call, in tokens; 16,000 where nothing is said,
            and 100,000 for the usual model of OpenAI's own endpoint.
        huggingface_access_token: the token for the Hugging Face Hub, and for models served elsewhere; it is
            sent over HTTPS or to this machine alone.

    """

    model_config = SettingsConfigDict(
        env_prefix="HUGGINGGPT_", env_ignore_empty=True, extra="forbid", frozen=True, populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    dashboard_port: Annotated[int, Field(ge=1, le=65535)] = 8265
    hosts: tuple[str, ...] = ()
    keys: Literal["auto", "required"] = "auto"
    data_dir: Path = Field(default_factory=lambda: user_data_path("hugginggpt"))
    database: SecretStr | None = Field(default=None, exclude=True)
    history_days: Annotated[float, Field(ge=0, le=36500)] = 30.0
    artifacts: str | None = None
    artifact_days: Annotated[float, Field(ge=0, le=36500)] = 30.0
    artifact_bytes: Annotated[int, Field(ge=1 << 20)] = 100 << 30
    links: Literal["auto", "on", "off"] = "auto"
    max_link_bytes: Annotated[int, Field(ge=1024)] = 20 << 20
    catalog: Path | None = None
    experts: tuple[str, ...] = ()
    profile: str = "embedded"
    top_k: Annotated[int, Field(ge=1, le=20)] = TOP_K
    max_tasks: Annotated[int, Field(ge=1, le=1000)] = MAX_TASKS
    run_seconds: Annotated[float, Field(gt=0, le=86400)] = 170.0
    task_seconds: Annotated[float, Field(gt=0, le=86400)] = 120.0
    idle_seconds: Annotated[float, Field(ge=0, le=7 * 86400)] = 300.0
    weights_ram_bytes: Annotated[int, Field(ge=0)] | None = None
    warm_ahead: Annotated[int, Field(ge=0, le=100)] = 4
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 << 20
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 100 << 20
    origins: tuple[str, ...] = ()
    allow_client_llm: bool = False
    inference_mode: Literal["local", "huggingface", "hybrid"] = "local"
    inference_endpoint: str | None = None
    controller_resources: dict[str, float] = Field(default_factory=lambda: dict(_HEAD))
    artifacts_resources: dict[str, float] = Field(default_factory=lambda: dict(_HEAD))
    brain: Literal["auto", "llm", "embedded"] = "auto"
    model: str | None = None
    openai_base_url: str | None = Field(default=None, validation_alias=_named("openai_base_url"))
    openai_api_key: SecretStr | None = _secret("openai_api_key")
    azure_openai_endpoint: str | None = Field(default=None, validation_alias=_named("azure_openai_endpoint"))
    azure_openai_api_key: SecretStr | None = _secret("azure_openai_api_key")
    openai_api_version: str | None = Field(default=None, validation_alias=_named("openai_api_version"))
    planner_model: str | None = None
    planner_base_url: str | None = None
    planner_api_key: SecretStr | None = Field(default=None, exclude=True)
    responder_model: str | None = None
    responder_base_url: str | None = None
    responder_api_key: SecretStr | None = Field(default=None, exclude=True)
    expert_model: str | None = None
    expert_base_url: str | None = None
    expert_api_key: SecretStr | None = Field(default=None, exclude=True)
    llm_expert: bool = True
    llm_reasoning_effort: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")] | None = None
    llm_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    llm_retries: Annotated[int, Field(ge=0, le=10)] = 2
    llm_concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    llm_context_tokens: Annotated[int, Field(ge=LEAST_CONTEXT_TOKENS)] | None = None
    huggingface_access_token: SecretStr | None = _secret("huggingface_access_token")

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        if _HOST.fullmatch(host) is None and not _is_address(host):
            raise ValueError("it must be an address of this machine, such as 127.0.0.1, 0.0.0.0 or its name")
        return host

    @field_validator("hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if _NAMED.fullmatch(host) is None:
                raise ValueError(
                    f"{host[:80]!r} is no name of a host; write example.org, or https://example.org where a "
                    "proxy before this server speaks TLS"
                )
        return hosts

    @field_validator("artifacts")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is not None and "://" in url and urlsplit(url).password is not None:
            raise ValueError(
                "it must hold no password; give what the storage asks for by the environment, such as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return url

    @field_validator(
        "inference_endpoint",
        "openai_base_url",
        "azure_openai_endpoint",
        "planner_base_url",
        "responder_base_url",
        "expert_base_url",
    )
    @classmethod
    def _service(cls, url: str | None) -> str | None:
        if url is not None and not is_address(url):
            raise ValueError(
                "it must be the address of a service, such as https://models.example.org, without user, "
                "password, query or fragment"
            )
        return None if url is None else url.rstrip("/")

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the server."""
        return self.host != "localhost" and not _is_loopback(self.host)

    @property
    def keyed(self) -> bool:
        """Whether every request needs an API key."""
        return self.exposed or self.keys == "required"

    @property
    def fetches(self) -> bool:
        """Whether web links in requests are fetched."""
        return self.links == "on" or (self.links == "auto" and not self.exposed)

    def public(self) -> "Settings":
        """A copy without keys, fit to be given to other processes."""
        return self.model_copy(update=dict.fromkeys(SECRETS))


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.exclude)
"""The settings that hold keys."""


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
        made = Layered(**given)
        return Settings.model_construct(**{name: getattr(made, name) for name in Settings.model_fields})
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
