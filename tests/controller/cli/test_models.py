"""pull, list, rm, profiles and doctor, over a fake Hub, with and without a server that runs."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console

from controller import server
from controller.cli import fetching, pull
from controller.cli.client import Client
from controller.cli.main import app as commands
from controller.errors import ControllerError, RequestError
from controller.server import Server
from deployments import holdings, store
from model_catalog.card import ModelCard
from model_catalog.errors import ProfileError
from tests.deployments.hubs import hub, repository
from tests.support.held import pulled
from tests.support.hub import FakeHub
from tests.support.web import client

__all__ = ["hub"]

CARDS: tuple[dict[str, Any], ...] = (
    {"id": "tiny/a", "tasks": ["summarization"], "library": "transformers", "params": 1000, "license": "mit"},
    {
        "id": "tiny/b",
        "tasks": ["canny-text-to-image"],
        "library": "diffusers",
        "parts": {"base": "tiny/base"},
    },
    {"id": "tiny/gated", "tasks": ["summarization"], "library": "transformers", "gated": True},
    {"id": "tiny/odd", "tasks": ["summarization"], "library": "transformers"},
    {"id": "tiny/none", "tasks": ["summarization"], "library": "transformers"},
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command in a folder with a catalog and a profile; gives its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HUGGINGGPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "")
    lines = "".join(json.dumps(card) + "\n" for card in CARDS)
    Path("cards.jsonl").write_text(lines, encoding="utf-8")
    Path("hugginggpt.toml").write_text('catalog = "cards.jsonl"\n', encoding="utf-8")
    Path("mine.toml").write_text(
        'about = "Mine."\nmodels = ["tiny/a", "tiny/b"]\n[sizes]\n"tiny/a" = { F32 = 2.0 }\n',
        encoding="utf-8",
    )
    for name in ("a", "b", "base"):
        files = {"model.safetensors": f"weights of {name}".encode() * 50}
        hub.add(f"tiny/{name}", repository(tmp_path / "models" / name, files), cardData={"license": "mit"})
    hub.add("tiny/gated", repository(tmp_path / "models" / "gated"), gated="auto")

    def command(*words: str) -> tuple[int, str, str]:
        code = commands(list(words), standalone_mode=False)
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return command


# pull ----------------------------------------------------------------------------------------------------


def test_a_profile_is_pulled_with_what_it_takes_told_first(run: Run, hub: FakeHub) -> None:
    code, out, _ = run("pull", "mine.toml")
    assert code == 0
    table, rest = out.split("disk ", 1)
    assert [line.split()[0] for line in table.splitlines()] == ["repository", "tiny/a", "tiny/b", "tiny/base"]
    assert "to fetch; GPU" in rest
    assert rest.index("1/2 tiny/a") < rest.index("2/2 tiny/b")
    assert [one.model for one in holdings.held()] == ["tiny/a", "tiny/b", "tiny/base"]

    hub.forget()
    code, out, _ = run("pull", "mine.toml")
    assert (code, out.count("here already")) == (0, 2)
    assert hub.asked("GET", "/resolve/") == [], "nothing is fetched twice"


def test_a_model_that_fails_does_not_stop_the_others(run: Run, hub: FakeHub) -> None:
    odd = repository(Path("models/odd"), {"config.json": {"auto_map": {"AutoModel": "x.Y"}}})
    hub.add("tiny/odd", odd)
    code, out, err = run("pull", "tiny/none", "tiny/gated", "tiny/odd", "tiny/a", "--json")
    assert code == 2
    account = json.loads(out)
    assert [row["model"] for row in account["pulled"]] == ["tiny/a"]
    assert account["pulled"][0]["commit"] == holdings.held()[0].commit
    assert set(account["failed"]) == {"tiny/none", "tiny/gated", "tiny/odd"}
    assert "needs remote code" in account["failed"]["tiny/odd"], "found after it was begun"
    assert "is gated; accept its terms on its page at the Hub" in account["failed"]["tiny/gated"]
    assert "HUGGINGFACE_ACCESS_TOKEN" in account["failed"]["tiny/gated"]
    assert err.count("hugginggpt: ") == 3


def test_nothing_is_to_be_pulled_of_what_is_embedded_or_elsewhere(run: Run, hub: FakeHub) -> None:
    for name in ("embedded", "remote", "embedded/canny"):
        code, out, _ = run("pull", name)
        assert (code, "nothing to pull" in out) == (0, True)
    code, out, _ = run("pull", "embedded", "--json")
    assert json.loads(out) == {"pulled": [], "failed": {}, "served": []}
    assert hub.asked() == []


def test_names_that_are_none(run: Run) -> None:
    with pytest.raises(ProfileError, match="There is no profile 'whisper'"):
        run("pull", "whisper")
    with pytest.raises(
        RequestError, match="no model tiny/unknown; add it with hugginggpt catalog add tiny/unknown"
    ):
        run("pull", "tiny/unknown")


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_fetched(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.doctor.machine.Machine.disk", lambda *_: (10**9, 1000))
    with pytest.raises(ControllerError, match=r"are to be fetched, and .* has 1.0 kB free; free some"):
        run("pull", "tiny/a")
    assert hub.asked("GET", "/resolve/") == []


class _BegunError(Exception):
    """Something would be fetched now."""


def test_a_person_is_asked_before_much_is_fetched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setattr(pull, "ASK_OVER", 10)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []

    def no(question: str, **_: Any) -> None:
        asked.append(question)
        raise typer.Abort

    def begin(*_: Any) -> None:
        raise _BegunError

    monkeypatch.setattr(typer, "confirm", no)
    monkeypatch.setattr(fetching, "fetch", begin)
    with pytest.raises(typer.Abort):
        run("pull", "tiny/a")
    assert len(asked) == 1
    assert asked[0].startswith("Fetch ")
    assert holdings.held() == []
    with pytest.raises(_BegunError):
        run("pull", "tiny/a", "--yes")
    assert len(asked) == 1


def test_without_a_network_and_when_told_offline(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "1")
    code, _, err = run("pull", "tiny/a")
    assert (code, "HF_HUB_OFFLINE forbids to fetch it; unset that" in err) == (1, True)
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "")
    hub.stop()
    code, _, err = run("pull", "tiny/a")
    assert (code, "cannot be reached; check the network" in err) == (1, True)


def test_a_bar_grows_with_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    screen = io.StringIO()
    out = Console(file=screen, force_terminal=True, width=120)
    blobs = store.hub_folder("tiny/a") / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "before").write_bytes(bytes(500))
    with fetching.progress("1/1 tiny/a", 1000, ["tiny/a"], out) as say:
        (blobs / "x.incomplete").write_bytes(bytes(400))
        say("tiny/a: converting 1 pickled files to safetensors")
        while "0.4/1.0" not in screen.getvalue():
            threading.Event().wait(0.01)
    assert "(converting)" in screen.getvalue()
    assert "1.0/1.0" in screen.getvalue(), "it is full at the end"


# A server that runs --------------------------------------------------------------------------------------


class Served:
    """A server with experts, which may add and remove them or not."""

    def __init__(self, *experts: dict[str, Any], status: int = 200) -> None:
        self.experts = list(experts)
        self.status = status
        self.asked: list[tuple[str, str, bytes]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json={"object": "list", "data": self.experts})
        self.asked.append((request.method, request.url.path, request.content))
        return httpx2.Response(self.status, json={"error": {"message": "The fleet is busy."}})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Served], Served]:
    def start(served: Served) -> Served:
        monkeypatch.setattr(server, "running", lambda: Server(1, "http://127.0.0.1:1"))
        monkeypatch.setattr("controller.cli.client.Client", lambda url: client(served))
        return served

    return start


def test_a_server_that_runs_is_told_of_what_was_pulled(serve: Callable[[Served], Served]) -> None:
    served = serve(Served())
    assert pull.tell_server([ModelCard(**CARDS[0])], None, Console(file=io.StringIO())) == ["tiny/a"]
    ((method, path, content),) = served.asked
    assert (method, path, json.loads(content)) == ("POST", "/v1/experts", {"model": "tiny/a"})


@pytest.mark.parametrize("status", [404, 405, 503])
def test_a_server_that_cannot_take_it_in(serve: Callable[[Served], Served], status: int) -> None:
    serve(Served(status=status))
    said = io.StringIO()
    assert pull.tell_server([ModelCard(**CARDS[0])], None, Console(file=said)) == []
    out = said.getvalue()
    assert "restart hugginggpt up" in out
    assert ("The fleet is busy." in out) == (status == 503)


def test_a_model_that_is_awake_is_not_removed(run: Run, serve: Callable[[Served], Served]) -> None:
    pulled("tiny/a", weights=b"w")
    awake = serve(Served({"model": "tiny/a", "replicas": 1}))
    code, _, err = run("rm", "tiny/a")
    assert code == 1
    assert "hugginggpt stop tiny/a" in err
    assert awake.asked == []
    assert len(holdings.held()) == 1
    code, _, _ = run("rm", "tiny/a", "--force")
    assert code == 0
    assert [asked[:2] for asked in awake.asked] == [("DELETE", "/v1/experts/tiny/a")]
    assert holdings.held() == []


def test_a_model_that_sleeps_is_forgotten_by_the_server(run: Run, serve: Callable[[Served], Served]) -> None:
    pulled("tiny/a", weights=b"w")
    pulled("tiny/b", weights=b"w")
    served = serve(Served({"model": "tiny/a", "replicas": 0}, status=405))
    code, _, err = run("rm", "tiny/a")
    assert (code, "restart hugginggpt up" in err) == (0, True)
    assert run("rm", "tiny/b")[0] == 0, "the server does not know it"
    assert len(served.asked) == 1


def test_a_server_that_refuses_is_overruled_by_force_alone(
    run: Run, serve: Callable[[Served], Served]
) -> None:
    pulled("tiny/a", weights=b"w")
    serve(Served({"model": "tiny/a", "replicas": 0}, status=503))
    code, _, err = run("rm", "tiny/a")
    assert (code, "The fleet is busy." in err) == (1, True)
    code, _, err = run("rm", "tiny/a", "--force")
    assert (code, "restart hugginggpt up" in err) == (0, True)
    assert holdings.held() == []


def test_the_client_tells_apart_what_a_server_cannot_and_will_not_do() -> None:
    made: Client = client(Served(status=503))
    with pytest.raises(ControllerError, match="The fleet is busy"):
        made.add("tiny/a")
    with pytest.raises(ControllerError, match="The fleet is busy"):
        made.remove("tiny/a")


# list, rm, profiles, doctor ------------------------------------------------------------------------------


def test_what_is_here_is_listed(run: Run) -> None:
    assert "hugginggpt pull minimal" in run("list")[1]
    assert json.loads(run("list", "--json")[1]) == []
    for model in ("tiny/a", "tiny/b", "tiny/base"):
        pulled(model, weights=bytes(600))
    rows = json.loads(run("list", "--json")[1])
    assert [row["model"] for row in rows] == ["tiny/a", "tiny/b", "tiny/base"]
    assert rows[0]["tasks"] == ["summarization"]
    assert rows[0]["license"] == "mit"
    assert rows[0]["size"] > 500
    assert "a part of others" in run("list")[1]


def test_a_part_of_a_model_that_is_here_is_not_removed_alone(run: Run) -> None:
    for model in ("tiny/b", "tiny/base"):
        pulled(model, weights=model.encode())
    code, _, err = run("rm", "tiny/base")
    assert (code, "is a part of tiny/b" in err) == (1, True)
    code, out, err = run("rm", "tiny/base", "tiny/b", "tiny/absent")
    assert (code, "tiny/absent is not on this machine" in err) == (2, True)
    assert "are free again" in out
    assert holdings.held() == []
    assert json.loads(_json(run, "rm", "tiny/absent")) == {
        "removed": {},
        "failed": {"tiny/absent": "tiny/absent is not on this machine; hugginggpt list shows what is."},
    }


def _json(run: Run, *words: str) -> str:
    return run(*words, "--json")[1]


def test_profiles_are_listed_with_their_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGGPT_PROFILE", "mine.toml")
    rows = {row["name"]: row for row in json.loads(_json(run, "profiles"))}
    assert list(rows) == ["embedded", "minimal", "standard", "full", "remote", "mine.toml"]
    assert rows["standard"]["need"]["disk"] > rows["minimal"]["need"]["disk"] > 10**9
    assert rows["remote"]["need"]["disk"] == rows["embedded"]["need"]["disk"] == 0
    assert len(rows["full"]["tasks"]) > len(rows["standard"]["tasks"]) > len(rows["minimal"]["tasks"])
    shown = run("profiles")[1]
    assert "mine.toml *" in shown
    assert "7.2 GB" in shown


def test_the_models_of_a_profile_are_shown_with_what_is_here(run: Run) -> None:
    pulled("tiny/a", weights=b"w")
    account = json.loads(_json(run, "profiles", "mine.toml"))
    assert {row["model"]: row["here"] for row in account["models"]} == {"tiny/a": True, "tiny/b": False}
    assert account["need"]["disk"] == 2 * 10**9
    assert account["need"]["unknown"] == ["tiny/b"]
    assert {finding["check"] for finding in account["fit"]} <= {"fit: disk", "fit: GPU", "fit: memory"}
    shown = run("profiles", "mine.toml")[1]
    assert "not counted, since nothing tells their size: tiny/b" in shown
    elsewhere = json.loads(_json(run, "profiles", "remote"))
    assert elsewhere["fit"] == []
    assert all(row["here"] for row in elsewhere["models"])


def test_the_doctor_ends_with_1_where_something_must_be_mended(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUGGINGFACE_ACCESS_TOKEN", "hf_stale")
    code, out, _ = run("doctor", "--json")
    assert code == 1
    found = {finding["check"]: finding for finding in json.loads(out)}
    assert found["Hub's token"]["state"] == "fail"
    assert "HUGGINGFACE_ACCESS_TOKEN" in found["Hub's token"]["todo"]
    code, out, _ = run("doctor")
    assert code == 1
    assert "→" in out
    assert "must be mended" in out


def test_the_doctor_looks_on_where_the_settings_are_broken(run: Run) -> None:
    Path("hugginggpt.toml").write_text("port = 'x'\n", encoding="utf-8")
    code, out, _ = run("doctor", "--json")
    first, *rest = json.loads(out)
    assert (code, first["check"], first["state"]) == (1, "settings", "fail")
    assert "'port'" in first["found"]
    assert len(rest) > 10


def test_only_what_was_pulled_is_deployed_of_a_profile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from controller import app, profile
    from controller.settings import load

    monkeypatch.setenv("HUGGINGGPT_PROFILE", "mine.toml")
    settings = load()
    known = app.catalog(settings)
    embedded = {card.id for card in app.chosen(settings, known)}
    assert all(model.startswith("embedded/") for model in embedded)
    assert profile.absent(settings, known) == [
        "Of the profile mine.toml 2 models are not pulled yet: hugginggpt pull mine.toml"
    ]
    pulled("tiny/a", weights=b"w")
    assert {card.id for card in app.chosen(settings, known)} - embedded == {"tiny/a"}
    assert [card.id for card in profile.members(settings, known)] == ["tiny/a"]
    assert profile.absent(settings, known) == [
        "Of the profile mine.toml 1 model is not pulled yet: hugginggpt pull mine.toml"
    ]
    named = settings.model_copy(update={"experts": ("embedded/canny",)})
    assert [card.id for card in app.chosen(named, known)] == ["embedded/canny"]
    assert profile.absent(named, known) == []
