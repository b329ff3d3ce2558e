"""Web links at the doors: what a message or a call brings along by its address."""

from pathlib import Path
from typing import Any

import pytest

from controller.errors import RequestError
from controller.planner import Reply
from controller.settings import Settings
from model_catalog.tasks import Modality
from tests.api.desk import desk
from tests.api.doors import asked, doors
from tests.support.fakes import FakeCluster, answers
from tests.support.stage import Stage

PICTURE = "https://site.example/a.png"
PATH = f"/files/{1:032x}.txt"

BODIES = [
    ("/v1/runs", asked(attachments=[PICTURE])),
    (
        "/v1/chat/completions",
        {
            "model": "hugginggpt",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "do it"},
                        {"type": "image_url", "image_url": {"url": PICTURE}},
                    ],
                }
            ],
        },
    ),
]


@pytest.mark.parametrize(("door", "body"), BODIES, ids=[door for door, _ in BODIES])
async def test_a_link_that_comes_with_a_message_is_fetched(door: str, body: dict[str, Any]) -> None:
    cluster = FakeCluster(web={PICTURE: Modality.IMAGE})
    stage = Stage([Reply("hi")], cluster=cluster)
    async with doors(stage) as http:
        for _ in range(2):
            assert (await http.post(door, json=body)).status_code == 200
    paths = {item.path for request in stage.planner.asked for item in request.attachments}
    if door == "/v1/runs":
        assert cluster.read == [(PICTURE, ())] * 2
    else:  # chat pages send the same conversation each turn
        assert cluster.read == [(PICTURE, ())]
        assert paths == {PATH}
    assert {item.modality for one in stage.planner.asked for item in one.attachments} == {Modality.IMAGE}
    assert PATH in paths


@pytest.mark.parametrize(("door", "body"), BODIES, ids=[door for door, _ in BODIES])
async def test_where_links_are_off_it_is_refused(door: str, body: dict[str, Any]) -> None:
    cluster = FakeCluster(web={PICTURE: Modality.IMAGE})
    stage = Stage([Reply("hi")], cluster=cluster, settings=Settings(links="off"))
    async with doors(stage) as http:
        answer = await http.post(door, json=body)
    assert answer.status_code in (RequestError.status, 422)
    assert "here links are not fetched" in answer.json()["error"]["message"]
    assert not cluster.read
    assert not stage.planner.asked


async def test_the_words_of_a_direct_call_are_words_though_they_are_a_link(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="short")
        answer = await here.client.post("/pipeline/summarization", json={"inputs": "https://site.example/a"})
        assert answer.status_code == 200, answer.text
        assert not here.stage.cluster.read
        (called,) = here.stage.cluster.calls
        (source,) = called.call.sources
        assert source.startswith("/files/")


async def test_the_file_of_a_direct_call_may_be_a_link() -> None:
    cluster = FakeCluster(answers, web={PICTURE: Modality.IMAGE})
    stage = Stage([], cluster=cluster)
    plan = [{"task": "canny-control", "id": 0, "args": {"image": PICTURE}}]
    async with doors(stage) as http:
        answer = await http.post("/v1/runs", json={"plan": plan})
    assert answer.status_code == 200, answer.text
    (outcome,) = answer.json()["run"]["outcomes"]
    assert outcome["args"] == {"image": PATH}
    assert outcome["links"][0]["url"] == PICTURE
