"""``ask`` and ``chat`` over a server in this process: what is sent, shown, saved and remembered."""

import io
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console

from controller.cli.ask import HELP, Chat, Told, print_told, run
from controller.errors import ControllerError, RequestError
from controller.events import Event, LeftOut, PlanDone, RunDone, RunFailed
from controller.outcome import Failure, Status
from controller.request import MAX_CHARACTERS, Message
from tests.support.web import IMAGE, TASK, Web, account, client, outcome

ASKED = [Message(role="user", content="show me the edges")]
NAME = IMAGE.path.rpartition("/")[2]


class Talk:
    """A chat, and what it printed."""

    def __init__(self, web: Web, out: Path, as_json: bool = False) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=60, highlight=False)
        self.web = web
        self.chat = Chat(client(web), out, console, as_json)

    def say(self, line: str) -> list[str]:
        """What a line is answered with."""
        before = len(self._file.getvalue())
        assert self.chat.turn(line)
        return self._file.getvalue()[before:].splitlines()

    def sent(self) -> list[dict[str, Any]]:
        """The bodies of all runs so far."""
        return [json.loads(request.content) for request in self.web.runs]


# One request ---------------------------------------------------------------------------------------------


def test_a_run_is_shown_and_its_files_are_saved(tmp_path: Path) -> None:
    shown: list[Event] = []
    told = run(client(Web()), ASKED, ["/images/a.png"], tmp_path / "out", shown.append)
    assert [event.type for event in shown] == ["run.created", "plan.task", "plan.done", "run.done"]
    assert told.files == [(tmp_path / "out" / NAME).resolve()]
    assert told.files[0].read_bytes() == b"PNG!"
    account_of_it = told.account()
    assert json.loads(json.dumps(account_of_it)) == account_of_it
    assert account_of_it["plan"] == [TASK]
    assert account_of_it["answer"] == "Here it is."
    assert account_of_it["files"] == [str(told.files[0])]
    assert account_of_it["outcomes"][0]["status"] == "done"
    assert account_of_it["seconds"] == {"total": 0.5}


def test_the_account_of_nothing_is_empty() -> None:
    assert set(Told().account()) == {
        "plan",
        "notes",
        "left_out",
        "outcomes",
        "answer",
        "files",
        "seconds",
        "usage",
    }
    assert not any(Told().account().values())


def test_what_was_left_out_is_in_the_account() -> None:
    left = LeftOut(id=1, task="mind-reading", reason="why")
    told = Told(plan=PlanDone(run="r", plan=[], notes=("mended",), left_out=(left,)))
    assert told.account()["left_out"] == [{"id": 1, "task": "mind-reading", "reason": "why"}]
    assert told.account()["notes"] == ["mended"]


def test_a_run_that_failed_says_why(tmp_path: Path) -> None:
    failed = [*account()[:2], RunFailed(run="r", error=Failure(code="c", message="No task can run."))]
    with pytest.raises(ControllerError, match=r"^No task can run\.$"):
        run(client(Web(failed)), ASKED, [], tmp_path, lambda event: None)


def test_a_run_that_ends_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(ControllerError, match="without an answer"):
        run(client(Web(account()[:3])), ASKED, [], tmp_path, lambda event: None)


def test_an_answer_is_printed_as_it_is_with_each_file_on_a_line_of_its_own(tmp_path: Path) -> None:
    answer = "[bold]x[/] :smile: [/] " + "word " * 40 + "\nsecond \x1b[31mline"
    done = RunDone(run="r", answer=answer)
    files = [tmp_path / ("x" * 80) / "[red]:smile:.png", tmp_path / "b.wav"]
    file = io.StringIO()
    print_told(Told(done=done, files=files), Console(file=file, width=40))
    blank, first, second, gap, *paths = file.getvalue().splitlines()
    assert (blank, gap) == ("", "")
    assert first.rstrip() == answer.splitlines()[0].rstrip(), "not wrapped, not read as markup"
    assert second == "second \N{REPLACEMENT CHARACTER}[31mline"
    assert paths == [str(path) for path in files]


def test_an_answer_without_files() -> None:
    file = io.StringIO()
    print_told(Told(done=RunDone(run="r", answer="Hello!")), Console(file=file))
    assert file.getvalue() == "\nHello!\n"


# Talks ---------------------------------------------------------------------------------------------------


def test_earlier_turns_go_along(tmp_path: Path) -> None:
    talk = Talk(Web(), tmp_path)
    shown = talk.say("  show me the edges ")
    assert "Here it is." in shown
    assert str((tmp_path / NAME).resolve()) in shown, "unwrapped"
    talk.say("and again")
    first, second = talk.sent()
    assert first["messages"] == [{"role": "user", "content": "show me the edges"}]
    assert second["messages"] == [
        {"role": "user", "content": "show me the edges"},
        {"role": "assistant", "content": "Here it is."},
        {"role": "user", "content": "and again"},
    ]


