"""The whole product with an LLM brain, as a person starts it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import command_line
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint

SIGN = Path(__file__).resolve().parent.parent / "examples" / "sign.png"
KEY = "sk-scripted-1234"
NOTHING = {"text": None, "image": None, "audio": None, "video": None, "table": None}


def _task(task: str, number: int, want: str | None = None, **args: str) -> dict[str, Any]:
    more = {"options": None, "want": want, "model": None, "reason": None}
    return {"task": task, "id": number, "dep": [], "args": NOTHING | args, **more}


def _script(asked: Asked) -> Reply | str:
    """A plan for the picture that is attached, or an answer that names what was made."""
    if asked.format == "json_schema":
        (path,) = re.findall(r"/images/\S+\.png", asked.user)
        tasks = [
            _task("image-to-text", 0, want="ocr", image=path),
            _task("text-to-speech", 1, text="<GENERATED>-0"),
        ]
        return json.dumps({"tasks": tasks, "reply": None})
    (wav,) = set(re.findall(r"/audios/[\w-]+\.wav", asked.user))
    return f"The sign speaks: {wav} and /audios/made-up.wav."


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "hugginggpt.toml").write_text(
        'experts = ["embedded/rapidocr", "embedded/espeak-ng"]\n', encoding="utf-8"
    )
    return tmp_path


def test_the_llm_plans_and_answers(tmp_path: Path) -> None:
    with ScriptedEndpoint(_script, key=KEY) as endpoint:
        more = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": KEY, "HUGGINGGPT_MODEL": "scripted"}
        words = ("ask", "Read this aloud", "--file", str(SIGN), "--json")
        done = command_line(*words, folder=_folder(tmp_path), more=more)
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert [task["task"] for task in account["plan"]] == ["image-to-text", "text-to-speech"]
    assert [outcome["status"] for outcome in account["outcomes"]] == ["done", "done"]
    (wav,) = (artifact["path"] for artifact in account["outcomes"][1]["artifacts"])
    assert account["answer"].startswith(f"The sign speaks: {wav}")
    assert "made-up" not in account["answer"]
    assert account["usage"]["calls"] == 2
    planned, answered = endpoint.requests
    assert "HARBOUR FERRY" not in json.dumps(planned.body)
    assert "HARBOUR FERRY" in answered.user
    assert KEY not in done.stdout + done.stderr


@pytest.mark.soak  # a second server; tests/controller has it without one
def test_where_the_endpoint_is_gone_the_embedded_brain_does_it_and_says_so(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        gone = endpoint.url
    more = {"OPENAI_BASE_URL": gone, "HUGGINGGPT_MODEL": "scripted", "HUGGINGGPT_LLM_RETRIES": "0"}
    words = ("ask", "Read the text in this picture aloud", "--file", str(SIGN), "--json")
    done = command_line(*words, folder=_folder(tmp_path), more=more)
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert [outcome["status"] for outcome in account["outcomes"]] == ["done", "done"]
    assert "The embedded brain planned this, since scripted could not: " in account["answer"]
    assert "since scripted did not answer" in account["answer"]
