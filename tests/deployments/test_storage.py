"""Files in every kind of storage: kept once, found again, owned, expired, bounded, whole after a crash."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest

from deployments import shelf
from deployments.artifacts import Artifacts
from deployments.errors import FleetError, FullError, MediaError, NotFoundError, StorageError
from deployments.media import File, Image
from deployments.records import Records, new, owned
from deployments.result import Result
from deployments.storage import Bucket, Folder, Keeping, storage, vet
from model_catalog.tasks import Modality
from tests.deployments.samples import PICTURES, gradient
from tests.support.buckets import BUCKET, emptied, objects, s3
from tests.support.stored import kept

PNG = PICTURES["image/png"]
HOUR = 3600.0
SIMPLE = pytest.mark.parametrize("place", ["folder", "memory"], indirect=True)
"""For tests whose point is not the storage, since moto's takes its time."""


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with s3() as client:
        yield client


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """Where files are stored: an empty storage of each kind."""
    if request.param == "s3":
        emptied(request.getfixturevalue("service"))
        yield f"s3://{BUCKET}/deep/er"
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}"
        files = fsspec.filesystem("memory")
        if files.exists(f"/{tmp_path.name}"):
            files.rm(f"/{tmp_path.name}", recursive=True)
    else:
        yield None


class Store(Artifacts):
    """A store that says what it holds."""

    def __init__(self, home: Path, place: str | None, life_s: float = 0.0, most: int = 1 << 40) -> None:
        super().__init__(str(home), keeping=Keeping(place, life_s, most))
        self.home, self.asked = home, place

    def objects(self) -> list[str]:
        """Every object of its storage."""
        return objects(self.asked, self.home)


@pytest.fixture
def store(place: str | None, tmp_path: Path) -> Store:
    return Store(tmp_path, place)


async def _upload(store: Artifacts, data: bytes, name: str = "", owner: str = "", **more: Any) -> str:
    ticket = await store.begin()
    await store.append(ticket, data)
    return (await store.finish(ticket, name, owner, **more)).path


def _later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let that time pass."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


# One file ----------------------------------------------------------------------------------------------


async def test_a_file_is_kept_found_and_removed(store: Store) -> None:
    before = time.time()
    path = await _upload(store, PNG, "Ein Bild – 絵.png")
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
    paths = [await _upload(store, PNG, owner=owner) for owner in ("alice", "bob", "bob")]
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
    mine, others = await _upload(store, PNG, owner="alice"), await _upload(store, b"words", owner="bob")
    operators = await _upload(store, b"more words")
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


# Times and bounds --------------------------------------------------------------------------------------


async def test_files_are_gone_when_their_time_is_over(
    place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, place, life_s=2 * HOUR)
    usual, short = await _upload(store, PNG), await _upload(store, b"words", "a.txt", life_s=HOUR)
    assert (await store.about(usual)).expires == pytest.approx(time.time() + 2 * HOUR, abs=60)
    assert (await store.about(short)).expires == pytest.approx(time.time() + HOUR, abs=60)
    await store.sweep()
    assert len(store.objects()) == 4
    _later(monkeypatch, HOUR + 2)
    with pytest.raises(NotFoundError):
        await store.fetch(short)
    assert [one.artifact.path for one in (await store.listed(10))[0]] == [usual]
    await store.sweep()
    assert len(store.objects()) == 2
    _later(monkeypatch, HOUR)
    again = Store(tmp_path, place, life_s=2 * HOUR)
    for one in (store, again):
        with pytest.raises(NotFoundError):
            await one.stat(usual)
        assert await one.listed(10) == ([], False)
    await again.sweep()
    assert store.objects() == []


async def test_health_checks_sweep_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, None, life_s=HOUR)
    await _upload(store, PNG)
    _later(monkeypatch, 2 * HOUR)
    await store.check_health()
    assert len(store.objects()) == 2, "not at once"
    store._swept -= HOUR
    await store.check_health()
    assert store._sweeping is not None
    await store._sweeping
    assert store.objects() == []


async def test_what_a_sweep_cannot_remove_it_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, None, life_s=HOUR)
    path = await _upload(store, PNG)
    _later(monkeypatch, 2 * HOUR)
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "drop", _fails)
        await store.sweep()
    assert len(store.objects()) == 2
    with pytest.raises(NotFoundError):
        await store.stat(path)
    await store.sweep()
    assert store.objects() == []


def _fails(*_: Any) -> None:
    raise StorageError("The storage failed.")


@SIMPLE
async def test_the_store_takes_so_many_bytes_and_no_more(place: str | None, tmp_path: Path) -> None:
    store = Store(tmp_path, place, most=1000)
    first = await _upload(store, b"a" * 600)
    same = await store.keep(File(b"a" * 600, "text/plain"))  # takes no room
    for refused in (_upload(store, b"b" * 401), store.keep(File(b"b" * 401, "text/plain"))):
        with pytest.raises(FullError, match=r"artifact_bytes.*DELETE /v1/files") as caught:
            await refused
        assert (caught.value.status, caught.value.code) == (507, "storage_full")
    with pytest.raises(FullError):
        await store.store(Result(image=Image(gradient(200, 200))))
    assert not store._uploads
    await _upload(store, b"c" * 400)
    await store.remove(first)
    with pytest.raises(FullError):
        await _upload(store, b"d")
    await store.remove(same.path)
    await _upload(store, b"d" * 600)
    assert len(store.objects()) == 4