def test_a_turn_that_fails_is_not_remembered_and_its_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    web = Web()
    talk = Talk(web, tmp_path)
    talk.say(f"/file {tmp_path}/a.png")
    web.refuses = "Say it in other words."
    with pytest.raises(ControllerError, match="other words"):
        talk.say("bad")
    web.refuses = None
    talk.say("good")
    (body,) = talk.sent()
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert body["messages"][0]["content"].startswith("good")
    assert body["attachments"] == ["/images/upload1.png"]
    talk.say("next")
    assert talk.sent()[-1]["attachments"] == [], "a file goes along once"


def test_a_mere_reply_is_no_part_of_the_talk(tmp_path: Path) -> None:
    talk = Talk(Web(account("Try: read this aloud.", outcomes=())), tmp_path)
    assert "Try: read this aloud." in talk.say("hello")
    talk.say("again")
    assert len(talk.sent()[-1]["messages"]) == 1


def test_what_is_too_long_for_the_server_is_told_here(tmp_path: Path) -> None:
    talk = Talk(Web(account("y" * (MAX_CHARACTERS + 5))), tmp_path)
    with pytest.raises(RequestError, match="at most 200,000 characters"):
        talk.say("x" * (MAX_CHARACTERS + 1))
    assert talk.sent() == []
    talk.say("x" * MAX_CHARACTERS)
    talk.say("next")
    assert len(talk.sent()[-1]["messages"][1]["content"]) == MAX_CHARACTERS


def test_200_turns_go_along_and_no_more_than_a_server_takes(tmp_path: Path) -> None:
    talk = Talk(Web(account("short")), tmp_path)
    for number in range(202):
        talk.say(f"turn {number}")
    sent = talk.sent()[-1]["messages"]
    assert len(sent) == 401
    assert sent[0]["content"] == "turn 1"
    assert sent[-1]["content"] == "turn 201"
    talk = Talk(Web(account("y" * MAX_CHARACTERS)), tmp_path)
    for _ in range(4):
        talk.say("long")
    assert sum(len(message["content"]) for message in talk.sent()[-1]["messages"]) < 400_010


# Commands ------------------------------------------------------------------------------------------------


def test_commands_are_not_sent(tmp_path: Path) -> None:
    talk = Talk(Web(), tmp_path)
    assert talk.say("") == talk.say("   ") == []
    assert " ".join(talk.say("/help")).split() == HELP.split()
    (said, *_) = talk.say("/[bold]nonsense")
    assert said.startswith("There is no command /[bold]nonsense.")
    assert talk.say("/resources") == ["Nothing was made so far."]
    assert not talk.chat.turn("/exit")
    assert not talk.chat.turn(" /quit ")
    assert talk.sent() == []


def test_a_line_that_begins_with_a_path_is_a_request(tmp_path: Path) -> None:
    talk = Talk(Web(), tmp_path)
    talk.say("/examples/a.jpg: show me its edges")
    assert len(talk.sent()) == 1


def test_resources_are_what_was_made(tmp_path: Path) -> None:
    talk = Talk(Web(), tmp_path)
    talk.say("show me")
    assert talk.say("/resources") == [f"{IMAGE.path}  {(tmp_path / NAME).resolve()}"]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "cannot be read: Is a directory"),
        ("absent.png", "absent.png cannot be read: No such file"),
        ("~no-such-user-here/x.png", "There is no home folder for ~no-such-user-here/x.png"),
    ],
)
def test_a_file_that_cannot_be_attached(argument: str, said: str, tmp_path: Path) -> None:
    talk = Talk(Web(), tmp_path)
    with pytest.raises(ControllerError) as caught:
        talk.say(f"/file {argument}")
    assert said in caught.value.message
    talk.say("go on")
    assert talk.sent()[0]["attachments"] == []


def test_a_file_with_spaces_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my [red] file.png").touch()
    talk = Talk(Web(), tmp_path)
    assert talk.say("/file ~/my [red] file.png") == ["attached as /images/upload1.png"]


def test_json_holds_each_answer_on_one_line(tmp_path: Path) -> None:
    answer = "two\nlines :smile: [bold]x[/] " + "word " * 50
    talk = Talk(Web(account(answer)), tmp_path, as_json=True)
    (line,) = talk.say("show me")
    assert json.loads(line)["answer"] == answer
    assert json.loads(line)["plan"] == [TASK]
    (line,) = talk.say("/resources")
    assert json.loads(line) == [{"path": IMAGE.path, "file": str((tmp_path / NAME).resolve())}]
    (line,) = Talk(Web(), tmp_path, as_json=True).say("/resources")
    assert json.loads(line) == []


def test_progress_is_shown_of_what_failed_too(tmp_path: Path) -> None:
    failed = outcome(status=Status.FAILED, error=Failure(code="c", message="broken"))
    talk = Talk(Web(account("I am sorry.", [failed])), tmp_path)
    shown = talk.say("show me")
    assert "I am sorry." in shown
    assert shown[0] == "plan  by embedded brain"


def test_a_file_that_is_gone_when_it_is_fetched(tmp_path: Path) -> None:
    web = Web()

    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(500) if request.url.path == IMAGE.path else web(request)

    with pytest.raises(ControllerError, match="The server answered 500"):
        run(client(handler), ASKED, [], tmp_path, lambda event: None)
