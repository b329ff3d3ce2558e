"""Three nodes: the payload stays with the experts, and every proxy serves every file."""

import json
import os
import subprocess
import sys


def test_a_chain_over_three_nodes() -> None:
    without_tokens = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.nodes"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=without_tokens | {"RAY_AUTH_MODE": "disabled"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    seen = json.loads(told)
    assert seen["statuses"] == ["done"] * 3
    assert seen["files"] == 3
    # Three pictures of some ten megabytes went between the two nodes of the experts ...
    assert seen["grown"]["one"] > 2 * 9_000_000
    assert seen["grown"]["two"] > 2 * 9_000_000
    # ... and none of them over the controller's.
    assert seen["grown"]["control"] < 1_000_000, seen
    # Every proxy serves the upload and every result, whole.
    assert len(seen["served"]) == 3
    assert seen["served"][0] == seen["served"][1] == seen["served"][2]
    assert seen["served"][0][0] == seen["picture"]
