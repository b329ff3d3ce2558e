"""``ask`` and ``chat``: requests from the terminal, with live progress."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from controller.cli.client import Client
from controller.cli.view import View, literal
from controller.errors import ControllerError, RequestError
from controller.events import Event, PlanDone, RunDone, RunFailed
from controller.request import MAX_CHARACTERS, Message

_KEPT = 400
"""How many earlier messages go along: 200 turns."""
_KEPT_CHARACTERS = 400_000
"""How long they may be together; a server takes 2 MiB."""

HELP = "/file PATH attaches a file, /resources shows what was made so far, /exit ends."


@dataclass(slots=True)
class Told:
    """What a run told: its plan, its end, and where its files were saved."""

    plan: PlanDone | None = None
    done: RunDone | None = None
    files: list[Path] = field(default_factory=list)

    def account(self) -> dict[str, Any]:
        """The JSON that ``--json`` prints."""
        return {
            "plan": self.plan.plan if self.plan else [],
            "notes": list(self.plan.notes) if self.plan else [],
            "left_out": [fault.model_dump() for fault in self.plan.left_out] if self.plan else [],
            "outcomes": [outcome.model_dump(mode="json") for outcome in self.done.outcomes]
            if self.done
            else [],
            "answer": self.done.answer if self.done else "",
            "files": [str(file) for file in self.files],
            "seconds": self.done.seconds if self.done else {},
            "usage": self.done.usage if self.done else None,
        }


def run(
    client: Client,
    messages: Sequence[Message],
    attachments: Sequence[str],
    out: Path,
    show: Callable[[Event], None],
) -> Told:
    """Run one request, show its events, and save the files it made.

    Raises:
        ControllerError: the request was refused, or the server is gone.

    """
    return followed(client, client.run(messages, attachments), out, show)


def followed(client: Client, events: Iterable[Event], out: Path, show: Callable[[Event], None]) -> Told:
    """Show the events of a run, and save the files it made.

    Raises:
        ControllerError: the request was refused, or the server is gone.

    """
    told = Told()
    for event in events:
        match event:
            case PlanDone():
                told.plan = event
            case RunDone():
                told.done = event
            case RunFailed():
                raise ControllerError(event.error.message)
            case _:
                pass
        show(event)
    if told.done is None:
        raise ControllerError("The server ended the run without an answer; its log says why.")
    for outcome in told.done.outcomes:
        told.files += [client.download(artifact.path, out) for artifact in outcome.artifacts]
    return told


def print_told(told: Told, console: Console) -> None:
    """The answer, then each file's path on a line of its own, unwrapped."""
    assert told.done is not None  # noqa: S101
    console.print()
    console.print(literal(told.done.answer), soft_wrap=True)
    if told.files:
        console.print()
    for file in told.files:
        console.print(Text(str(file)), soft_wrap=True)


class Chat:
    """Several turns over one server; earlier turns go along as context."""

    def __init__(self, client: Client, out: Path, console: Console, as_json: bool) -> None:
        self._client = client
        self._out = out
        self._console = console
        self._json = as_json
        self._messages: list[Message] = []
        self._attached: list[str] = []
        self._made: list[tuple[str, Path]] = []

    def turn(self, line: str) -> bool:
        """Take one line; False where the person is done."""
        word, _, rest = line.strip().partition(" ")
        match word:
            case "":
                pass
            case "/exit" | "/quit":
                return False
            case "/help":
                self._console.print(HELP)
            case "/resources":
                self._resources()
            case "/file":
                self._attach(Path(rest.strip()))
            case _ if word.startswith("/") and "/" not in word[1:]:
                self._console.print(literal(f"There is no command {word}. {HELP}"))
            case _:
                self._ask(line.strip())
        return True

    def _attach(self, file: Path) -> None:
        try:
            file = file.expanduser()
        except RuntimeError:  # ~name of nobody
            raise ControllerError(f"There is no home folder for {file}.") from None
        path = self._client.upload(file)
        self._attached.append(path)
        self._say(f"attached as {path}")

    def _resources(self) -> None:
        if self._json:
            self._say(json.dumps([{"path": path, "file": str(file)} for path, file in self._made]))
        elif not self._made:
            self._console.print("Nothing was made so far.")
        else:
            for path, file in self._made:
                self._say(f"{path}  {file}")

    def _ask(self, text: str) -> None:
        files = f" ({', '.join(self._attached)})" if self._attached else ""
        if len(text + files) > MAX_CHARACTERS:
            raise RequestError(f"A request has at most {MAX_CHARACTERS:,} characters; say it in fewer words.")
        self._messages = _latest(self._messages)
        self._messages.append(Message(role="user", content=text + files))
        show: Callable[[Event], None] = (lambda event: None) if self._json else View(self._console).show
        try:
            told = run(self._client, self._messages, self._attached, self._out, show)
        except BaseException:
            self._messages.pop()
            raise
        assert told.done is not None  # noqa: S101
        if told.done.outcomes or told.done.usage:
            answer = told.done.answer[:MAX_CHARACTERS]
            self._messages.append(Message(role="assistant", content=answer))
        else:
            self._messages.pop()  # a hint of the embedded brain is no part of the talk
        self._attached.clear()
        made = [artifact.path for outcome in told.done.outcomes for artifact in outcome.artifacts]
        self._made += zip(made, told.files, strict=True)
        if self._json:
            self._say(json.dumps(told.account()))
        else:
            print_told(told, self._console)

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def _latest(messages: Sequence[Message]) -> list[Message]:
    """The messages that go along with the next one."""
    kept: list[Message] = []
    room = _KEPT_CHARACTERS
    for message in reversed(messages[-_KEPT:]):
        room -= len(message.content)
        if room < 0:
            break
        kept.append(message)
    return kept[::-1]
