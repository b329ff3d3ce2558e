"""Files come to an end: of their time, of the room for them, and of the process that stores them."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deployments import shelf
from deployments.errors import FullError, NotFoundError, StorageError
from deployments.media import File, Image
from deployments.result import Result
from deployments.storage import Folder
from tests.deployments.samples import PICTURES, gradient
from tests.support.buckets import HOUR, SIMPLE, Store, later, upload

PNG = PICTURES["image/png"]


# Times and bounds --------------------------------------------------------------------------------------


async def test_files_are_gone_when_their_time_is_over(
    place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, place, life_s=2 * HOUR)
    usual, short = await upload(store, PNG), await upload(store, b"words", "a.txt", life_s=HOUR)
    assert (await store.about(usual)).expires == pytest.approx(time.time() + 2 * HOUR, abs=60)
    assert (await store.about(short)).expires == pytest.approx(time.time() + HOUR, abs=60)
    await store.sweep()
    assert len(store.objects()) == 4
    later(monkeypatch, HOUR + 2)
    with pytest.raises(NotFoundError):
        await store.fetch(short)
    assert [one.artifact.path for one in (await store.listed(10))[0]] == [usual]
    await store.sweep()
    assert len(store.objects()) == 2
    later(monkeypatch, HOUR)
    again = Store(tmp_path, place, life_s=2 * HOUR)
    for one in (store, again):
        with pytest.raises(NotFoundError):
            await one.stat(usual)
        assert await one.listed(10) == ([], False)
    await again.sweep()
    assert store.objects() == []


async def test_health_checks_sweep_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, None, life_s=HOUR)
    await upload(store, PNG)
    later(monkeypatch, 2 * HOUR)
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
    path = await upload(store, PNG)
    later(monkeypatch, 2 * HOUR)
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
    first = await upload(store, b"a" * 600)
    same = await store.keep(File(b"a" * 600, "text/plain"))  # takes no room
    for refused in (upload(store, b"b" * 401), store.keep(File(b"b" * 401, "text/plain"))):
        with pytest.raises(FullError, match=r"artifact_bytes.*DELETE /v1/files") as caught:
            await refused
        assert (caught.value.status, caught.value.code) == (507, "storage_full")
    with pytest.raises(FullError):
        await store.store(Result(image=Image(gradient(200, 200))))
    assert not store._uploads
    await upload(store, b"c" * 400)
    await store.remove(first)
    with pytest.raises(FullError):
        await upload(store, b"d")
    await store.remove(same.path)
    await upload(store, b"d" * 600)
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
    await upload(store, b"a" * 600)
    later(monkeypatch, 2 * HOUR)
    path = await upload(store, b"b" * 600)
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
    path = await upload(store, PNG)
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
    path = await upload(store, PNG)
    assert (await younger.fetch(path)).data == PNG
    monkeypatch.setattr(shelf, "OVERLAP_S", -1.0)
    with pytest.raises(NotFoundError):
        await younger.fetch(await upload(store, b"words"))


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


_STORING = """
import asyncio, sys
from deployments.artifacts import Artifacts
from deployments.media import File

async def work(store, number):
    for turn in range(10**6):
        data = b"%d %d" % (turn % 5, number) * 1000
        kept = (await store.keep(File(data, "text/plain"), "a.txt")).path
        if turn % 3:
            await store.remove(kept)
        else:
            print(kept, flush=True)

async def main(store):
    await asyncio.gather(*(work(store, number) for number in range(4)))

asyncio.run(main(Artifacts(sys.argv[1])))
"""


def _killed(folder: Path, after: int) -> list[str]:
    """The paths of files that a process told to be stored, before it was killed in the middle."""
    command = [sys.executable, "-c", _STORING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    return [line.strip() for line in told if line.endswith("\n")]


async def test_a_process_that_is_killed_loses_nothing_that_it_told(tmp_path: Path) -> None:
    told: list[str] = []
    for after in (40, 7):
        told += await asyncio.to_thread(_killed, tmp_path, after)
    store = Store(tmp_path, None)
    for path in told:
        assert len((await store.fetch(path)).data) >= 3000
        assert (await store.about(path)).name == "a.txt"
    await store.sweep()
    records = [key for key in store.objects() if "." in key.rpartition("/")[2]]
    blobs = {key for key in store.objects() if key not in records}
    assert blobs == {key.partition(".")[0] for key in records}
    for one in (await store.listed(10_000))[0]:
        await store.remove(one.artifact.path)
    assert store.objects() == []
