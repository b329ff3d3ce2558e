"""Three nodes: the payload stays with the experts, and every proxy serves every file."""

import json
import os
import subprocess
import sys


def test_a_chain_over_three_nodes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.nodes"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.strip().splitlines()[-1])
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
