"""``deploy`` on a running cluster, with Ray left out: what is asked of it, and what goes wrong."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from pydantic import SecretStr
from ray import serve
from ray.exceptions import AuthenticationError

from controller import app
from controller.cluster import install, remove
from controller.errors import ControllerError, SettingsError
from controller.settings import Settings
from deployments import fleet, reach
from deployments.errors import FleetError
from deployments.llm.endpoint import Endpoint
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import UnknownModelError

VADER = "embedded/vader"


class FakeRay:
    """Remembers what was asked of a cluster."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.address = ""
        self.serve_options: dict[str, Any] = {}
        self.applications: dict[str, Any] = {}
        self.host = "127.0.0.1"
        self.routes: dict[str, str] = {}
        self.installed: Settings | None = None
        self.deployed: list[str] = []
        self.failed: dict[str, str] = {}
        self.error: Exception | None = None
        self.cards: list[ModelCard] = []
        self.token: SecretStr | None = None
        self.llm: Endpoint | None = None

    def init(self, address: str, **options: Any) -> None:
        self.done.append("init")
        self.address = address
        if self.error is not None:
            raise self.error

    def shutdown(self) -> None:
        self.done.append("shutdown")

    def start(self, **options: Any) -> None:
        self.serve_options = options

    def status(self) -> Any:
        return SimpleNamespace(applications=self.applications)

    def install(self, settings: Settings, known: Catalog) -> tuple[list[ModelCard], dict[str, str]]:
        self.installed = settings
        self.cards = [known.get(name) for name in settings.experts]
        return self.cards, self.failed

    def deploy(
        self, cards: Sequence[ModelCard], limits: Any, token: SecretStr | None, llm: Endpoint | None
    ) -> None:
        self.cards = list(cards)
        self.deployed += [card.id for card in cards]
        self.token = token
        self.llm = llm


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRay:
    """A fake in Ray's and Serve's place, and a home without a token."""
    made = FakeRay()
    monkeypatch.setattr(ray, "init", made.init)
    monkeypatch.setattr(ray, "shutdown", made.shutdown)
    monkeypatch.setattr(serve, "start", made.start)
    monkeypatch.setattr(serve, "status", made.status)
    monkeypatch.setattr(reach, "reach", lambda: reach.Reach(made.host, made.routes))
    monkeypatch.setattr(app, "install", made.install)
    monkeypatch.setattr(fleet, "deploy", made.deploy)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what the code sets is undone
        monkeypatch.delenv(name)
    return made


def test_everything_is_installed_where_nothing_is_yet(fake: FakeRay) -> None:
    settings = Settings(experts=("embedded/canny",), port=81)
    assert install(settings, "auto", [VADER]) == ["embedded/canny", VADER]
    assert fake.address == "auto"
    assert fake.serve_options["http_options"] == {"host": "127.0.0.1", "port": 81}
    assert fake.serve_options["proxy_location"] == "EveryNode"
    assert fake.done == ["init", "shutdown"]
    assert fake.deployed == []


def test_nothing_is_installed_where_strangers_could_use_it(fake: FakeRay) -> None:
    fake.host, fake.routes = "0.0.0.0", {fleet.CONTROLLER: "/"}
    with pytest.raises(ControllerError, match=r"Serve listens on 0\.0\.0\.0 there.*keys = required"):
        install(Settings(), "auto", [VADER])
    assert fake.installed is None
    assert install(Settings(keys="required"), "auto", [VADER]) == [VADER]
    fake.routes["llm"] = "/llm"
    for settings in (Settings(keys="required"), Settings(host="0.0.0.0")):
        fake.installed = None
        with pytest.raises(ControllerError, match=r"llm answers at /llm .* asks nobody for a key"):
            install(settings, "auto", [VADER])
        assert fake.installed is None
    fake.host = "127.0.0.1"
    install(Settings(keys="required"), "auto", [VADER])
    fake.host = ""  # what Serve does not tell is taken from the settings
    with pytest.raises(ControllerError, match="asks nobody for a key"):
        install(Settings(host="192.168.1.5"), "auto", [VADER])


def test_experts_are_added_to_a_product_that_is_there(fake: FakeRay) -> None:
    fake.applications = {fleet.CONTROLLER: object()}
    assert install(Settings(), "auto", [VADER]) == [VADER]
    assert fake.deployed == [VADER]
    assert fake.installed is None
    assert fake.serve_options == {}


def test_a_share_and_the_token_go_along(fake: FakeRay) -> None:
    settings = Settings(huggingface_access_token=SecretStr("hf_x"))
    install(settings, "auto", [VADER], 0.25)
    assert [card.gpu for card in fake.cards] == [0.25]
    fake.applications = {fleet.CONTROLLER: object()}
    install(settings, "auto", [VADER], 0.5)
    assert [card.gpu for card in fake.cards] == [0.5]
    assert (fake.token, fake.llm) == (SecretStr("hf_x"), None)
    install(settings, "auto", [VADER])
    assert [card.gpu for card in fake.cards] == [0.0]


