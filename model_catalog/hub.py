"""What the Hugging Face Hub tells of models, asked politely.

All threads share one pause: when the Hub says that it has had enough, nobody asks before the time it names.
"""

import ipaddress
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from model_catalog.errors import GatedModelError, HubError, UnknownModelError

OFFICIAL = "https://huggingface.co"

TRIES = 6
"""How often a question is asked at most."""

PATIENCE_S = 300.0
"""The longest pause that is waited for, in seconds."""

TIMEOUT_S = 30.0
"""How long an answer may take, in seconds."""

PAGE = 50
"""Models of one page of a listing."""

_ASKED = (
    "downloads",
    "downloadsAllTime",
    "likes",
    "pipeline_tag",
    "library_name",
    "gated",
    "safetensors",
    "tags",
    "sha",
    "usedStorage",
    "inferenceProviderMapping",
    "disabled",
)
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_RESET = re.compile(r"\br\s*=\s*0\b.*?\bt\s*=\s*(\d+)")

Params = list[tuple[str, str]]


def _parameters(value: Any) -> Any:
    """The counts of a safetensors field, which listings write as ``{"parameters": {...}, "total": n}``."""
    return (value.get("parameters") or {}) if isinstance(value, Mapping) else {}


def _live(value: Any) -> Any:
    """Names of the providers that serve a model; of one model they come by name, in listings as a list."""
    if isinstance(value, Mapping):
        value = [{**entry, "provider": name} for name, entry in value.items() if isinstance(entry, Mapping)]
    if not isinstance(value, list):
        return ()
    entries = [entry for entry in value if isinstance(entry, Mapping) and entry.get("status") == "live"]
    return tuple(sorted({str(entry["provider"]) for entry in entries if "provider" in entry}))


