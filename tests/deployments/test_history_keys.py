"""API keys in the database, on SQLite and on PostgreSQL alike."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text

from deployments.errors import NotFoundError
from deployments.history import keys
from deployments.history.engine import opened as connections
from deployments.history.engine import upgrade
from deployments.history.ring import Rate
from tests.support.histories import opened


@contextmanager
def _connected(database: SecretStr) -> Iterator[Connection]:
    engine = connections(database)
    try:
        upgrade(engine)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


async def test_a_key_is_made_listed_renewed_and_revoked(database: SecretStr) -> None:
    with _connected(database) as connection:
        plain, token = keys.create(connection, "Jane \x00 \U0001f642", ["run", "files"])
        tight, _ = keys.create(connection, "bot", ["admin"], Rate(5, 60.0), 2, time.time() + 60)
    async with opened(database) as history:
        ring = await history.ring()
        assert set(ring.keys) == {plain.id, tight.id}
        assert ring.keys[tight.id] == tight
        assert ring.proven(token, time.time()) == ring.keys[plain.id]
        with _connected(database) as connection:
            renewed, fresh = keys.renew(connection, plain.id)
            assert [key.id for key in keys.listed(connection)] == [plain.id, tight.id]
        ring = await history.ring()
        assert ring.proven(token, time.time()) is None
        assert ring.proven(fresh, time.time()) is not None
        assert renewed.id == plain.id
        with _connected(database) as connection:
            keys.revoke(connection, plain.id)
            assert [key.revoked is None for key in keys.listed(connection)] == [False, True]
            for act in (keys.revoke, keys.renew):
                for number in (plain.id, "nothing", ""):
                    with pytest.raises(NotFoundError, match="There is no key"):
                        act(connection, number)
        assert set((await history.ring()).keys) == {tight.id}


async def test_the_secret_of_addresses_is_one_until_it_is_changed(database: SecretStr) -> None:
    async with opened(database) as history:
        first = (await history.ring()).secret
        assert len(first) == 32
        assert (await history.ring()).secret == first
    async with opened(database) as history:
        assert (await history.ring()).secret == first, "a process later too"
        with _connected(database) as connection:
            keys.end_addresses(connection)
        assert (await history.ring()).secret != first


def test_no_token_lies_in_the_database(database: SecretStr) -> None:
    with _connected(database) as connection:
        tokens = [keys.create(connection, f"k{n}", ["run"])[1] for n in range(20)]
        rows = connection.execute(text("SELECT * FROM keys")).all()
    kept = repr(rows)
    assert len(set(tokens)) == 20
    for token in tokens:
        assert re.fullmatch(r"hgp_[0-9a-f]{16}_[0-9a-f]{48}", token)
        assert token[-48:] not in kept


def test_the_file_is_its_users_alone(tmp_path: object) -> None:
    import stat
    from pathlib import Path

    folder = Path(str(tmp_path)) / "data"
    with _connected(SecretStr(f"sqlite:///{folder}/history.db")):
        for path in (folder, *folder.iterdir()):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