def test_an_llm_is_added_with_its_endpoint_and_holds_no_share(fake: FakeRay) -> None:
    fake.applications = {fleet.CONTROLLER: object()}
    install(Settings(openai_api_key=SecretStr("sk-x"), model="tiny"), "auto", ["llm/tiny"], 0.5)
    assert [(card.id, card.gpu) for card in fake.cards] == [("llm/tiny", 0.0)]
    assert fake.llm == Endpoint(model="tiny", api_key=SecretStr("sk-x"))


def test_an_expert_is_removed(fake: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(fleet, "undeploy", lambda card: removed.append(card.id))
    fake.applications = {"text-classification--embedded--vader": object()}
    assert remove(Settings(), "auto", [VADER]) == [VADER]
    assert removed == [VADER]
    assert fake.done == ["init", "shutdown"]


def test_what_is_not_there_cannot_be_removed(fake: FakeRay) -> None:
    with pytest.raises(ControllerError, match="embedded/vader is not deployed there; hugginggpt ps shows"):
        remove(Settings(), "auto", [VADER])
    with pytest.raises(UnknownModelError):
        remove(Settings(), "auto", ["no/such"])


def test_a_model_served_elsewhere_holds_no_share(fake: FakeRay) -> None:
    token = SecretStr("hf_x")
    settings = Settings(inference_mode="huggingface", huggingface_access_token=token)
    install(settings, "auto", ["facebook/bart-large-cnn"], 0.5)
    assert [card.gpu for card in fake.cards] == [0.0]


def test_without_experts_the_product_is_installed_anew(fake: FakeRay) -> None:
    fake.applications = {fleet.CONTROLLER: object()}
    install(Settings(), "auto", [])
    assert fake.installed is not None
    assert fake.installed.experts == ()


@pytest.mark.parametrize(
    ("settings", "experts", "error"),
    [
        (Settings(), ["no/such"], UnknownModelError),
        (Settings(catalog=Path("absent.jsonl")), [], SettingsError),
    ],
)
def test_what_is_wrong_leaves_the_cluster_and_goes(
    fake: FakeRay, settings: Settings, experts: list[str], error: type[Exception]
) -> None:
    fake.applications = {fleet.CONTROLLER: object()}
    with pytest.raises(error):
        install(settings, "auto", experts)
    assert fake.done == ["init", "shutdown"]


def test_an_expert_that_did_not_become_ready_is_told(fake: FakeRay) -> None:
    fake.failed = {"sentiment--embedded--vader": "DEPLOY_FAILED: no room"}
    with pytest.raises(
        FleetError, match=r"not every expert became ready: .*vader \(DEPLOY_FAILED: no room\)"
    ):
        install(Settings(), "auto", [VADER])
    assert fake.done == ["init", "shutdown"]


# Reaching it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_an_address_where_nobody_listens_is_told_at_once(fake: FakeRay, form: str) -> None:
    with socket.socket() as bound:  # bound, and not listening
        bound.bind(("127.0.0.1", 0))
        address = form.format(bound.getsockname()[1])
        with pytest.raises(ControllerError, match=f"No Ray cluster answers at {address}; name the head's"):
            install(Settings(), address, [])
    assert fake.done == []


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no-such-host.invalid:6379", ":0"])
def test_an_address_that_cannot_be(fake: FakeRay, address: str) -> None:
    with pytest.raises(ControllerError, match="No Ray cluster answers at"):
        install(Settings(), address, [])
    assert fake.done == []


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_someone_listens_is_tried(fake: FakeRay, form: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = form.format(listening.getsockname()[1])
        install(Settings(), address, [])
    assert fake.address == address


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionError("Could not find any running Ray instance.\nLong advice."),
            "Could not find any running",
        ),
        (ConnectionError(), "No Ray cluster answers at auto, or it does not take this token: "),
        (RuntimeError("Version mismatch"), "Version mismatch"),
        (ValueError("bad address"), "bad address"),
        (AuthenticationError("nope"), "asks for its token; put it into ~/.ray/auth_token or RAY_AUTH_TOKEN"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_ray_says_becomes_one_sentence(fake: FakeRay, error: Exception, words: str) -> None:
    fake.error = error
    with pytest.raises(ControllerError) as caught:
        install(Settings(), "auto", [])
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert fake.done == ["init"], "nothing was connected that could be shut down"


# Tokens --------------------------------------------------------------------------------------------------


def test_a_token_of_the_user_is_used(fake: FakeRay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(Settings(), "auto", [])
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    install(Settings(), "auto", [])
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_named_by_the_environment_is_used(
    fake: FakeRay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "token").touch()
    monkeypatch.setenv(name, str(tmp_path / "token"))
    install(Settings(), "auto", [])
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_what_the_user_has_set_stays(fake: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    install(Settings(), "auto", [])
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
