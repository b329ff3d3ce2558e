"""The history deployment, on SQLite and on PostgreSQL alike."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import text

from deployments.errors import HistoryError
from deployments.history import keys, tables
from deployments.history.base import Base, clean
from deployments.history.engine import opened as connections
from deployments.history.engine import upgrade
from deployments.history.history import History
from deployments.history.records import Ended, Made, Record, Step, Talk, Tasked, Turn
from tests.support.histories import BEGAN, ago, begun, opened, rows, told

NOTHING = {"conversations": 0, "runs": 0, "messages": 0, "events": 0, "tasks": 0, "artifacts": 0}


async def test_what_is_written_comes_back(database: SecretStr) -> None:
    async with opened(database) as history:
        assert await history.write(told()) == frozenset()
        found = await history.entry("run-1")
        assert found is not None
        assert (found.state, found.words, found.created, found.ended) == ("done", "hello", BEGAN, BEGAN + 1)
        assert [step.data for step in await history.steps("run-1")] == [
            '{"text":"0"}', '{"text":"1"}', '{"text":"2"}'
        ]  # fmt: skip
        assert [step.number for step in await history.steps("run-1", 1)] == [2]
        assert await history.made("run-1") == ["/images/run-1.png"]
    async with opened(database) as history:  # a process later
        assert await history.entry("run-1") == found
        assert await history.entry("run-2") is None


async def test_a_group_may_be_sent_again(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.converse(Talk("conv", "", BEGAN))
        records = [begun(conversation="conv", said="hello", files=("/images/a.png",)), *told()[1:]]
        await history.write(records)
        once, turns = rows(history), await history.turns("conv", 10)
        for _ in range(3):
            await history.write(records)
        assert rows(history) == once == {
            "conversations": 1, "runs": 1, "messages": 2, "events": 3, "tasks": 1, "artifacts": 1
        }  # fmt: skip
        assert await history.turns("conv", 10) == turns
        assert [(turn.role, turn.content, turn.files) for turn in turns] == [
            ("user", "hello", ("/images/a.png",)),
            ("assistant", "All done.", ()),
        ]


async def test_what_is_known_of_a_task_grows(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.write([begun(), Tasked("run-1", 0, "fill-mask", wire={"id": 0})])
        await history.write([Tasked("run-1", 0, "fill-mask", model="test/a", choice={"model": "test/a"})])
        await history.write([Tasked("run-1", 0, "fill-mask", status="done", outcome={"text": "\x00 ok"})])
        with history._engine.connect() as connection:
            row = connection.execute(tables.Task.__table__.select()).mappings().one()
    assert (row["status"], row["model"]) == ("done", "test/a")
    assert (row["wire"], row["choice"], row["outcome"]) == (
        {"id": 0},
        {"model": "test/a"},
        {"text": "\x00 ok"},
    )


ODD = (
    "nul \x00 in it",
    "half \ud83d a character",
    "\U0001f642 ünïcode",
    "'; DROP TABLE runs; --",
    "x" * 200_000,
)


@pytest.mark.parametrize("words", ODD, ids=["nul", "surrogate", "unicode", "sql", "long"])
async def test_any_words_can_be_written(database: SecretStr, words: str) -> None:
    data = json.dumps({"text": words})
    async with opened(database) as history:
        await history.converse(Talk("conv", "", BEGAN, {"title": words}), [Turn("m", "user", words, BEGAN)])
        await history.write([begun(words=words, request={"text": words}), Step("run-1", 0, "x", data)])
        found = await history.entry("run-1")
        assert found is not None
        assert (found.words, found.request) == (clean(words), {"text": words})
        assert [step.data for step in await history.steps("run-1")] == [data]
        assert [turn.content for turn in await history.turns("conv", 10)] == [clean(words)]
        talk = await history.talk("conv")
        assert talk is not None
        assert talk.notes == {"title": words}


@pytest.mark.parametrize("name", ["nul\x00", "half \ud83d", "x" * 100_000, "", "%"])
async def test_any_name_can_be_asked_for(database: SecretStr, name: str) -> None:
    async with opened(database) as history:
        await history.write(told())
        assert await history.entry(name) is None
        assert await history.keyed("", name) is None
        assert await history.talk(name) is None
        assert len(await history.entries(None, 10, name)) == 1
        assert await history.talks(None, 10, name) == []
        assert await history.steps(name) == []
        assert not await history.forget(name)
        assert not await history.forget_conversation(name)


async def test_one_bad_run_spoils_no_other(database: SecretStr) -> None:
    bad = begun("run-2", owner=None)
    async with opened(database) as history:
        refused = await history.write([*told("run-1"), bad, Step("run-2", 0, "x", "{}"), *told("run-3")])
        assert refused == {"run-2"}
        assert {entry.id for entry in await history.entries(None, 10)} == {"run-1", "run-3"}
        assert rows(history)["events"] == 6


async def test_many_writers_share_commits_and_lose_nothing(database: SecretStr) -> None:
    async with opened(database) as history:
        await asyncio.gather(*(history.write(told(f"run-{number}")) for number in range(60)))
        assert rows(history)["runs"] == 60
        assert rows(history)["events"] == 180


# Ends ------------------------------------------------------------------------------------------------------


async def test_runs_of_an_ingress_that_is_gone_are_marked_and_a_late_end_wins(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.write([begun("lost"), begun("mine", instance="ingress-2"), *told("over")])
        assert await history.interrupt("ingress-2") == ["lost"]
        assert await history.interrupt("ingress-2") == []
        states = {entry.id: entry.state for entry in await history.entries(None, 10)}
        assert states == {"lost": "interrupted", "mine": "running", "over": "done"}
        lost = await history.entry("lost")
        assert lost is not None
        assert lost.ended is not None
        await history.write([Ended("lost", "done", BEGAN + 9, answer="after all")])
        lost = await history.entry("lost")
        assert lost is not None
        assert (lost.state, lost.ended) == ("done", BEGAN + 9)


async def test_forgetting_leaves_nothing_and_late_records_are_ignored(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.write(told())
        assert await history.forget("run-1")
        assert rows(history) == NOTHING
        assert not await history.forget("run-1")
        late: list[Record] = [
            Step("run-1", 9, "x", "{}"),
            Tasked("run-1", 1, "x"),
            Made("run-1", "/x", 0, "x", 1),
        ]
        assert await history.write([*late, Ended("run-1", "done", BEGAN)]) == frozenset()
        assert rows(history) == NOTHING


async def test_what_has_outlived_its_time_is_removed(database: SecretStr) -> None:
    async with opened(database, days=7) as history:
        old, new = ago(8), ago(6)
        await history.converse(Talk("resting", "", old))
        await history.converse(Talk("alive", "", old))
        await history.write(
            [
                begun("old", created=old),
                begun("new", created=new),
                begun("resting-run", created=old, conversation="resting", said="x"),
                begun("alive-run", created=old, conversation="alive", said="x"),
            ]
        )
        await history.write([begun("alive-later", created=new, conversation="alive", said="y")])
        assert await history.sweep() == 2
        assert {entry.id for entry in await history.entries(None, 10)} == {"new", "alive-run", "alive-later"}
        assert [talk.id for talk in await history.talks(None, 10)] == ["alive"]
        assert await history.sweep() == 0


async def test_the_sweep_comes_by_itself(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.write([begun("old", created=ago(2))])
    async with opened(database, days=1) as history:
        assert history._sweeper is not None
        history._stopping.set()  # it sweeps once at the start, and then once an hour
        await asyncio.to_thread(history._sweeper.join, 30)
        assert rows(history) == NOTHING


# Lists and keys --------------------------------------------------------------------------------------------


async def test_runs_are_listed_by_page_and_owner(database: SecretStr) -> None:
    async with opened(database) as history:
        runs = [begun(f"run-{n}", owner="ab"[n % 2], created=BEGAN + n // 2) for n in range(6)]
        await history.write(runs)
        first = await history.entries(None, 4)
        rest = await history.entries(None, 4, first[-1].id)
        assert [entry.id for entry in [*first, *rest]] == [f"run-{n}" for n in (5, 4, 3, 2, 1, 0)]
        assert [entry.id for entry in await history.entries("a", 10)] == ["run-4", "run-2", "run-0"]
        assert await history.entries("nobody", 10) == []


async def test_a_key_names_the_latest_run_of_its_owner(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.write([begun("run-1", owner="a", key="mine", digest="1")])
        await history.write([begun("run-2", owner="b", key="mine", digest="2")])
        await history.write([begun("run-3", owner="a", key="mine", digest="3")])
        found = [await history.keyed(owner, "mine") for owner in "abc"]
        assert [entry and (entry.id, entry.digest) for entry in found] == [
            ("run-3", "3"),
            ("run-2", "2"),
            None,
        ]
        assert rows(history)["runs"] == 3


async def test_a_conversation_holds_what_was_answered(database: SecretStr) -> None:
    async with opened(database) as history:
        await history.converse(Talk("conv", "a", BEGAN), [Turn("m", "system", "Be brief.", BEGAN)])
        for number, state in enumerate(["done", "failed", "interrupted", "done"]):
            run = f"run-{number}"
            await history.write([begun(run, owner="a", conversation="conv", said=f"ask {number}")])
            await history.write([Ended(run, state, BEGAN, answer=f"answer {number}")])
        said = [turn.content for turn in await history.turns("conv", 10, False)]
        assert said == ["Be brief.", "ask 0", "answer 0", "ask 3", "answer 3"]
        assert [turn.content for turn in await history.turns("conv", 2, False)] == ["ask 3", "answer 3"]
        everything = [turn.content for turn in await history.turns("conv", 10)]
        assert everything == ["Be brief.", "ask 0", "answer 0", "ask 1", "ask 2", "ask 3", "answer 3"]
        await history.forget("run-0")
        assert [turn.content for turn in await history.turns("conv", 10, False)] == [
            "Be brief.", "ask 3", "answer 3"
        ]  # fmt: skip
        assert await history.forget_conversation("conv")
        assert not await history.forget_conversation("conv")
        assert rows(history) == NOTHING


async def test_a_run_of_a_conversation_that_is_gone_is_kept_alone(database: SecretStr) -> None:
    async with opened(database) as history:
        assert await history.write([begun(conversation="gone", said="x"), *told()[1:]]) == frozenset()
        found = await history.entry("run-1")
        assert found is not None
        assert (found.conversation, found.state) == (None, "done")


# The database ----------------------------------------------------------------------------------------------


def test_the_migrations_make_what_the_tables_say(database: SecretStr) -> None:
    assert keys.__name__  # its tables are of the same database
    engine = connections(database)
    try:
        upgrade(engine)
        upgrade(engine)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
    finally:
        engine.dispose()


def test_processes_that_start_at_once_upgrade_once(database: SecretStr) -> None:
    together = threading.Barrier(4, timeout=30)

    def start(_: int) -> None:
        engine = connections(database)
        try:
            together.wait()
            upgrade(engine)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(4)))


def test_a_database_of_a_later_release_is_left_alone(database: SecretStr) -> None:
    engine = connections(database)
    try:
        upgrade(engine)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    finally:
        engine.dispose()
    with pytest.raises(HistoryError, match="release that made them"):
        History(database)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://x/y", "postgresql://u:secret@127.0.0.1:1/x", "sqlite:////proc/no/x.db"]
)
def test_a_database_that_cannot_be_used_says_so_without_its_password(url: str) -> None:
    with pytest.raises(HistoryError) as raised:
        History(SecretStr(url))
    assert "secret" not in str(raised.value)


_WRITER = """
import asyncio, sys
from pydantic import SecretStr
from deployments.history.history import History
from tests.support.histories import told

