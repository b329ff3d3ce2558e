"""Files in every kind of storage: kept once, found again, and whose they are."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from deployments.errors import FleetError, FullError, MediaError, NotFoundError, StorageError
from deployments.media import File, Image
from deployments.records import Records, new, owned
from deployments.result import Result
from deployments.storage import Bucket, Folder, storage, vet
from model_catalog.tasks import Modality
from tests.deployments.samples import PICTURES, gradient
from tests.support.buckets import BUCKET, HOUR, SIMPLE, Store, emptied, later, upload
from tests.support.stored import kept

PNG = PICTURES["image/png"]


# One file ----------------------------------------------------------------------------------------------


async def test_a_file_is_kept_found_and_removed(store: Store) -> None:
    before = time.time()
    path = await upload(store, PNG, "Ein Bild – 絵.png")
    again = Store(store.home, store.asked)
    for one in (store, again):
        assert await one.fetch(path) == File(PNG, "image/png")
        assert await one.read(path, 10, 20) == PNG[10:30]
        assert await one.read(path, len(PNG) - 3, 20) == PNG[-3:]
        assert await one.read(path, len(PNG), 20) == b""
        found = await one.find(Path(path).stem)
        assert found == await one.about(path)
        assert (found.artifact, found.name) == (await one.stat(path), "Ein Bild – 絵.png")
        assert (found.artifact.modality, found.artifact.size) == (Modality.IMAGE, len(PNG))
        assert before - 0.001 <= found.created <= time.time()
        assert found.expires is None
        assert await one.listed(10) == ([found], False)
    await store.remove(path)
    assert store.objects() == []
    for answer in (store.stat(path), store.fetch(path), store.read(path, 0, 1), store.remove(path)):
        with pytest.raises(NotFoundError, match="There is no file"):
            await answer
    with pytest.raises(NotFoundError):
        await again.fetch(path)


@SIMPLE
async def test_results_are_kept_for_who_asked(store: Store) -> None:
    account = await store.store(Result(image=Image(gradient()), run="run-1"), "alice")
    (made,) = account.artifacts
    assert await store.stat(made.path, "alice") == made
    assert (await store.about(made.path)).name == ""
    with pytest.raises(NotFoundError):
        await store.fetch(made.path, "bob")


@SIMPLE
async def test_a_file_that_comes_by_reference_is_checked_and_kept(store: Store) -> None:
    kept = await store.keep(File(b"a,b\n1,2\n", "text/plain"), "table.csv", "alice")
    assert (kept.media_type, (await store.about(kept.path, "alice")).name) == ("text/csv", "table.csv")
    for wrong, name in ((b"", "a.txt"), (b"words", "a.png"), (PNG[:40], "a.png")):
        with pytest.raises(MediaError):
            await store.keep(File(wrong, "image/png"), name)
    assert len(store.objects()) == 2, "bytes and a record"


async def test_the_same_bytes_lie_there_once(store: Store) -> None:
    paths = [await upload(store, PNG, owner=owner) for owner in ("alice", "bob", "bob")]
    assert len(set(paths)) == 3
    blobs = [key for key in store.objects() if "." not in key]
    assert [re.fullmatch(r"blobs/([0-9a-f]{2})/\1[0-9a-f]{62}", key) is not None for key in blobs] == [True]
    again = Store(store.home, store.asked)
    assert store._shelf.records.total == again._shelf.records.total == len(PNG)
    for path in paths:
        assert (await again.fetch(path)).data == PNG
        await again.remove(path)
    assert store.objects() == []
    assert again._shelf.records.total == 0


# Owners ------------------------------------------------------------------------------------------------


@SIMPLE
async def test_nobody_is_told_of_anothers_files(store: Store) -> None:
    mine, others = await upload(store, PNG, owner="alice"), await upload(store, b"words", owner="bob")
    operators = await upload(store, b"more words")
    for path in (others, operators):
        for answer in (
            store.stat(path, "alice"),
            store.about(path, "alice"),
            store.find(Path(path).stem, "alice"),
            store.fetch(path, "alice"),
            store.read(path, 0, 1, "alice"),
            store.remove(path, "alice"),
        ):
            with pytest.raises(NotFoundError) as caught:
                await answer
            gone = caught.value.message.replace(path, "").replace(Path(path).stem, "")
            assert gone in (
                "There is no file '' here; upload it with POST /v1/files and use its url.",
                "There is no file '' here; upload it with POST /v1/files.",
            )
    assert (await store.fetch(mine, "alice")).data == PNG
    assert (await store.stat("/examples/sign.png", "alice")).modality is Modality.IMAGE
    for owner, seen in (
        ("alice", {mine}),
        ("bob", {others}),
        ("", {operators}),
        (None, {mine, others, operators}),
    ):
        assert {one.artifact.path for one in (await store.listed(10, owner=owner))[0]} == seen
    await store.remove(others)
    assert len((await store.listed(10))[0]) == 2


@SIMPLE
async def test_pages_hold_ones_own_files_in_their_order(store: Store) -> None:
    records = store._shelf.records
    for number in range(30):
        record = new("text/plain", 1, f"{number:064x}", "alice" if number % 3 else "bob", "")
        record.created = 1000.0 + number // 2  # two at a time
        records.add(record)
    for owner, count in (("alice", 20), ("bob", 10), (None, 30)):
        for newest in (True, False):
            seen: list[str] = []
            while True:
                page, more = await store.listed(7, seen[-1] if seen else "", newest, owner)
                seen += [Path(one.artifact.path).stem for one in page]
                if not more:
                    break
                assert len(page) == 7
            keys = [(records.get(one).created, one) for one in seen]  # type: ignore[union-attr]
            assert keys == sorted(keys, reverse=newest)
            assert len(set(seen)) == count


# The index ---------------------------------------------------------------------------------------------


@SIMPLE
async def test_nothing_is_read_to_find_list_and_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [await upload(store, f"{number}".encode(), f"{number % 2 or ''}") for number in range(10)]
    again = Store(store.home, store.asked)
    read: list[str] = []
    kind = type(store._shelf.storage)
    whole = kind.read

    def counted(self: Any, key: str, start: int = 0, end: int | None = None) -> bytes:
        read.append(key)
        return whole(self, key, start, end)

    def listed(self: Any) -> Any:
        raise AssertionError("the storage was listed")

    monkeypatch.setattr(kind, "read", counted)
    monkeypatch.setattr(kind, "listed", listed)
    for path in paths:
        await again.stat(path)
    await again.sweep()
    assert read == []
    page, _ = await again.listed(10)
    assert sorted(one.name for one in page) == [*[""] * 5, *["1"] * 5]
    assert len(read) == 5, "names alone are read, once"
    assert (await again.listed(10))[0] == page
    await again.find(Path(paths[1]).stem)
    assert len(read) == 5


async def test_of_a_range_only_its_bytes_are_read(
    tmp_path: Path, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied(service)
    store = Store(tmp_path, f"s3://{BUCKET}")
    path = await upload(store, b"0123456789" * 1000, "a.txt")
    bucket = store._shelf.storage
    assert isinstance(bucket, Bucket)
    given: list[int] = []
    cat = bucket._files.cat_file

    def counted(*args: Any, **more: Any) -> bytes:
        data: bytes = cat(*args, **more)
        given.append(len(data))
        return data

    monkeypatch.setattr(bucket._files, "cat_file", counted)
    assert await store.read(path, 5003, 10) == b"3456789012"
    assert given == [10]


def test_a_full_index_stays_quick() -> None:
    records = Records(30 * 86_400, 1 << 60)
    now = time.time()
    many = [new("image/png", 1000, f"{number:064x}", f"key{number % 50}", "") for number in range(10_000)]
    for number, record in enumerate(many):
        record.created = now - number
    began = time.perf_counter()
    records.add(*many)
    for record in many[:1000]:
        records.page(100, "", True, None, now)
        records.over(now)
        assert records.get(record.id) is record
    for owner in range(50):
        assert len(records.page(100, "", True, owned(f"key{owner}"), now)[0]) == 100
    for record in many:
        records.drop(record.id)
    took = time.perf_counter() - began
    assert (len(records), records.total) == (0, 0)
    assert took < 5, "0.2 s on two cores"


# Release 0.1 -------------------------------------------------------------------------------------------


@SIMPLE
async def test_files_of_release_0_1_are_still_there(
    place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {f"/images/{'a' * 32}.png": PNG, f"/files/{'b' * 32}.csv": b"a,b\n1,2\n"}
    _former(tmp_path, old)
    store = Store(tmp_path, place, life_s=HOUR)
    assert not (tmp_path / "uploads" / ("c" * 32)).exists(), "what was never finished is gone"
    later(monkeypatch, 2 * HOUR)
    await store.sweep()
    for path, data in old.items():
        assert (await store.fetch(path)).data == data
        assert await store.read(path, 1, 3) == data[1:4]
        found = await store.find(Path(path).stem)
        assert (found.artifact.path, found.artifact.size, found.expires) == (path, len(data), None)
        with pytest.raises(NotFoundError):
            await store.stat(path, "alice")
    assert len((await store.listed(10))[0]) == 2
    for path in old:
        await store.remove(path)
    assert [path.name for path in kept(tmp_path) if path.parent.name in ("images", "files")] == ["notes.txt"]


def _former(home: Path, files: dict[str, bytes]) -> None:
    """Make a folder as release 0.1 left it."""
    for path, data in files.items():
        (home / path[1:]).parent.mkdir()
        (home / path[1:]).write_bytes(data)
    (home / "images" / "notes.txt").write_text("none of ours")
    (home / "uploads").mkdir()
    (home / "uploads" / ("c" * 32)).write_bytes(PNG)


# Storages ----------------------------------------------------------------------------------------------


def test_a_storage_is_a_folder_or_a_url(tmp_path: Path) -> None:
    for named in (str(tmp_path / "a"), f"file://{tmp_path / 'a'}", f"local://{tmp_path / 'a'}"):
        found = storage(named)
        assert isinstance(found, Folder)
        assert found.root == tmp_path / "a"


def test_a_storage_that_cannot_be_used_says_why(service: Any) -> None:
    with pytest.raises(FleetError, match="fsspec knows no such protocol"):
        vet("nowhere://x")
    with pytest.raises(FleetError, match="adlfs"):
        vet("abfs://box@account.dfs.core.windows.net/x")
    vet("/just/a/folder")
    with pytest.raises(StorageError, match=r"no 'absent' to store files in .*; create it first"):
        storage("s3://absent/x")


@pytest.mark.parametrize("place", ["memory"], indirect=True)
async def test_a_storage_that_fails_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await upload(store, PNG)
    assert isinstance(store._shelf.storage, Bucket)

    def fails(*_: Any, **__: Any) -> bytes:
        raise ConnectionError("secret.example.org does not answer")

    for name in ("cat_file", "pipe_file", "put_file", "rm_file"):
        monkeypatch.setattr(store._shelf.storage._files, name, fails)
    for answer in (
        store.fetch(path),
        store.remove(path),
        upload(store, b"words"),
        store.keep(File(b"x", "")),
    ):
        with pytest.raises(StorageError, match=r"failed \(ConnectionError\); try again soon") as caught:
            await answer
        assert caught.value.status == 503
        assert "secret" not in caught.value.message


async def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, None)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FullError, match="disk"):
        await store.keep(File(b"words", "text/plain"))
    assert store.objects() == []
