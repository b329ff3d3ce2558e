"""Which models are deployed, and where they run; Ray itself is left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ray import serve

from controller import app
from controller.errors import SettingsError
from controller.settings import Settings
from deployments import fleet
from deployments.errors import FleetError
from deployments.llm.card import llm_card
from deployments.llm.endpoint import Endpoint
from deployments.placing import runs_elsewhere
from deployments.storage import Keeping
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import UnknownModelError
from tests.support.cluster import write_cards

TOKEN = SecretStr("hf_very_secret_0123456789")
KEY = SecretStr("sk-very-secret-0123456789")
HERE = ModelCard(id="acme/here", tasks=("summarization",), runner="textrank")
AWAY = ModelCard(id="acme/away", tasks=("text-to-image",), requires=("no_such_module",), gpu=1)
NEITHER = ModelCard(id="acme/neither", tasks=("mask-generation",), library="x")
OWN = ModelCard(id="acme/own", tasks=("summarization",), runner="tests.support.runners:Echo")


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """The operator's cards."""
    return write_cards([HERE, AWAY, NEITHER, OWN], tmp_path / "cards.jsonl")


def _settings(cards: Path, mode: str, **more: Any) -> Settings:
    given = {"huggingface_access_token": TOKEN, "catalog": cards, "inference_mode": mode}
    return Settings(**{**given, **more})


def _away(known: Catalog) -> set[str]:
    return {card.id for card in known if runs_elsewhere(card)}


def test_local_models_run_here(cards: Path) -> None:
    known = app.catalog(_settings(cards, "local", huggingface_access_token=None))
    assert _away(known) == set()
    assert [known.get(card.id) for card in (HERE, AWAY, NEITHER, OWN)] == [HERE, AWAY, NEITHER, OWN]
    assert len(known) == len(Catalog.shipped()) + 4


def test_all_but_what_is_here_alone_runs_elsewhere(cards: Path) -> None:
    known = app.catalog(_settings(cards, "huggingface"))
    here = {card.id for card in known} - _away(known)
    assert {HERE.id, AWAY.id, NEITHER.id} <= _away(known)
    assert here == {card.id for card in known if card.embedded} | {OWN.id}
    assert known.get(AWAY.id).gpu == 0


def test_a_hybrid_runs_here_what_can_run_here(cards: Path) -> None:
    known = app.catalog(_settings(cards, "hybrid"))
    assert HERE.id not in _away(known)
    assert AWAY.id in _away(known)
    assert known.get(NEITHER.id) == NEITHER, "so that it says why it cannot run"
    assert OWN.id not in _away(known)


def test_an_endpoint_of_ones_own_needs_no_token(cards: Path) -> None:
    known = app.catalog(
        _settings(cards, "hybrid", huggingface_access_token=None, inference_endpoint="http://10.0.0.7:80")
    )
    assert known.get(AWAY.id).defaults == {"endpoint": "http://10.0.0.7:80/models/acme/away"}


@pytest.mark.parametrize("mode", ["huggingface", "hybrid"])
def test_models_elsewhere_need_a_token(cards: Path, mode: str) -> None:
    settings = _settings(cards, mode, huggingface_access_token=None)
    for refused in (app.catalog, app.install):
        with pytest.raises(SettingsError, match=f"'{mode}'.* set HUGGINGFACE_ACCESS_TOKEN"):
            refused(settings)


def test_a_catalog_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="catalog file cannot be used"):
        app.catalog(Settings(catalog=tmp_path / "absent.jsonl"))


def test_models_are_deployed_by_name_else_the_embedded_ones(cards: Path) -> None:
    settings = _settings(cards, "huggingface")
    known = app.catalog(settings)
    usual = app.chosen(settings, known)
    assert usual
    assert all(card.embedded for card in usual)
    (named,) = app.chosen(settings.model_copy(update={"experts": (AWAY.id,)}), known)
    assert named is known.get(AWAY.id), "what is offered is what is deployed"
    with pytest.raises(UnknownModelError):
        app.chosen(settings.model_copy(update={"experts": ("no/such",)}), known)