async def test_uploads_under_way_take_room_too(tmp_path: Path) -> None:
    store = Store(tmp_path, None, most=1000)
    tickets = [await store.begin() for _ in range(3)]
    for ticket in tickets[:2]:
        await store.append(ticket, b"a" * 400)
    with pytest.raises(FullError):
        await store.append(tickets[2], b"a" * 400)
    assert len(store._uploads) == 2, "it is given up"


async def test_what_is_over_its_time_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, None, life_s=HOUR, most=1000)
    await _upload(store, b"a" * 600)
    _later(monkeypatch, 2 * HOUR)
    path = await _upload(store, b"b" * 600)
    assert (await store.fetch(path)).data == b"b" * 600


async def test_no_two_stores_at_once_take_the_last_room(tmp_path: Path) -> None:
    store = Store(tmp_path, None, most=1000)
    texts = [File(str(number).encode() * 600, "text/plain") for number in range(8)]
    ends = await asyncio.gather(*(store.keep(text) for text in texts), return_exceptions=True)
    assert sum(not isinstance(end, BaseException) for end in ends) == 1
    assert sum(isinstance(end, FullError) for end in ends) == 7


# Crashes -----------------------------------------------------------------------------------------------


@SIMPLE
async def test_bytes_whose_record_was_never_written_are_swept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(store._shelf.storage)
    write = kind.write

    def dies(self: Any, key: str, data: bytes) -> None:
        if "." in key.rpartition("/")[2]:
            raise StorageError("The storage failed.")
        write(self, key, data)

    with monkeypatch.context() as dying:
        dying.setattr(kind, "write", dies)
        with pytest.raises(StorageError):
            await store.keep(File(b"words", "text/plain"))
    assert len(store.objects()) == 1
    assert await store.listed(10) == ([], False)
    again = Store(store.home, store.asked)
    monkeypatch.setattr(kind, "grace_s", 0.0)
    kept = await store.keep(File(b"words", "text/plain"))  # nobody trusts what was left
    await store.sweep()
    assert (await store.fetch(kept.path)).data == b"words"
    await store.remove(kept.path)
    with store._shelf.storage.guard("ab" * 32):
        store._shelf.storage.write(f"blobs/ab/{'ab' * 32}", b"half")
    await Store(store.home, store.asked).sweep()
    await again.sweep()
    assert store.objects() == []


@SIMPLE
async def test_a_record_without_its_bytes_is_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await _upload(store, PNG)
    record = store._shelf.records.get(Path(path).stem)
    assert record is not None
    store._shelf.storage.drop(record.blob)
    with pytest.raises(NotFoundError):
        await store.fetch(path)
    again = Store(store.home, store.asked)
    with pytest.raises(NotFoundError):
        await again.stat(path)
    monkeypatch.setattr(type(store._shelf.storage), "grace_s", 0.0)
    await again.sweep()
    assert store.objects() == []


@SIMPLE
async def test_a_store_that_is_young_finds_what_the_one_before_it_still_stores(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    younger = Store(store.home, store.asked)
    path = await _upload(store, PNG)
    assert (await younger.fetch(path)).data == PNG
    monkeypatch.setattr(shelf, "OVERLAP_S", -1.0)
    with pytest.raises(NotFoundError):
        await younger.fetch(await _upload(store, b"words"))


async def test_two_processes_in_one_folder_take_nothing_from_each_other(tmp_path: Path) -> None:
    stores = [Store(tmp_path, None), Store(tmp_path, None)]
    kept: list[str] = []

    async def work(store: Store, number: int) -> None:
        for turn in range(12):
            path = (await store.keep(File(b"the same %d" % (turn % 2), "text/plain"))).path
            if (turn + number) % 3:
                assert (await store.fetch(path)).data.startswith(b"the same")
                await store.remove(path)
            else:
                kept.append(path)

    await asyncio.gather(*(work(stores[number % 2], number) for number in range(6)))
    found = Store(tmp_path, None)
    for path in kept:
        assert (await found.fetch(path)).data.startswith(b"the same")
    assert len(found.objects()) == len(kept) + 2


# The index ---------------------------------------------------------------------------------------------


@SIMPLE
async def test_nothing_is_read_to_find_list_and_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [await _upload(store, f"{number}".encode(), f"{number % 2 or ''}") for number in range(10)]
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
    path = await _upload(store, b"0123456789" * 1000, "a.txt")
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
    _later(monkeypatch, 2 * HOUR)
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
    path = await _upload(store, PNG)
    assert isinstance(store._shelf.storage, Bucket)

    def fails(*_: Any, **__: Any) -> bytes:
        raise ConnectionError("secret.example.org does not answer")

    for name in ("cat_file", "pipe_file", "put_file", "rm_file"):
        monkeypatch.setattr(store._shelf.storage._files, name, fails)
    for answer in (
        store.fetch(path),
        store.remove(path),
        _upload(store, b"words"),
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