class Told(BaseModel):
    """What the Hub tells of a model, under the names of a card where both know the thing.

    Attributes:
        id: its name today, which is another than was asked for where it has moved.
        task: the task it is filed under.
        weights: numbers in its safetensors by type; empty where it has none that the Hub counts.
        storage: bytes of its repository, with all that it ever held.
        commit: the newest one of its main branch, or of the revision that was asked for.

    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str
    commit: str | None = Field(default=None, validation_alias=AliasChoices("commit", "sha"))
    task: str | None = Field(default=None, validation_alias=AliasChoices("task", "pipeline_tag"))
    library: str | None = Field(default=None, validation_alias=AliasChoices("library", "library_name"))
    downloads: int | None = Field(default=None, ge=0)
    downloads_all: int | None = Field(
        default=None, ge=0, validation_alias=AliasChoices("downloads_all", "downloadsAllTime")
    )
    likes: int | None = Field(default=None, ge=0)
    gated: bool | str = False
    disabled: bool = False
    tags: tuple[str, ...] = ()
    storage: int | None = Field(default=None, ge=0, validation_alias=AliasChoices("storage", "usedStorage"))
    weights: dict[str, int] = Field(default_factory=dict)
    providers: tuple[str, ...] = ()

    @classmethod
    def read(cls, answer: Any) -> "Told":
        """From an entry of the Hub's answers.

        Raises:
            HubError: it is not of the form of the Hub's answers.

        """
        if isinstance(answer, Mapping):
            answer = {
                **{key: value for key, value in answer.items() if value is not None},
                "weights": _parameters(answer.get("safetensors")),
                "providers": _live(answer.get("inferenceProviderMapping")),
            }
        try:
            return cls.model_validate(answer)
        except ValidationError as error:
            field = ".".join(map(str, error.errors()[0]["loc"])) or "its form"
            raise HubError(f"The Hub's answer cannot be read ({field}); look at HF_ENDPOINT.") from None


class _File(BaseModel):
    """A file of a repository."""

    rfilename: str
    size: int | None = Field(default=None, ge=0)


class Files(BaseModel):
    """The files of a model at one commit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    commit: str = Field(alias="sha", pattern=r"^[0-9a-f]{40}$")
    siblings: tuple[_File, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name; files outside the repository's folder are left out."""
        return {file.rfilename: file.size or 0 for file in self.siblings if inside(file.rfilename)}


class Hub:
    """Asks the Hub; any number of threads may share one.

    Args:
        token: the operator's token; it is sent over HTTPS or to this machine alone.
        note: told when there is a pause.
        sleep: waits that many seconds.
        clock: the time in seconds, of any origin.

    Raises:
        HubError: the token would travel in the open.

    """

    def __init__(
        self,
        token: str | None = None,
        note: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = os.environ.get("HF_ENDPOINT", OFFICIAL).rstrip("/")
        if token and not private(self.address):
            raise HubError(
                f"The token would go to {self.address} in the open; give HF_ENDPOINT an https:// address, or "
                "unset HUGGINGFACE_ACCESS_TOKEN."
            )
        self._token = token
        self._note, self._sleep, self._clock = note, sleep, clock
        self._lock = threading.Lock()
        self._open_at = 0.0

    def listing(self, task: str, limit: int) -> Iterator[Told]:
        """The models filed under a task, by downloads, at most ``limit``; pages are asked for as needed.

        Raises:
            HubError: the Hub cannot be asked.

        """
        params = [("pipeline_tag", task), ("sort", "downloads"), ("limit", str(min(limit, PAGE)))]
        url: str | None = f"{self.address}/api/models"
        asked: Params | None = [*params, *(("expand", name) for name in _ASKED)]
        count = 0
        while url is not None and count < limit:
            response = self._get(url, asked, f"the models of {task}")
            page = _json(response)
            if not isinstance(page, list):
                raise HubError("The Hub's answer is no list of models; look at HF_ENDPOINT.")
            for entry in page[: limit - count]:
                yield Told.read(entry)
            count += len(page)
            following = response.links.get("next", {}).get("url")
            url, asked = (self._next(str(following)), None) if following and page else (None, None)

    def model(self, model: str, revision: str | None = None) -> Told:
        """What the Hub tells of one model.

        Raises:
            UnknownModelError: it has none of that name, or does not show it to us.
            HubError: the Hub cannot be asked.

        """
        path = f"{self.address}/api/models/{quote(model)}"
        if revision is not None:
            path += f"/revision/{quote(revision, safe='')}"
        return Told.read(_json(self._get(path, [("expand", name) for name in _ASKED], model)))

    def files(self, model: str, revision: str | None = None) -> "Files":
        """The files of a model at one commit: that of its main branch, or of the revision.

        Raises:
            UnknownModelError: it has none of that name, or does not show it to us.
            HubError: the Hub cannot be asked.

        """
        path = f"{self.address}/api/models/{quote(model)}/revision/{quote(revision or 'main', safe='')}"
        told = _json(self._get(path, [("blobs", "true")], model))
        try:
            return Files.model_validate(told)
        except ValidationError:
            raise HubError(
                f"The Hub's list of files of {model} cannot be read; look at HF_ENDPOINT."
            ) from None

    def read(self, model: str, commit: str, name: str) -> bytes:
        """A small file of a model.

        Raises:
            GatedModelError: its terms are not accepted.
            HubError: the Hub cannot be asked, or does not have it.

        """
        url = f"{self.address}/{quote(model)}/resolve/{quote(commit)}/{quote(name)}"
        return bytes(self._get(url, None, model).content)

    # Asking --------------------------------------------------------------------------------------------

    def _next(self, url: str) -> str:
        """The address of a listing's next page: of the same host, so that the token goes nowhere else."""
        url = urljoin(self.address, url)
        if urlsplit(url)[:2] != urlsplit(self.address)[:2]:
            raise HubError(
                f"The Hub's listing goes on at another host ({urlsplit(url).netloc}); not followed."
            )
        return url

    def _get(self, url: str, params: Params | None, what: str) -> Any:
        """The answer to a question, asked again where that may help."""
        from huggingface_hub import errors
        from huggingface_hub.utils import hf_raise_for_status

        for attempt in range(1, TRIES + 1):
            self._wait()
            answer, why = self._asked(url, params)
            if answer is not None and answer.status_code not in _AGAIN:
                try:
                    hf_raise_for_status(answer)
                    return answer
                except errors.GatedRepoError:
                    raise GatedModelError(self._gated(what)) from None
                except errors.RepositoryNotFoundError:
                    read = "may not read it" if self._token else "is needed to read it"
                    raise UnknownModelError(
                        f"The Hub has no model {what}, or it is private and a token {read}; check its name."
                    ) from None
                except errors.RevisionNotFoundError:
                    raise UnknownModelError(
                        f"{what} has no such revision at the Hub; give one that exists."
                    ) from None
                except errors.HfHubHTTPError:
                    raise HubError(self._refused(answer.status_code, what)) from None
            if attempt < TRIES:
                self._pause(attempt, answer, why)
        raise HubError(f"The Hub at {self.address} {why}; check the network and HF_ENDPOINT, or try later.")

    def _asked(self, url: str, params: Params | None) -> tuple[Any, str]:
        """The Hub's answer, if there was one, and what went wrong if it did."""
        import httpx2
        from huggingface_hub import errors
        from huggingface_hub.utils import build_hf_headers, get_session

        headers = build_hf_headers(
            token=self._token or False, library_name="hugginggpt-serve", library_version=_version()
        )
        try:
            answer = get_session().get(url, params=params, headers=headers, timeout=TIMEOUT_S)
        except errors.OfflineModeIsEnabled:
            raise HubError("HF_HUB_OFFLINE forbids to ask the Hub; unset it.") from None
        except httpx2.TimeoutException:
            return None, "does not answer in time"
        except httpx2.TransportError:
            return None, "cannot be reached"
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise HubError(
                f"The Hub cannot be asked at {self.address}: {error}; look at HF_ENDPOINT."
            ) from None
        return answer, f"answers with an error ({answer.status_code})"

    def _gated(self, model: str) -> str:
        if self._token:
            return (
                f"{model} is gated, and the token's account has no access yet; accept its terms on its page "
                "at the Hub with that account."
            )
        return (
            f"{model} is gated; accept its terms on its page at the Hub, and set HUGGINGFACE_ACCESS_TOKEN to "
            "your token."
        )

    def _refused(self, status: int, what: str) -> str:
        if status == 401:
            return "The Hub does not know the token; set HUGGINGFACE_ACCESS_TOKEN to a valid one, or to none."
        if status == 403:
            return f"The Hub forbids to read of {what}; the token needs the right to read it."
        return f"The Hub at {self.address} answers with an error ({status}) for {what}; look at HF_ENDPOINT."

    # Pauses --------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait until the Hub may be asked."""
        while (left := self._left()) > 0:
            self._sleep(left)

    def _left(self) -> float:
        with self._lock:
            return self._open_at - self._clock()

    def _pause(self, attempt: int, answer: Any, why: str) -> None:
        """Have nobody ask for a while: as long as the Hub says, or longer from time to time.

        Raises:
            HubError: it would be too long.

        """
        wanted = None if answer is None else _wished(answer.headers)
        longer = min(2.0 ** (attempt - 1), 30.0) * random.uniform(1.0, 1.25)  # noqa: S311 - no secret
        seconds = longer if wanted is None else wanted
        if seconds > PATIENCE_S:
            raise HubError(
                f"The Hub asks to wait {seconds:.0f} s; run the command again then"
                + ("." if self._token else ", or set HUGGINGFACE_ACCESS_TOKEN, with which it allows more.")
            )
        with self._lock:
            self._open_at = max(self._open_at, self._clock() + seconds)
        self._note(f"The Hub {why}; the next question in {seconds:.0f} s.")


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise HubError("The Hub's answer is no JSON; look at HF_ENDPOINT.") from None


def _wished(headers: Mapping[str, str]) -> float | None:
    """How many seconds a refusal asks us to wait."""
    after = headers.get("retry-after", "")
    if after.strip().isdecimal():
        return float(after)
    reset = _RESET.search(headers.get("ratelimit", ""))
    return float(reset.group(1)) if reset else None


def inside(name: str) -> bool:
    """Whether the name of a repository's file stays within the repository."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def private(url: str) -> bool:
    """Whether what is sent to an address is seen by nobody on the way: HTTPS, or this very machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _version() -> str:
    try:
        return version("hugginggpt-serve")
    except PackageNotFoundError:
        return "0"