class _Fleet:
    """Takes applications instead of Serve."""

    def __init__(self, failed: dict[str, str]) -> None:
        self.failed = failed
        self.apps: Sequence[serve.RunTarget] = ()
        self.running: dict[str, fleet.ExpertStatus] = {}
        self.done: list[str] = []

    def run(self, apps: Sequence[serve.RunTarget]) -> dict[str, str]:
        self.apps = apps
        own = (fleet.ARTIFACTS, fleet.CONTROLLER, fleet.HISTORY, "links")
        for name in {item.name for item in apps}.difference(own):
            self.running[name] = fleet.ExpertStatus(name, "RUNNING", "", 1)
        self.done.append("run")
        return self.failed

    def status(self) -> dict[str, fleet.ExpertStatus]:
        return dict(self.running)

    def delete(self, name: str) -> None:
        del self.running[name]
        self.done.append(f"delete {name}")

    def announce(self) -> None:
        self.done.append("announce")

    def arguments(self, name: str) -> tuple[Any, ...]:
        """What an application's deployment is made with."""
        (found,) = [item for item in self.apps if item.name == name]
        arguments: tuple[Any, ...] = found.target._bound_deployment.init_args
        return arguments


def _fleet(monkeypatch: pytest.MonkeyPatch, failed: dict[str, str] | None = None) -> _Fleet:
    made = _Fleet(failed or {})
    for name in ("run", "status", "announce"):
        monkeypatch.setattr(fleet, name, getattr(made, name))
    monkeypatch.setattr(serve, "delete", made.delete)
    return made


