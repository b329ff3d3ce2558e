"""Which server a command talks to; none is really started."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from controller.cli import session as module
from controller.cli.client import Client
from controller.cli.session import connected
from controller.errors import ControllerError
from controller.server import Server
from controller.settings import Settings
from model_catalog.errors import UnknownModelError
from tests.deployments.samples import FILMS, PICTURES, SOUNDS

READS = {"embedded/rapidocr"}
SPEAKS = {"embedded/espeak-ng"}


class World:
    """What is found on this machine, and what is started there."""

    def __init__(self) -> None:
        self.found: Server | None = None
        self.is_free = True
        self.started: list[Settings] = []
        self.ended = 0
        self.notes = Console(file=io.StringIO(), width=200)

    def running(self) -> Server | None:
        return self.found

    def free(self, host: str, port: int) -> bool:
        return self.is_free

    @contextmanager
    def serving(self, settings: Settings, *, dashboard: bool) -> Iterator[Server]:
        assert not dashboard
        self.started.append(settings)
        try:
            yield Server(1, f"http://127.0.0.1:{settings.port}")
        finally:
            self.ended += 1

    def said(self) -> str:
        assert isinstance(self.notes.file, io.StringIO)
        return self.notes.file.getvalue()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("running", "free", "serving"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(module, "any_port", lambda host: 5555)
    return made


def _url(client: Client) -> str:
    return str(client._http.base_url).rstrip("/")


def _experts(world: World, request: str, *files: Path, settings: Settings | None = None) -> set[str]:
    """The models that a server of this request's own is started with."""
    with connected(settings or Settings(), None, world.notes, request, files):
        pass
    return set(world.started[-1].experts)


# Which server --------------------------------------------------------------------------------------------


def test_a_given_address_comes_first(world: World) -> None:
    world.found = Server(1, "http://127.0.0.1:1")
    with connected(Settings(), "http://gpu.example:9", world.notes, "hi") as client:
        assert _url(client) == "http://gpu.example:9"
    assert client._http.is_closed
    assert (world.started, world.said()) == ([], "")


def test_then_the_one_that_runs(world: World) -> None:
    world.found = Server(1, "http://127.0.0.1:1")
    with connected(Settings(), None, world.notes, "hi") as client:
        assert _url(client) == "http://127.0.0.1:1"
    assert (world.started, world.said()) == ([], "")


def test_then_one_of_its_own_for_a_while(world: World) -> None:
    with connected(Settings(port=81), None, world.notes) as client:
        assert _url(client) == "http://127.0.0.1:81"
        assert world.ended == 0
    assert client._http.is_closed
    assert world.ended == 1
    assert "starting one for this command (hugginggpt up keeps one running)" in world.said()
    assert world.started[0].experts == (), "a talk may need any expert"


def test_a_taken_port_is_left_to_who_has_it(world: World) -> None:
    world.is_free = False
    with connected(Settings(port=81), None, world.notes) as client:
        assert _url(client) == "http://127.0.0.1:5555"


def test_it_ends_when_the_command_fails(world: World) -> None:
    with pytest.raises(ControllerError), connected(Settings(), None, world.notes):
        raise ControllerError("no")
    assert world.ended == 1


# Which experts -------------------------------------------------------------------------------------------


def test_only_what_the_request_needs_is_started(world: World) -> None:
    assert _experts(world, "Read the text in /examples/sign.png aloud") == READS | SPEAKS
    assert _experts(world, "Show me the edges of /examples/sign.png") == {"embedded/canny"}


@pytest.mark.parametrize(
    ("data", "name", "request_text", "expected"),
    [
        (PICTURES["image/png"], "x.bin", "Read the text in this picture aloud", READS | SPEAKS),
        (PICTURES["image/png"], "x.png", "Read this aloud", READS | SPEAKS),
        (b"Some words.", "x.txt", "Read this aloud", SPEAKS),
        (SOUNDS["audio/wav"], "x.wav", "Remove the noise from this", {"embedded/noisereduce"}),
    ],
)
def test_what_a_file_holds_decides_with(
    world: World, tmp_path: Path, data: bytes, name: str, request_text: str, expected: set[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    assert _experts(world, request_text, tmp_path / name) == expected


@pytest.mark.parametrize("data", [b"\0\1\2\3", b"", FILMS["video/mp4"]])
def test_a_file_that_nobody_knows_is_left_to_the_server(world: World, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.bin").write_bytes(data)
    _experts(world, "Read this aloud", tmp_path / "x.bin")
    assert len(world.started) == 1


def test_a_request_that_plans_nothing_gets_every_expert(world: World) -> None:
    assert _experts(world, "Hello, how are you?") == set()


def test_experts_that_the_settings_name_are_the_choice(world: World) -> None:
    settings = Settings(experts=("embedded/espeak-ng", "embedded/vader"))
    assert _experts(world, "Read the text in /examples/sign.png aloud", settings=settings) == SPEAKS
    with pytest.raises(UnknownModelError):
        _experts(world, "Read it aloud", settings=Settings(experts=("no/such",)))


def test_a_server_for_one_command_is_for_nobody_else(world: World) -> None:
    exposed = Settings(host="0.0.0.0")
    with connected(exposed, None, world.notes):
        (started,) = world.started
        assert (started.host, started.keyed) == ("127.0.0.1", False)
    with connected(Settings(host="::1", keys="required"), None, world.notes):
        assert (world.started[1].host, world.started[1].keyed) == ("::1", False)
