"""Processes of ours, apart."""

from pathlib import Path

import pytest

from deployments import aside
from deployments.errors import ExpertError

HELPER = """
import os, sys
from deployments import aside
from deployments.errors import ExpertError

def work(request):
    print("printed", request["secret"])
    sys.stderr.write("warned\\n")
    if request["do"] == "fail":
        raise ExpertError("It failed; try again.")
    if request["do"] == "die":
        os.kill(os.getpid(), 9)
    if request["do"] == "crash":
        raise RuntimeError("crashed")
    return {"env": dict(os.environ), "cwd": "" in sys.path}

aside.serve(work)
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "helper.py").write_text(HELPER, encoding="utf-8")
    env = aside.environment()
    return env | {"PYTHONPATH": f"{env['PYTHONPATH']}:{tmp_path}"}


def test_an_answer_is_not_mixed_with_what_libraries_print(env: dict[str, str]) -> None:
    lines: list[str] = []
    answer = aside.ask("helper", {"do": "well", "secret": "hf_x"}, env, lines.append, ["hf_x"])
    assert sorted(lines) == ["printed …", "warned"]
    assert answer["env"].keys() <= env.keys() | {"LC_CTYPE"}
    assert answer["cwd"] is False


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("fail", r"^It failed; try again\.$"),
        ("die", r"helper was killed by signal 9: printed … \| warned"),
        ("crash", r"helper ended with status 1: .*RuntimeError: crashed"),
    ],
)
def test_a_failure_is_told(env: dict[str, str], what: str, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        aside.ask("helper", {"do": what, "secret": "hf_x"}, env, lambda _: None, ["hf_x"])


def test_a_module_that_does_not_start_is_told() -> None:
    with pytest.raises(ExpertError, match="No module named none"):
        aside.ask("none", {}, aside.environment(), lambda _: None)


def test_no_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "HF_HOME"):
        monkeypatch.setenv(key, "x")
    assert not {"HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "HF_HOME"} & set(
        aside.environment()
    )
    assert aside.environment("HF_HOME")["HF_HOME"] == "x"
