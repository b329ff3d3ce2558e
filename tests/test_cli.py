"""The command line, as processes of its own."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from controller.server import any_port
from tests.support.command import command_line, environment

ROOT = Path(__file__).resolve().parent.parent
SIGN = ROOT / "examples" / "sign.png"


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plan_shows_a_graph_and_needs_no_ray(tmp_path: Path) -> None:
    done = command_line("plan", "Read the text in /examples/sign.png aloud", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("image-to-text") < done.stdout.index("text-to-speech")
    code = (
        "import sys; from controller.cli.main import app;"
        "app(['plan', 'Read /examples/sign.png aloud', '--json'], standalone_mode=False);"
        "assert not {'ray', 'torch', 'httpx2'} & set(sys.modules), 'slow imports'"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, timeout=60).returncode == 0


def test_plan_in_wire_form(tmp_path: Path) -> None:
    (task,) = _json(
        command_line("plan", "Show me the edges of /examples/sign.png", "--json", folder=tmp_path)
    )
    assert task == {"task": "canny-control", "id": 0, "dep": [-1], "args": {"image": "/examples/sign.png"}}


def test_plan_of_many_lines(tmp_path: Path) -> None:
    lines = [{"id": "a", "user_request": "Transcribe talk.wav"}, {"id": "b", "user_request": "Hello!"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = command_line("plan", "--jsonl", "in.jsonl", "out.jsonl", "--json", folder=tmp_path)
    assert _json(done) == {"planned": 2, "failed": 0, "out": "out.jsonl"}
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["plan"][0]["task"] == "automatic-speech-recognition"
    assert [task["task"] for task in rows[1]["plan"]] == ["conversational"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan"], "Give either"),
        (["plan", " "], "empty"),
        (["plan", "--jsonl", "absent.jsonl", "out.jsonl"], "cannot be read"),
        (["ask", "Read this", "--file", "absent.png"], "no file"),
        (["ps"], "hugginggpt up"),
        (["ps", "--url", "http://127.0.0.1:9"], "does not answer"),
        (["up", "--host", "0.0.0.0"], "hugginggpt keys create"),
        (["up", "--host", "0.0.0.0:80"], "setting 'host'"),
        (["keys", "revoke", "nobody"], "There is no key 'nobody'"),
        (["up", "--config", "absent.toml"], "absent.toml"),
    ],
)
def test_what_goes_wrong_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    done = command_line(*words, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("hugginggpt: ")
    assert said in line


def test_ask_starts_a_server_of_its_own_and_the_wav_stays(tmp_path: Path) -> None:
    began = time.monotonic()
    done = command_line("ask", "Read the text in this picture aloud", "--file", str(SIGN), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("image-to-text") < done.stdout.index("text-to-speech")
    assert "HARBOUR FERRY" in done.stdout
    assert "LEAVES AT NOON" in done.stdout
    last = done.stdout.rstrip("\n").splitlines()[-1]
    assert re.fullmatch(r"/\S+\.wav", last)
    samples, rate = soundfile.read(last)
    assert 1 < len(samples) / rate < 10
    assert abs(samples).max() > 0.05
    assert "Traceback" not in done.stderr
    sys.stdout.write(f"ask took {time.monotonic() - began:.1f} s\n")


EXPERTS = ("rapidocr", "espeak-ng", "canny", "vader")
"""Those that the tests ask; fewer start sooner."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A server started by ``up``: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("up")
    (folder / "hugginggpt.toml").write_text(
        f"port = {any_port('127.0.0.1')}\ndashboard_port = {any_port('127.0.0.1')}\n"
        f"experts = {[f'embedded/{name}' for name in EXPERTS]}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from controller.cli import main; main()", "up", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield folder, json.loads(line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_up_tells_its_addresses_and_ps_its_experts(served: tuple[Path, dict[str, Any]]) -> None:
    folder, said = served
    assert said["url"].startswith("http://127.0.0.1:")
    assert said["dashboard"].startswith("http://127.0.0.1:")
    experts = _json(command_line("ps", "--json", folder=folder))
    assert {"embedded/rapidocr", "embedded/espeak-ng"} <= {expert["model"] for expert in experts}
    assert "embedded/rapidocr" in command_line("ps", folder=folder).stdout


def test_a_second_up_is_refused(served: tuple[Path, dict[str, Any]]) -> None:
    folder, said = served
    done = command_line("up", folder=folder)
    assert done.returncode == 1
    assert said["url"] in done.stderr


def test_ask_uses_the_server_that_runs(served: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = served
    account = _json(
        command_line("ask", "Read the text in /examples/sign.png aloud", "--json", folder=folder, seconds=60)
    )
    assert [task["task"] for task in account["plan"]] == ["image-to-text", "text-to-speech"]
    assert [outcome["status"] for outcome in account["outcomes"]] == ["done", "done"]
    (wav,) = account["files"]
    assert Path(wav).parent == folder / "outputs"
    assert Path(wav).stat().st_size > 20_000


def test_ask_tells_a_refusal_in_one_line(served: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = served
    done = command_line("ask", "Show me the edges of /examples/absent.png", folder=folder, seconds=60)
    assert done.returncode == 1
    assert "upload" in done.stderr


def test_chat_keeps_what_was_made(served: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = served
    lines = f"/file {SIGN}\nShow me its edges\n/resources\n/nonsense\n/exit\n"
    done = command_line("chat", folder=folder, stdin=lines, seconds=60)
    assert done.returncode == 0, done.stderr
    made = re.findall(r"/images/[0-9a-f]{32}\.png", done.stdout)
    assert len(set(made)) >= 2, "the upload and the edges"
    resources = [
        line for line in done.stdout.splitlines() if re.fullmatch(r"/images/\S+\.png  /\S+\.png", line)
    ]
    assert len(resources) == 1
    assert "There is no command /nonsense" in done.stdout


def test_chat_in_json(served: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = served
    lines = "Is this review positive: 'What a lovely film'?\nRead it aloud\n/resources\n"
    done = command_line("chat", "--json", folder=folder, stdin=lines, seconds=60)
    first, second, resources = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["outcomes"][0]["task"] == "text-classification"
    assert isinstance(second["answer"], str)
    assert isinstance(resources, list)


def test_down_stops_it(served: tuple[Path, dict[str, Any]]) -> None:
    folder, said = served
    assert _json(command_line("down", "--json", folder=folder, seconds=90)) == {"stopped": said["pid"]}
    assert _json(command_line("down", "--json", folder=folder)) == {"stopped": None}
    assert command_line("ps", folder=folder).returncode == 1
