"""``hugginggpt keys``: what is printed, kept and refused."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.cli.main import app
from controller.locksmith import database, good_keys
from controller.settings import Settings
from deployments.history import keys
from deployments.history.ring import Rate
from model_catalog.errors import HuggingGPTError

TOKEN = re.compile(r"hgp_[0-9a-f]{16}_[0-9a-f]{48}")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose data folder is a test's own."""
    monkeypatch.setenv("HUGGINGGPT_DATA_DIR", str(tmp_path / "data"))
    return Settings(data_dir=tmp_path / "data")


def _run(*words: str) -> Any:
    return CliRunner().invoke(app, ["keys", *words], catch_exceptions=False)


def _json(*words: str) -> Any:
    done = _run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _refused(*words: str) -> str:
    with pytest.raises(HuggingGPTError) as refused:
        _run(*words)
    return refused.value.message


def test_a_new_key_is_alone_on_standard_output_and_shown_once(place: Settings) -> None:
    done = _run("create", "--name", "Jane")
    token = done.stdout.strip()
    assert TOKEN.fullmatch(token)
    assert "not shown again" in done.stderr
    assert token not in _run("list", "--all").output + _run("list", "--json").output
    with database(place) as connection:
        (key,) = keys.listed(connection)
        assert keys.ring(connection).proven(token, time.time()) == key
    assert (key.name, key.scopes, key.rate, key.concurrency, key.expires) == (
        "Jane", frozenset({"run", "files"}), None, None, None
    )  # fmt: skip


def test_a_key_has_what_it_is_given(place: Settings) -> None:
    begun = time.time()
    told = _json("create", "--name", "bot", "--scope", "run, admin", "--scope", "files", "--rate", "60/min",
                 "--concurrency", "3", "--expires", "30d")  # fmt: skip
    assert TOKEN.fullmatch(told["key"])
    assert (told["scopes"], told["rate"], told["concurrency"]) == (["admin", "files", "run"], "60/min", 3)
    assert told["expires"] - begun == pytest.approx(30 * 86400, abs=60)
    with database(place) as connection:
        (key,) = keys.listed(connection)
    assert key.rate == Rate(60, 60.0)
    shown = _run("list").stdout
    assert all(word in shown for word in (key.id, "bot", "admin,files,run", "60/min", "good"))


@pytest.mark.parametrize(
    ("text", "rate"), [("5/s", Rate(5, 1)), ("1000/h", Rate(1000, 3600)), ("9/day", Rate(9, 86400))]
)
def test_rates(text: str, rate: Rate, place: Settings) -> None:
    _json("create", "--name", "x", "--rate", text)
    with database(place) as connection:
        assert keys.listed(connection)[0].rate == rate


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scope", "everything"), "'everything' is no scope"),
        (("--scope", ","), "no scope"),
        (("--rate", "60"), "no rate"),
        (("--rate", "0/s"), "no rate"),
        (("--rate", "5/y"), "no rate"),
        (("--expires", "soon"), "no time"),
        (("--expires", "-1d"), "no time"),
        (("--name", " "), "The name is empty"),
    ],
)
def test_what_is_refused_makes_no_key(words: tuple[str, ...], told: str, place: Settings) -> None:
    assert told in _refused("create", "--name", "x", *words)
    assert good_keys(place) == 0


def test_keys_are_named_by_id_or_by_a_name_of_their_own(place: Settings) -> None:
    one, two, other = (_json("create", "--name", name) for name in ("a", "a", "b"))
    assert f"2 keys are called 'a'; name one by its id: {one['id']}, {two['id']}" in _refused("revoke", "a")
    assert _json("revoke", "b") == {"revoked": other["id"]}
    assert "There is no key 'b'" in _refused("revoke", "b")
    assert "is revoked" in _run("revoke", one["id"]).stdout
    assert _json("revoke", "a") == {"revoked": two["id"]}
    assert "There are no keys" in _run("list").stdout
    assert [key["state"] for key in _json("list", "--all")] == ["revoked"] * 3


def test_a_renewed_key_stays_itself(place: Settings) -> None:
    made = _json("create", "--name", "a", "--concurrency", "2")
    renewed = _run("renew", "a").stdout.strip()
    with database(place) as connection:
        ring = keys.ring(connection)
    assert ring.proven(made["key"], time.time()) is None
    key = ring.proven(renewed, time.time())
    assert key is not None
    assert (key.id, key.concurrency) == (made["id"], 2)


def test_signed_addresses_are_ended(place: Settings) -> None:
    with database(place) as connection:
        before = keys.ring(connection).secret
    assert "open nothing any more" in _run("end-links").stdout
    with database(place) as connection:
        assert keys.ring(connection).secret != before
    assert _json("end-links") == {"ended": True}