async def main():
    history = History(SecretStr(sys.argv[1]))
    for number in range(100_000):
        await history.write(told(f"run-{number}"))
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_outlives_a_kill(database: SecretStr) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, database.get_secret_value()], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        for _ in range(20):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 20 + len(writer.stdout.read().split())
    finally:
        writer.kill()
        writer.wait(30)
        if writer.stdout is not None:
            writer.stdout.close()
    history = History(database)
    try:
        count = rows(history)
    finally:
        history.close()
    assert count["runs"] in (acknowledged, acknowledged + 1)
    assert count["events"] == 3 * count["runs"]
    assert count["artifacts"] == count["runs"], "each group is there as a whole, or not at all"


async def test_a_server_that_comes_back_is_used_again() -> None:
    from tests.support.postgresql import server

    with server() as postgresql:
        async with opened(SecretStr(postgresql.url)) as history:
            await history.write(told("run-1"))
            await asyncio.to_thread(postgresql.stop)
            with pytest.raises(HistoryError, match="try again soon"):
                await history.write(told("run-2"))
            with pytest.raises(HistoryError):
                await history.entry("run-1")
            await asyncio.to_thread(postgresql.start)
            await history.write(told("run-2"))
            assert {entry.id for entry in await history.entries(None, 9)} == {"run-1", "run-2"}
