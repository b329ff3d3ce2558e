"""Web links of a run: fetched before anything begins, told in outcomes and answers, and refused in words."""

from typing import Any

import pytest

from controller.errors import AttachmentError
from controller.events import RunDone
from controller.files import elsewhere
from controller.outcome import Link, Outcome, Status
from controller.settings import Settings
from deployments.errors import LinkError, TooLargeError
from model_catalog.tasks import Modality
from tests.support.answers import ENGLISH, FRENCH, answer_to, done, raw_task
from tests.support.dispatching import ONE
from tests.support.fakes import FakeCluster, answers, died, virtual
from tests.support.stage import EDGES, Stage

PAGE = "https://site.example/a"
PICTURE = "https://site.example/a.png"
TEXTS = (Modality.TEXT, Modality.TABLE, Modality.DATA)
OFF = Settings(links="off")


def _task(number: int, task: str, **args: str) -> dict[str, Any]:
    return {"task": task, "id": number, "args": args}


def _path(number: int) -> str:
    return f"/files/{number:032x}.txt"


def _outcomes(stage: Stage) -> tuple[Outcome, ...]:
    ended = stage.events[-1]
    assert isinstance(ended, RunDone)
    return ended.outcomes


@virtual
async def test_a_link_becomes_a_stored_file_which_the_task_works_on() -> None:
    cluster = FakeCluster(answers, web={PAGE: Modality.TEXT, PICTURE: Modality.IMAGE})
    stage = Stage(
        [_task(0, "fill-mask", text=f" {PAGE} "), _task(1, "canny-control", image=PICTURE)], cluster=cluster
    )
    await stage.run()
    page, picture = _outcomes(stage)
    assert page.status is picture.status is Status.DONE
    assert page.args == {"text": _path(1)}
    assert page.links == (
        Link(argument="text", url=PAGE, source=f"{PAGE}#end", path=_path(1), title="A title"),
    )
    assert picture.args == {"image": _path(2)}
    assert cluster.read == [(PAGE, TEXTS), (PICTURE, (Modality.IMAGE,))]
    fetched = {source for called in cluster.calls for source in called.call.sources}
    assert fetched == {_path(1), _path(2)}


@virtual
async def test_a_link_that_two_tasks_name_is_fetched_once() -> None:
    for streamed in (False, True):
        cluster = FakeCluster(answers, web={PAGE: Modality.TEXT})
        steps = [_task(0, "fill-mask", text=PAGE), _task(1, "text-classification", text=PAGE)]
        stage = Stage(steps, streamed=streamed, cluster=cluster)
        await stage.run()
        assert cluster.read == [(PAGE, TEXTS)]
        assert [outcome.args for outcome in _outcomes(stage)] == [{"text": _path(1)}] * 2


@pytest.mark.parametrize(
    ("task", "args"),
    [
        ("visual-question-answering", {"image": "/images/x.png", "text": PAGE}),  # a question
        ("fill-mask", {"text": f"{PAGE} is [MASK]"}),  # words with a link in them
        ("fill-mask", {"text": "site.example/a"}),
        ("zero-shot-classification", {"text": "words", "labels": PAGE}),
        ("translation", {"text": "words", "target_language": PAGE}),
        ("question-answering", {"context": "words", "question": PAGE}),
        ("fill-mask", {"text": "http://127.0.0.1:8000/page"}),
    ],
)
def test_words_that_are_no_link_to_work_on_stay_words(task: str, args: dict[str, str]) -> None:
    @virtual
    async def scenario() -> None:
        cluster = FakeCluster(answers, files={"/images/x.png": Modality.IMAGE})
        stage = Stage([_task(0, task, **args)], cluster=cluster)
        await stage.run()
        assert not cluster.read
        assert _outcomes(stage)[0].args == args

    scenario()


@pytest.mark.parametrize("raw", [_task(0, "fill-mask", text=PAGE), _task(0, "canny-control", image=PICTURE)])
def test_where_links_are_not_fetched_one_is_refused_with_what_to_do(raw: dict[str, Any]) -> None:
    @virtual
    async def scenario() -> None:
        cluster = FakeCluster(answers)
        stage = Stage([raw], cluster=cluster, settings=OFF)
        with pytest.raises(AttachmentError, match=r"is on another host, and here links are not .* /v1/files"):
            await stage.run()
        assert not cluster.read
        assert not cluster.calls

    scenario()


@pytest.mark.parametrize("error", [LinkError("It is no web address."), TooLargeError("It is too large.")])
def test_a_link_that_gives_nothing_refuses_the_request_before_anything_begins(error: Exception) -> None:
    @virtual
    async def scenario() -> None:
        cluster = FakeCluster(answers, web={PICTURE: error})
        stage = Stage([*ONE, EDGES | {"args": {"image": PICTURE}}], cluster=cluster)
        with pytest.raises(AttachmentError, match=f"The link '{PICTURE}' was not read. It is") as caught:
            await stage.run()
        assert caught.value.status == 422
        assert stage.failed().error.code == "invalid_attachment"
        assert not cluster.calls

    scenario()


@virtual
async def test_of_a_plan_that_runs_while_it_is_written_a_task_without_its_link_fails_alone() -> None:
    cluster = FakeCluster(answers, web={PICTURE: LinkError("It is no web address.")})
    stage = Stage([*ONE, EDGES | {"args": {"image": PICTURE}}], streamed=True, cluster=cluster)
    await stage.run()
    assert [outcome.status for outcome in _outcomes(stage)] == [Status.DONE, Status.FAILED]


@virtual
async def test_links_that_cannot_be_fetched_now_are_not_the_requests_fault() -> None:
    stage = Stage([EDGES | {"args": {"image": PICTURE}}], cluster=FakeCluster(web={PICTURE: died()}))
    with pytest.raises(type(died())):
        await stage.run()
    assert stage.meter.runs[0][0] == "failed"


def test_only_links_to_others_are_elsewhere() -> None:
    for link in (PAGE, "HTTP://site.example", "http://127.0.0.1@site.example/", "http://[", "http://"):
        assert elsewhere(link, "gpu.example:8000")
    for own in ("http://localhost/x", "https://gpu.example/images/x.png", "/images/x.png", "ftp://x/y", "x"):
        assert not elsewhere(own, "gpu.example:8000")


def test_the_answer_says_which_links_were_read() -> None:
    links = (
        Link(argument="text", url=PAGE, source=PAGE, path=_path(1)),
        Link(argument="text", url=PICTURE, source=PAGE, path=_path(2), cut=True),
    )
    raws = [raw_task("summarization", 0, text=_path(1))]
    outcome = done(0, "summarization", "short", links=links)
    assert f"Read from the web: “{PAGE}” and “{PICTURE}” (its beginning)." in answer_to(
        raws, outcome, request=ENGLISH
    )
    assert "Lu sur le web" in answer_to(raws, outcome, request=FRENCH)
