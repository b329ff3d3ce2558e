"""The HTTP side of the command line: uploads, runs as events, downloads."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import ValidationError

from controller.errors import ControllerError
from controller.events import EVENT, Event
from controller.request import Message

KEY = "HUGGINGGPT_API_KEY"
"""The variable that holds the API key for servers that ask for one."""

_TIMEOUT = httpx2.Timeout(30.0, read=300.0)  # a run ends by its own deadline


class Client:
    """A server, by its URL.

    Every method raises ControllerError, in one sentence, where the server refuses or does not answer.
    """

    def __init__(self, url: str) -> None:
        url = url if "://" in url else f"http://{url}"
        self._url = url
        try:
            self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT, headers=_key())
        except httpx2.InvalidURL:
            raise ControllerError(f"{url} is no URL; give one such as http://127.0.0.1:8000.") from None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, file: Path) -> str:
        """Store a file on the server; returns its path there."""
        try:
            with file.open("rb") as stream:
                answer = self._request("POST", "/v1/files", files={"file": (file.name, stream)})
        except OSError as error:
            raise ControllerError(f"{file} cannot be read: {error.strerror}.") from None
        return str(self._field(answer, "path"))

    def run(self, messages: Sequence[Message], attachments: Sequence[str] = ()) -> Iterator[Event]:
        """Run a request and give its events as they come."""
        body = {
            "messages": [message.model_dump() for message in messages],
            "attachments": list(attachments),
            "stream": True,
        }
        yield from self._followed("/v1/runs", body)

    def repeat(self, run: str) -> Iterator[Event]:
        """Run the request of an earlier run again and give its events as they come."""
        yield from self._followed(f"/v1/runs/{_part(run)}/repeat", {"stream": True, "background": False})

    def _followed(self, path: str, body: dict[str, Any]) -> Iterator[Event]:
        try:
            with self._http.stream("POST", path, json=body) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refused(answer)
                for line in _lines(answer):
                    if line.startswith("data:"):
                        yield self._event(line.removeprefix("data:"))
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    def download(self, path: str, folder: Path) -> Path:
        """Save a stored file in a folder, which is made if it is missing; returns where."""
        target = folder / path.rpartition("/")[2]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refused(answer)
                with target.open("wb") as stream:
                    for chunk in answer.iter_bytes():
                        stream.write(chunk)
        except httpx2.HTTPError as error:
            target.unlink(missing_ok=True)  # a part of it is of no use
            raise self._lost(error) from None
        except OSError as error:
            raise ControllerError(f"{target} cannot be written: {error.strerror}.") from None
        return target.resolve()

    def history(self, limit: int) -> list[dict[str, Any]]:
        """The runs that began last, the latest first."""
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            after = {"after": found[-1]["id"]} if found else {}
            page = self._request(
                "GET", "/v1/runs", params={"limit": str(min(100, limit - len(found))), **after}
            )
            found += self._field(page, "data")
            if not self._field(page, "has_more"):
                break
        return found

    def kept(self, run: str) -> dict[str, Any]:
        """A run so far."""
        told: dict[str, Any] = self._json(self._request("GET", f"/v1/runs/{_part(run)}"))
        return told

    def forget(self, run: str) -> None:
        """Have the server forget a run and the files that it made."""
        self._request("DELETE", f"/v1/runs/{_part(run)}", params={"forget": "true"})

    def experts(self) -> list[dict[str, Any]]:
        """What runs."""
        found: list[dict[str, Any]] = self._field(self._request("GET", "/v1/experts"), "data")
        return found

    def add(self, model: str) -> bool:
        """Have the server take in a model that is on its machine; False where it cannot while it runs."""
        return self._asked("POST", "/v1/experts", json={"model": model})

    def act(self, model: str, action: str) -> dict[str, Any]:
        """Have an expert of the fleet woken, put to sleep, pinned or unpinned; its row afterwards."""
        row: dict[str, Any] = self._json(self._request("POST", f"/v1/experts/{model}/{action}"))
        return row

    def remove(self, model: str) -> bool:
        """Have the server forget a model; False where it cannot while it runs."""
        return self._asked("DELETE", f"/v1/experts/{model}")

    def _asked(self, method: str, path: str, **options: Any) -> bool:
        """Ask for something that not every server can do; False where this one cannot."""
        answer = self._sent(method, path, **options)
        if answer.status_code in (404, 405):
            return False
        if answer.is_error:
            raise _refused(answer)
        return True

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self._sent(method, path, **options)
        if answer.is_error:
            raise _refused(answer)
        return answer

    def _sent(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise self._foreign() from None

    def _field(self, answer: httpx2.Response, name: str) -> Any:
        try:
            return answer.json()[name]
        except (ValueError, KeyError, TypeError):
            raise self._foreign() from None

    def _event(self, data: str) -> Event:
        try:
            return EVENT.validate_json(data)
        except ValidationError:
            raise self._foreign() from None

    def _foreign(self) -> ControllerError:
        return ControllerError(
            f"What answers at {self._url} is no server of this release; check the address."
        )

    def _lost(self, error: httpx2.HTTPError) -> ControllerError:
        return ControllerError(f"The server at {self._url} does not answer ({type(error).__name__}).")


def _part(name: str) -> str:
    """A person's word as one part of a path."""
    return quote(name, safe="")


def _key() -> dict[str, str]:
    """The header with this person's API key, where there is one."""
    key = os.environ.get(KEY, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise ControllerError(f"{KEY} holds no API key; set it to what hugginggpt keys create printed.")
    return {"authorization": f"Bearer {key}"} if key else {}


def _lines(answer: httpx2.Response) -> Iterator[str]:
    """The lines of a stream; only a line feed ends one, as no other mark within JSON does."""
    held = b""
    for piece in answer.iter_bytes():
        *lines, held = (held + piece).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
    yield held.decode(errors="replace")


def _refused(answer: httpx2.Response) -> ControllerError:
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"The server answered {answer.status_code}."
    return ControllerError(str(message))
