"""An overloaded expert on a real cluster: what it has no time for is refused at once, the rest ends well."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from tests.support.cluster import card, deployed

_BUSY = card("busy", "fill-mask", "Batches")
_PLAN = {"plan": [{"task": "fill-mask", "id": 0, "args": {"text": "so"}, "model": _BUSY.id}]}
_CLIENTS = 60


def test_what_an_expert_has_no_time_for_is_refused_at_once_and_the_rest_ends_well(
    http: httpx2.Client,
) -> None:
    def ask(_: int) -> tuple[float, httpx2.Response]:
        answer = http.post("/v1/runs", json=_PLAN)
        return time.monotonic(), answer

    with deployed([_BUSY]), ThreadPoolExecutor(_CLIENTS) as clients:
        for _ in range(3):  # what a call takes is learnt
            ask(0)[1].raise_for_status()
        answers = sorted(clients.map(ask, range(_CLIENTS)), key=lambda pair: pair[0])
        by_status = {
            code: [at for at, answer in answers if answer.status_code == code] for code in (200, 429)
        }
        assert len(by_status[200]) + len(by_status[429]) == _CLIENTS, [a.text for _, a in answers[:3]]
        assert len(by_status[200]) >= 5
        assert len(by_status[429]) >= 10, "more than a second's work was let in"
        middle = by_status[429][len(by_status[429]) // 2]
        assert middle < by_status[200][-1], "refusals do not wait for what was let in"
        for _, answer in answers:
            _check(answer)
        ask(0)[1].raise_for_status()  # and when it is over, who asks is let in


def _check(answer: httpx2.Response) -> None:
    told: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        assert [outcome["status"] for outcome in told["run"]["outcomes"]] == ["done"]
        return
    assert told["error"]["code"] == "overloaded"
    assert told["error"]["type"] == "rate_limit_error"
    assert int(answer.headers["retry-after"]) >= 1
