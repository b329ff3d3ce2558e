"""Stored files at the door: their own names, versions, ranges, lives, and whose they are."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from controller.api.app import Backend, build
from controller.api.files import _disposition
from controller.handles import ServeStore
from controller.identity import Caller, Scope, calling
from deployments.account import Artifact
from deployments.account import Stored as Described
from deployments.artifacts import Artifacts
from deployments.storage import Keeping
from model_catalog.tasks import Modality
from tests.api.doors import Stored, asked, doors
from tests.deployments.samples import PICTURES
from tests.support.stage import Stage

PNG = PICTURES["image/png"]
ALICE, BOB = (Caller(name, frozenset({Scope.RUN, Scope.FILES})) for name in ("alice", "bob"))
ROOT = Caller("root")


async def _upload(
    http: httpx2.AsyncClient, name: str = "a.png", data: bytes = PNG, fields: Any = None
) -> Any:
    answer = await http.post("/v1/files", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.png", PNG, 'inline; filename="a.png"'),
        ("my notes.txt", b"words", 'attachment; filename="my notes.txt"'),
        (
            "Grüße 絵.png",
            PNG,
            "inline; filename=\"Gr__e _.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%E7%B5%B5.png",
        ),
    ],
)
async def test_a_file_is_saved_under_its_own_name(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    async with doors(Stage(), tmp_path) as http:
        uploaded = await _upload(http, name, data)
        assert (await http.get(uploaded["path"])).headers["content-disposition"] == told
        address = f"/v1/files/{uploaded['id']}"
        assert (await http.get(address)).json()["filename"] == uploaded["filename"] == name
        assert (await http.get(f"{address}/content")).headers["content-disposition"] == told


def test_no_name_breaks_out_of_its_header() -> None:
    picture = Artifact(
        path=f"/images/{'a' * 32}.png", modality=Modality.IMAGE, media_type="image/png", size=1
    )
    told = _disposition(Described(artifact=picture, name='50%";x=\\.png'))
    assert told == "inline; filename=\"50__;x=_.png\"; filename*=UTF-8''50%25%22%3Bx%3D%5C.png"


async def test_versions_are_the_bytes(tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        first, second = [(await _upload(http))["path"] for _ in range(2)]
        other = (await _upload(http, "a.txt", b"0123456789"))["path"]
        tags = [(await http.head(path)).headers["etag"] for path in (first, second, other)]
        assert tags[0] == tags[1] != tags[2]
        for sent, status in ((tags[0], 304), (f'"x", W/{tags[0]}', 304), (tags[2], 200)):
            assert (await http.get(first, headers={"if-none-match": sent})).status_code == status
        for condition, status, body in ((tags[2], 206, b"234"), (tags[0], 200, b"0123456789")):
            answer = await http.get(other, headers={"range": "bytes=2-4", "if-range": condition})
            assert (answer.status_code, answer.content) == (status, body)


async def test_a_file_may_be_given_a_shorter_life(tmp_path: Path) -> None:
    async with doors(Stage(), tmp_path) as http:
        told = await _upload(
            http, fields={"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
        )
        assert told["expires_at"] == pytest.approx(time.time() + 3600, abs=60)
        assert (await _upload(http))["expires_at"] is None
        age = (await http.get(told["path"])).headers["cache-control"]
        assert 3500 < int(age.partition("max-age=")[2].partition(",")[0]) <= 3600
        for wrong in (
            {"expires_after[seconds]": "soon"},
            {"expires_after[seconds]": "0"},
            {"expires_after[anchor]": "yesterday", "expires_after[seconds]": "60"},
        ):
            answer = await http.post("/v1/files", files={"file": ("a.png", PNG)}, data=wrong)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_after")


async def test_a_full_store_is_told(tmp_path: Path) -> None:
    stage = Stage()
    store: Any = Artifacts(str(tmp_path), keeping=Keeping(most=len(PNG) - 1))
    transport = httpx2.ASGITransport(app=build(Backend(stage.controller, store)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        answer = await http.post("/v1/files", files={"file": ("a.png", PNG)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")


class _Handle:
    """A Serve handle of a plain store."""

    def __init__(self, store: Artifacts) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return SimpleNamespace(remote=lambda *given: asyncio.ensure_future(method(*given)))


async def test_everybody_has_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Artifacts(str(tmp_path))
    monkeypatch.setattr("controller.handles.serve.get_app_handle", lambda _: _Handle(files))
    stage = Stage(cluster=Stored())
    transport = httpx2.ASGITransport(app=build(Backend(stage.controller, ServeStore())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        made: dict[Caller, Any] = {}
        for who in (ALICE, BOB):
            with calling(who):
                made[who] = await _upload(http, f"{who.owner}.png")
        for who, others in ((ALICE, BOB), (BOB, ALICE)):
            mine, theirs = made[who], made[others]
            with calling(who):
                assert [one["id"] for one in (await http.get("/v1/files")).json()["data"]] == [mine["id"]]
                assert (await http.get(mine["path"])).content == PNG
                for path in (
                    theirs["path"],
                    f"/v1/files/{theirs['id']}",
                    f"/v1/files/{theirs['id']}/content",
                ):
                    assert (await http.get(path)).status_code == 404
                assert (await http.delete(f"/v1/files/{theirs['id']}")).status_code == 404
                after = await http.get("/v1/files", params={"after": theirs["id"]})
                assert after.status_code == 400
                assert (await http.get("/examples/sign.png")).status_code == 200
        with calling(ROOT):
            assert len((await http.get("/v1/files")).json()["data"]) == 2
            assert (await http.delete(f"/v1/files/{made[BOB]['id']}")).status_code == 200
        with calling(ALICE):
            assert (await http.get(made[ALICE]["path"])).content == PNG


async def test_a_message_brings_nobody_anothers_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Artifacts(str(tmp_path))
    monkeypatch.setattr("controller.handles.serve.get_app_handle", lambda _: _Handle(files))
    store = ServeStore()
    stage = Stage(cluster=Stored(store_of_files=store))  # type: ignore[arg-type]
    transport = httpx2.ASGITransport(app=build(Backend(stage.controller, store)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        with calling(ALICE):
            path = (await _upload(http))["path"]
        with calling(BOB):
            refused = await http.post("/v1/runs", json=asked(attachments=[path]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_attachment")
