"""A module of ours run in a process of its own, with an environment that holds no secrets.

It reads one JSON object from standard input and answers with one on standard output; whatever else it or its
libraries say goes to standard error, and from there line by line to ``say``.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from deployments.errors import ExpertError

_PLAIN = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|OMP_NUM_THREADS"
)
_LAST = 5  # lines told when a process dies without an answer
_LINE = 400


def environment(extra: str = "") -> dict[str, str]:
    """What a helper may see of this process's environment: paths, language, and what ``extra`` matches."""
    kept = {
        key: value for key, value in os.environ.items() if _PLAIN.fullmatch(key) or re.fullmatch(extra, key)
    }
    package = str(Path(__file__).resolve().parent.parent)
    return kept | {"PYTHONPATH": package, "PYTHONUNBUFFERED": "1"}


def ask(
    module: str,
    request: Mapping[str, Any],
    env: Mapping[str, str],
    say: Callable[[str], None],
    secrets: Iterable[str] = (),
) -> dict[str, Any]:
    """Run a module of ours; returns its answer.

    Args:
        module: the module's name.
        request: what it reads.
        env: its whole environment.
        say: told each line of its standard error.
        secrets: words to be kept out of those lines.

    Raises:
        ExpertError: it answered with an error, or with nothing.

    """
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they are pipes
        lines: deque[str] = deque(maxlen=_LAST)
        reader = threading.Thread(target=_follow, args=(process.stderr, lines, say, tuple(secrets)))
        reader.start()
        try:
            _feed(process, json.dumps(request))
            written = process.stdout.read()
            process.wait()
        finally:
            process.terminate()
            reader.join()
    return _answer(module, written, process.returncode, lines)


def _feed(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin  # noqa: S101 - it is a pipe
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it died at once; its last words tell why


def _follow(
    stream: Iterable[str], lines: deque[str], say: Callable[[str], None], secrets: tuple[str, ...]
) -> None:
    for raw in stream:
        line = raw.strip()[:_LINE]
        for secret in secrets:
            line = line.replace(secret, "…")
        if line:
            lines.append(line)
            say(line)


def _answer(module: str, written: str, status: int, lines: Iterable[str]) -> dict[str, Any]:
    try:
        answer = json.loads(written)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        told = " | ".join(lines) or "without a word"
        ending = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ExpertError(f"{module.rpartition('.')[2]} {ending}: {told}")
    if "error" in answer:
        raise ExpertError(str(answer["error"]))
    return answer


def serve(work: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Be such a process: read the request, do ``work``, answer; end when the one who asked is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    request = json.loads(sys.stdin.read())
    try:
        answer = dict(work(request))
    except ExpertError as error:
        answer = {"error": error.message}
    with os.fdopen(answers, "w", encoding="utf-8") as file:
        json.dump(answer, file)
