"""Results and their accounts."""

import dataclasses

import numpy as np

from deployments.account import Account, Artifact
from deployments.media import Audio, Image, Table, Video
from deployments.result import Call, Input, Result
from model_catalog.tasks import TASKS, Modality

FULL = Result(
    text="words",
    data=[{"label": "cat", "score": 0.5}],
    image=Image(np.zeros((1, 1), np.uint8)),
    audio=Audio(np.zeros(1, np.float32), 8000),
    video=Video(np.zeros((1, 1, 1, 3), np.uint8), 1.0),
    table=Table(("a",), ()),
    run="run-1",
    model="test/m",
    started=1.0,
    finished=2.5,
)


def test_a_result_offers_each_value_under_its_modality() -> None:
    assert [FULL.value(modality) for modality in Modality] == [
        FULL.text,
        FULL.image,
        FULL.audio,
        FULL.video,
        FULL.table,
        FULL.data,
    ]
    assert all(Result().value(modality) is None for modality in Modality)


def test_the_account_of_a_result_is_small_and_json() -> None:
    artifact = Artifact(path="/images/x.png", modality=Modality.IMAGE, media_type="image/png", size=3)
    account = Account.of(FULL, (artifact,))
    assert Account.model_validate_json(account.model_dump_json()) == account
    assert account.model_dump() == {
        "text": "words",
        "data": [{"label": "cat", "score": 0.5}],
        "artifacts": ({"path": "/images/x.png", "modality": "image", "media_type": "image/png", "size": 3},),
        "model": "test/m",
        "started": 1.0,
        "finished": 2.5,
    }
    assert len(account.model_dump_json()) < 300


def test_what_tasks_offer_has_a_place_in_a_result() -> None:
    fields = {field.name for field in dataclasses.fields(Result)}
    assert {modality.value for row in TASKS.values() for modality in row.outputs} <= fields


def test_a_text_that_is_absent_is_empty() -> None:
    item = Input("image-to-image", {"image": FULL.image, "text": "x"})
    assert (item.text(), item.text("image"), item.text("other")) == ("x", "", "")


def test_a_call_has_no_sources_and_no_deadline_of_its_own() -> None:
    call = Call("run", "fill-mask", 0, {"text": "x"})
    assert (call.sources, call.deadline) == ((), None)
