"""The command ``catalog``, against a hub."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from controller.cli import catalog
from controller.cli.catalog_view import changes_view
from model_catalog import overlay
from model_catalog.catalog import Catalog
from model_catalog.changes import Changes
from model_catalog.errors import HubError, HuggingGPTError, UnknownModelError, UnknownTaskError
from model_catalog.sync import JOURNAL
from tests.model_catalog.hubs import listed, served
from tests.support.hub import FakeHub
from tests.support.tiny import text, tiny

__all__ = ["served"]

SHIPPED = Catalog.shipped()
FIRST, SECOND = (card.id for card in SHIPPED.cards_for("text-classification")[:2])
OURS = [card for card in SHIPPED.cards_for("text-classification") if not card.embedded]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of one's own; no settings file is near."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUGGINGGPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HUGGINGFACE_ACCESS_TOKEN", raising=False)
    return tmp_path / "data"


@pytest.fixture
def stocked(served: FakeHub, home: Path) -> FakeHub:
    """A hub with the shipped classifiers, the second one ahead, and one that is new and can be loaded."""
    for place, card in enumerate(OURS):
        listed(
            served, tiny(text.classifier), card.id, "text-classification", 1000 - place, tags=["license:mit"]
        )
    listed(served, tiny(text.classifier), SECOND, "text-classification", 90_000_000)
    listed(served, tiny(text.encoder), "lab/headless", "text-classification", 80_000_000)
    listed(served, tiny(text.classifier), "lab/new", "text-classification", 70_000_000)
    return served


def run(*words: str, answer: str | None = None) -> Result:
    done = CliRunner().invoke(catalog.app, list(words), input=answer)
    if isinstance(done.exception, HuggingGPTError):
        raise done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def told(*words: str) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


SYNC = ("sync", "--task", "text-classification", "--limit", "3")


def test_all_tasks_are_shown(home: Path) -> None:
    rows = {row["task"]: row for row in told("show")}
    assert rows["text-classification"] == {
        "task": "text-classification",
        "models": len(SHIPPED.cards_for("text-classification")),
        "run": len(SHIPPED.cards_for("text-classification")),
        "first": FIRST,
    }
    assert rows["text-to-speech"]["run"] < rows["text-to-speech"]["models"]
    shown = run("show").output
    assert all(task in shown for task in rows)


def test_a_tasks_ranking_is_shown(home: Path) -> None:
    run("pin", SECOND)
    run("block", FIRST)
    rows = told("show", "text-classification")
    assert (rows[0]["id"], rows[0]["rank"], rows[0]["pinned"]) == (SECOND, 1, True)
    assert (rows[-1]["id"], rows[-1]["rank"], rows[-1]["blocked"]) == (FIRST, None, True)
    assert rows[0]["runner"] == "text-classification"
    shown = run("show", "text-classification").output.splitlines()
    assert "pinned" in shown[1]
    assert "blocked" in shown[-1]
    with pytest.raises(UnknownTaskError):
        run("show", "no-such-task")


def test_a_model_is_shown(home: Path) -> None:
    account = told("show", FIRST)
    assert account["ranks"]["text-classification"]["rank"] == 1
    assert account["downloads"]["source"]
    shown = run("show", FIRST).output
    assert f"{account['downloads']['value']:,}" in shown
    assert "main, as it is when it is first deployed" in shown
    with pytest.raises(UnknownModelError, match="lab/none"):
        run("show", "lab/none")


def test_pins_and_blocks(home: Path) -> None:
    assert told("pin", SECOND) == {"pinned": [SECOND], "blocked": []}
    assert told("block", SECOND) == {"pinned": [], "blocked": [SECOND]}
    assert told("unblock", SECOND) == told("unpin", "lab/gone") == {"pinned": [], "blocked": []}
    with pytest.raises(UnknownModelError):
        run("pin", "lab/none")


def test_a_sync_shows_what_changes_and_writes_it(stocked: FakeHub, home: Path) -> None:
    run("pin", FIRST)
    done = run(*SYNC, "--yes")
    lines = done.stdout.splitlines()
    assert any(line.startswith("new") and "lab/new" in line for line in lines)
    assert any(line.startswith("left out") and "lab/headless" in line for line in lines)
    assert any("rank" in line and "text-classification" in line for line in lines)
    assert "checking: 1 done" in done.stderr
    now = overlay.layered(home)
    assert now.cards_for("text-classification")[0].id == FIRST  # pinned, and kept so
    assert now.get("lab/new").revision is not None
    assert now.get(SECOND).downloads_all is not None
    assert now.get(SECOND).history == (SHIPPED.get(SECOND).downloads,)
    assert not (home / JOURNAL).exists()
    stocked.forget()
    again = told(*SYNC, "--yes")
    assert (again["added"], again["ranks"], again["figures"]) == ([], [], 0)
    assert stocked.requests


def test_a_look_writes_nothing_and_is_not_lost(stocked: FakeHub, home: Path) -> None:
    seen = told(*SYNC, "--dry-run")
    assert [each["id"] for each in seen["added"]] == ["lab/new"]
    assert seen["added"][0]["tasks"] == ["text-classification"]
    assert "missing: classifier" in seen["left_out"]["lab/headless"]
    assert not seen["written"]
    assert not (home / overlay.CARDS).exists()
    stocked.forget()
    done = run(*SYNC, "--yes")
    assert "Going on with" in done.stderr
    assert not stocked.requests
    assert overlay.layered(home).get("lab/new")


def test_answers_of_before_may_be_left(stocked: FakeHub, home: Path) -> None:
    run(*SYNC, "--dry-run")
    stocked.forget()
    run(*SYNC, "--dry-run", "--fresh")
    assert stocked.requests


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("n\n", False), ("\n", True)])
def test_a_person_is_asked(
    stocked: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch, answer: str, written: bool
) -> None:
    monkeypatch.setattr(catalog, "_can_ask", lambda: True)
    done = run(*SYNC, answer=answer)
    assert "Write this?" in done.output
    assert (home / overlay.CARDS).exists() is written


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_without_a_terminal_nothing_is_asked(served: FakeHub, home: Path, more: tuple[str, ...]) -> None:
    with pytest.raises(HuggingGPTError, match="no terminal to ask on; give --yes to write, or --dry-run"):
        run(*SYNC, *more)
    assert not served.requests


def test_a_sync_that_fails_tells_that_it_can_go_on(
    stocked: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked.busy = [{"Retry-After": "3600"}]
    with pytest.raises(HubError, match="asks to wait 3600 s"):
        run(*SYNC, "--yes")
    done = CliRunner().invoke(catalog.app, [*SYNC, "--yes"])
    assert done.exit_code == 0


def test_an_operators_own_cards_are_left_alone(
    stocked: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home.parent / "own.jsonl"
    own.write_text(f'{{"id": "{SECOND}", "tasks": ["translation"]}}\n', encoding="utf-8")
    monkeypatch.setenv("HUGGINGGPT_CATALOG", str(own))
    run(*SYNC, "--yes")
    assert SECOND not in {card.id for card in overlay.synced(home)}
    assert told("show", SECOND)["tasks"] == ["translation"]


def test_a_model_is_added_once_it_is_checked(stocked: FakeHub, home: Path) -> None:
    added = told("add", "lab/new")
    assert added["check"]["status"] == "ok"
    assert added["added"]["revision"] == added["check"]["commit"]
    assert overlay.layered(home).get("lab/new").downloads is not None
    with pytest.raises(HuggingGPTError, match="has lab/new already"):
        run("add", "lab/new")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("lab/headless",), "lab/headless is not added: The weights do not fit"),
        (("lab/new", "--task", "object-detection"), "is not added: A model of the kind"),
        (("lab/none",), "no model lab/none"),
        (("lab/unfiled",), "The Hub files lab/unfiled nowhere; say what it serves with --task"),
        (("lab/new", "--task", "smelling"), "no task type 'smelling'"),
    ],
)
def test_what_is_not_added(stocked: FakeHub, home: Path, words: tuple[str, ...], why: str) -> None:
    stocked.add("lab/unfiled", tiny(text.classifier))
    with pytest.raises(HuggingGPTError, match=why):
        run("add", *words)
    assert not (home / overlay.CARDS).exists()


def test_a_model_is_added_under_a_task_that_it_was_not_filed_under(stocked: FakeHub, home: Path) -> None:
    stocked.add("lab/unfiled", tiny(text.classifier))
    run("add", "lab/unfiled", "--task", "text-classification")
    assert overlay.layered(home).get("lab/unfiled").tasks == ("text-classification",)


def test_checks(stocked: FakeHub, home: Path) -> None:
    done = run("check", FIRST, "embedded/canny")
    assert done.exit_code == 0
    assert f"✓ {FIRST}" in done.stdout
    assert "2 can be loaded." in done.stdout
    stocked.add(SECOND, tiny(text.encoder))
    done = run("check", FIRST, SECOND)
    assert done.exit_code == 2
    assert f"✗ {SECOND}" in done.stdout.splitlines()[-2]
    assert "1 can be loaded, 1 cannot." in done.stdout
    done = run("check", SECOND, "--json")
    assert done.exit_code == 2
    (verdict,) = json.loads(done.stdout)
    assert verdict["status"] == "cannot"


def test_what_a_hub_says_does_not_steer_the_terminal() -> None:
    console = Console(width=200, force_terminal=False, record=True, file=io.StringIO())
    odd = "lab/\x1b]0;x\x07m"
    console.print(changes_view(Changes(), {odd: odd}, {odd: odd}))
    shown = console.export_text()
    assert shown.count("lab/\N{REPLACEMENT CHARACTER}]0;x") == 4
    assert not {"\x1b", "\x07"} & set(shown)


def _documented() -> list[str]:
    page = Path(__file__).resolve().parents[3] / "docs" / "catalog.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("hugginggpt catalog ")]


@pytest.mark.parametrize("line", _documented())
def test_commands_of_the_documentation_exist(line: str) -> None:
    command, *rest = shlex.split(line, comments=True)[2:]
    shown = run(command, "--help").output
    assert all(word in shown for word in rest if word.startswith("--"))
    named = [word for word in rest if "/" in word and word not in ("owner/name",)]
    assert command == "add" or all(SHIPPED.get(word) for word in named)