def test_experts_get_the_token_and_the_controller_does_not(
    cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = _fleet(monkeypatch)
    settings = _settings(cards, "hybrid", experts=(HERE.id, AWAY.id))
    ready, failed = app.install(settings)
    assert ([card.id for card in ready], failed) == ([HERE.id, AWAY.id], {})
    known = app.catalog(settings)
    for card in ready:
        given, _, token = taken.arguments(fleet.app_name(card))
        assert given == known.get(card.id)
        assert token is (TOKEN if card.id == AWAY.id else None), "only where the Hub is asked"
    public, catalog, planner, responder, history = taken.arguments(fleet.CONTROLLER)
    assert (planner, responder, history) == (None, None, None)
    assert public.huggingface_access_token is None
    assert runs_elsewhere(catalog.get(AWAY.id)), "the controller offers what is deployed"
    assert TOKEN.get_secret_value() not in repr(taken.apps)


def test_a_configured_llm_is_an_expert_of_the_catalog_and_is_deployed(
    cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = _fleet(monkeypatch)
    asked = {"openai_base_url": "https://llm.example.org/v1", "openai_api_key": KEY, "model": "tiny"}
    settings = _settings(cards, "huggingface", experts=(HERE.id, AWAY.id), **asked)
    known = app.catalog(settings)
    llm = known.get("llm/tiny")
    assert (llm.runner, llm.cpus, llm.gpu) == ("llm", 0, 0), "it is not moved elsewhere"
    assert llm in known.cards_for("summarization")
    ready, _ = app.install(settings)
    assert [card.id for card in ready] == [HERE.id, AWAY.id, llm.id]
    secrets = {card.id: taken.arguments(fleet.app_name(card))[2] for card in ready}
    assert secrets == {HERE.id: TOKEN, AWAY.id: TOKEN, llm.id: KEY}, "neither takes the other's place"
    public, catalog, planner, responder, _ = taken.arguments(fleet.CONTROLLER)
    assert (planner.secret, responder.secret) == (KEY.get_secret_value(),) * 2
    assert public.openai_api_key is None
    assert catalog.get(llm.id) == llm
    assert KEY.get_secret_value() not in repr(taken.apps)
    assert KEY.get_secret_value() not in llm.model_dump_json()


def test_a_card_of_an_llm_elsewhere_gets_no_key(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = _fleet(monkeypatch)
    other = Endpoint(model="theirs", base_url="https://other.example.org/v1")
    catalog = write_cards([llm_card(other)], cards.with_name("llm.jsonl"))
    app.install(Settings(catalog=catalog, experts=("llm/theirs",), openai_api_key=KEY, model="mine"))
    for name, key in (("theirs", None), ("mine", KEY)):
        assert taken.arguments(f"text-generation--llm--{name}")[2] == key


@pytest.mark.parametrize(
    "changes",
    [{"brain": "embedded"}, {"llm_expert": False}, {"openai_api_key": None, "model": None}, {"model": "new"}],
    ids=str,
)
def test_an_llm_that_is_no_longer_set_is_removed(
    changes: dict[str, Any], cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _fleet(monkeypatch)
    theirs = llm_card(Endpoint(model="theirs", base_url="https://other.example.org/v1"))
    catalog = write_cards([HERE, OWN, theirs], cards.with_name("llm.jsonl"))
    before = Settings(
        catalog=catalog, experts=(HERE.id, OWN.id, theirs.id), openai_api_key=KEY, model="vendor/old"
    )
    app.install(before)
    assert made.done == ["run"], "it is told of nothing that has not changed"
    old = "text-generation--llm--vendor-old"
    kept = made.running.keys() - {old}
    assert len(kept) == 3
    app.install(before)
    assert made.running.keys() == kept | {old}
    made.done.clear()
    app.install(before.model_copy(update={"experts": (HERE.id,), **changes}))
    new = {"text-generation--llm--new"} if "new" in changes.values() else set()
    assert made.running.keys() == kept | new, "what the operator has deployed stays, LLMs too"
    assert made.done == ["run", f"delete {old}", "announce"]


def test_without_an_llm_or_where_it_is_not_wanted_there_is_no_card(cards: Path) -> None:
    for more in (
        {},
        {"openai_api_key": KEY, "llm_expert": False},
        {"openai_api_key": KEY, "brain": "embedded"},
    ):
        settings = _settings(cards, "local", **more)
        assert not [card for card in app.catalog(settings) if card.runner == "llm"]
        assert not [card for card in app.chosen(settings, app.catalog(settings)) if card.runner == "llm"]


def test_what_makes_no_endpoint_stops_it_all(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = _fleet(monkeypatch)
    with pytest.raises(SettingsError, match="set HUGGINGGPT_MODEL"):
        app.install(_settings(cards, "local", openai_base_url="https://llm.example.org/v1"))
    assert taken.apps == ()


def test_an_expert_that_fails_leaves_the_others(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "text-to-image--acme--away"
    _fleet(monkeypatch, {name: "no network"})
    ready, failed = app.install(_settings(cards, "huggingface", experts=(HERE.id, AWAY.id)))
    assert [card.id for card in ready] == [HERE.id]
    assert failed == {name: "no network"}


def test_a_server_for_one_command_keeps_its_history_in_the_controllers_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = _fleet(monkeypatch)
    settings = Settings(experts=("embedded/vader",))
    for lasting in (True, False):
        app.install(settings, lasting=lasting)
        assert (fleet.HISTORY in {item.name for item in taken.apps}) is lasting


@pytest.mark.parametrize("name", [fleet.ARTIFACTS, fleet.CONTROLLER, fleet.HISTORY])
def test_without_its_own_applications_the_product_is_not_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fleet(monkeypatch, {name: "no room"})
    with pytest.raises(FleetError, match=f"{name} did not become ready .no room."):
        app.install(Settings(experts=("embedded/vader",)))


def test_files_are_kept_where_and_as_long_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, kept in ((None, None), ("s3://box/x", "s3://box/x"), ("files", str(tmp_path / "files"))):
        told = app.keeping(Settings(artifacts=place, artifact_days=2, artifact_bytes=1 << 30))
        assert told == Keeping(kept, 172_800.0, 1 << 30)
    with pytest.raises(FleetError, match="nowhere://: fsspec knows no such protocol"):
        app.keeping(Settings(artifacts="nowhere://x"))
