"""Files of a run: named by paths, found and of the right kind before anything begins."""

from typing import Any

import pytest

from controller.errors import AttachmentError, RequestError
from controller.events import RunDone
from controller.outcome import Status
from controller.settings import Settings
from model_catalog.tasks import Modality
from tests.support.dispatching import ONE
from tests.support.fakes import FakeCluster, answers, died, virtual
from tests.support.stage import EDGES, Stage


def _one_file(task: str, argument: str, value: str, **more: str) -> dict[str, Any]:
    return {"task": task, "id": 0, "args": {argument: value, **more}}


@pytest.mark.parametrize(
    ("task", "argument", "path", "holds"),
    [
        ("canny-control", "image", "/images/x.png", Modality.IMAGE),
        ("audio-to-audio", "audio", "/audios/x.wav", Modality.AUDIO),
        ("audio-to-audio", "audio", "/videos/x.mp4", Modality.VIDEO),
        ("fill-mask", "text", f"/files/{'0' * 32}.txt", Modality.TEXT),
        ("fill-mask", "text", f"/files/{'0' * 32}.csv", Modality.TABLE),
        ("fill-mask", "text", f"/files/{'0' * 32}.json", Modality.DATA),
        ("tabular-classification", "table", f"/files/{'0' * 32}.csv", Modality.TABLE),
        ("tabular-classification", "table", f"/files/{'0' * 32}.txt", Modality.TEXT),
    ],
)
def test_a_file_is_named_by_its_path_and_may_hold_what_can_be_read_so(
    task: str, argument: str, path: str, holds: Modality
) -> None:
    @virtual
    async def scenario() -> None:
        for value in (path, f"http://127.0.0.1:8000{path}", f"http://gpu.example{path}"):
            stage = Stage(
                [_one_file(task, argument, value)], cluster=FakeCluster(answers, files={path: holds})
            )
            await stage.run("gpu.example:8000")
            done = stage.events[-1]
            assert isinstance(done, RunDone)
            assert done.outcomes[0].args == {argument: path}

    scenario()


@pytest.mark.parametrize(
    ("task", "argument", "holds"),
    [
        ("canny-control", "image", Modality.VIDEO),
        ("audio-to-audio", "audio", Modality.IMAGE),
        ("video-classification", "video", Modality.AUDIO),
        ("tabular-classification", "table", Modality.DATA),
    ],
)
def test_a_file_of_another_kind_is_refused_before_anything_begins(
    task: str, argument: str, holds: Modality
) -> None:
    @virtual
    async def scenario() -> None:
        cluster = FakeCluster(files={"/images/x.png": holds})
        wrong = _one_file(task, argument, "/images/x.png") | {"id": 7}
        stage = Stage([*ONE, wrong], cluster=cluster)
        with pytest.raises(AttachmentError, match=f"/images/x.png holds {holds}, but .* needs {argument}"):
            await stage.run()
        assert stage.failed().error.code == "invalid_attachment"
        assert stage.meter.runs[0][0] == "refused"
        assert stage.meter.tasks == []
        assert not cluster.calls

    scenario()


@virtual
async def test_of_a_plan_that_runs_while_it_is_written_a_task_without_its_file_fails_alone() -> None:
    needs = {"task": "image-classification", "id": 6, "args": {"image": "<GENERATED>-5"}}
    far = {"task": "canny-control", "id": 7, "args": {"image": "/../etc/passwd"}}
    stage = Stage([*ONE, EDGES, needs, far], streamed=True)
    await stage.run()
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    by_id = {outcome.id: outcome for outcome in done.outcomes}
    assert [by_id[n].status for n in (0, 5, 6, 7)] == [
        Status.DONE, Status.FAILED, Status.SKIPPED, Status.FAILED
    ]  # fmt: skip
    assert by_id[5].error is not None
    assert by_id[5].error.code == "invalid_attachment"
    assert "There is no file '/images/x.png' here" in by_id[5].error.message
    assert stage.kinds().count("task.failed") == 2


@virtual
async def test_where_no_task_has_its_file_the_request_is_refused() -> None:
    needs = {"task": "image-classification", "id": 6, "args": {"image": "<GENERATED>-5"}}
    stage = Stage([EDGES, needs], streamed=True)
    with pytest.raises(AttachmentError, match=r"There is no file '/images/x\.png' here"):
        await stage.run()
    assert stage.failed().error.code == "invalid_attachment"


@virtual
async def test_a_file_that_is_not_there_or_not_here_is_refused() -> None:
    stage = Stage([EDGES])
    with pytest.raises(AttachmentError, match=r"There is no file '/images/x\.png' here"):
        await stage.run()
    far = EDGES | {"args": {"image": "http://example.com/x.png"}}
    elsewhere = Stage([far], settings=Settings(links="off"))
    with pytest.raises(RequestError, match="on another host"):
        await elsewhere.run()
    assert elsewhere.failed().error.code == "invalid_attachment"


@virtual
async def test_a_store_that_is_down_is_not_the_requests_fault() -> None:
    stage = Stage([EDGES], cluster=FakeCluster(stat_error=died()))
    with pytest.raises(type(died())):
        await stage.run()
    assert stage.failed().error.code == "replica_died"
    assert stage.meter.runs[0][0] == "failed"
