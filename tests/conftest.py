"""Fixtures of every test: one bounded Ray cluster with Serve for the session, started when first needed."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import settings as hypotheses
from pydantic import SecretStr

if TYPE_CHECKING:
    from tests.support.hub import FakeHub

_ROOT = Path(__file__).resolve().parent.parent
_HOME = tempfile.mkdtemp(prefix="hg-", dir="/tmp")  # Ray's socket paths must be short


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_HUB_PORT = _free_port()

# Read when Ray is imported, so set before: a home of its own, no reports, replicas that find tests/support
# and the hub of the tests.
os.environ |= {
    "HOME": _HOME,
    "XDG_STATE_HOME": f"{_HOME}/state",
    "XDG_DATA_HOME": f"{_HOME}/data",
    "PYTHONPATH": str(_ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # replicas and the tests that wait for them share the same few cores
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.05",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "OMP_WAIT_POLICY": "PASSIVE",  # many small models share few cores: threads that spin would starve them
    "HF_ENDPOINT": f"http://127.0.0.1:{_HUB_PORT}",
    "HF_HOME": f"{_HOME}/hf",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
for _name in list(os.environ):
    if _name.startswith("HUGGINGGPT_TEST_"):  # what is given to the tests
        continue
    if _name.startswith(("OPENAI_", "AZURE_OPENAI_", "HUGGINGGPT_")):  # a developer's own settings and keys
        del os.environ[_name]
for _name in ("HUGGINGFACE_ACCESS_TOKEN", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(_name, None)


hypotheses.register_profile("busy", deadline=None, max_examples=50)  # two cores, and much beside it
hypotheses.load_profile("busy")

_APART = (
    "test_cli",
    "test_deploy",
    "test_nodes",
    "test_llm",
    "test_schema",
    "test_sizing_models",
    "test_checking",
    "test_download",
    "test_rules_linear",
    "test_confidence",
)
"""Modules that start servers of their own, or keep a core busy without the session's cluster."""

_FOLDERS = ("experts", "runners")
"""Folders of tests that run Hugging Face models."""

_LAST = ("test_sizing_models", "test_checking")
"""Modules that load models in the tests' own process, as the runners' do; it is offline from then on."""


def _turn(item: pytest.Item) -> int:
    """Served models come first, and what makes this process offline last."""
    if item.path.parent.name == "experts":
        return 0
    return 2 if item.path.parent.name == "runners" or item.path.stem in _LAST else 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what one process of ``make test`` takes: models of the Hub, and servers; the rest goes beside."""
    items.sort(key=_turn)
    for item in items:
        folder = item.path.parent.name
        if folder in _FOLDERS or item.path.stem in _APART:
            item.add_marker(pytest.mark.experts)
        if folder == "experts":
            item.add_marker(pytest.mark.timeout(900))  # ten models are loaded at once


@pytest.fixture
def caplog(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged: Ray keeps its loggers' records from everyone else once a cluster was started."""
    ours = logging.getLogger("ray.serve")
    level = ours.level
    for name in ("ray", "ray.serve"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    ours.setLevel(logging.DEBUG)
    yield caplog
    ours.setLevel(level)


@pytest.fixture(scope="session")
def home() -> Path:
    """The folder that stands for the user's home."""
    return Path(_HOME)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server, where this machine has one."""
    from tests.support.postgresql import URL, server

    if URL in os.environ:
        yield os.environ[URL]
        return
    with server() as running:
        yield running.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecretStr]:
    """The URL of an empty database, of either kind."""
    from tests.support.postgresql import emptied

    if request.param == "sqlite":
        yield SecretStr(f"sqlite:///{tmp_path}/history.db")
        return
    with emptied(request.getfixturevalue("postgresql")) as url:
        yield SecretStr(url)


@pytest.fixture(scope="session")
def http_port() -> int:
    """The port of the session's HTTP endpoint."""
    from controller.server import any_port

    return any_port("127.0.0.1")


@pytest.fixture(scope="session")
def cluster(http_port: int) -> Iterator[None]:
    """A Ray cluster of this session's own, with two logical GPUs and the dashboard, and Serve on it."""
    import ray
    from ray import serve

    from controller.server import any_port

    ray.init(
        address="local",
        num_cpus=8,
        num_gpus=2,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=any_port("127.0.0.1"),
        object_store_memory=400 << 20,
        _temp_dir=f"{_HOME}/ray",
        log_to_driver=False,
        logging_level="ERROR",
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": "127.0.0.1", "port": http_port},
        logging_config={"enable_access_log": False},
    )
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="session")
def product(cluster: None, http_port: int) -> str:
    """The whole product on the session's cluster, with every embedded expert; its URL.

    Its catalog also knows the cards of ``tests.support.cluster.EXTRA``, for tests to deploy.
    """
    from controller.app import chosen, install
    from controller.settings import Settings
    from model_catalog.catalog import Catalog
    from tests.support.cluster import EXTRA, write_cards

    settings = Settings(
        port=http_port,
        data_dir=Path(_HOME) / "artifacts",
        catalog=write_cards(EXTRA, Path(_HOME) / "cards.jsonl"),
        max_body_bytes=256 << 10,
        max_tasks=12,
    )
    embedded = tuple(card.id for card in chosen(settings, Catalog.shipped()))
    install(settings.model_copy(update={"experts": embedded}))
    return f"http://127.0.0.1:{http_port}"


@pytest.fixture(scope="session")
def hub() -> "Iterator[FakeHub]":
    """The hub that every replica of the session's cluster downloads from."""
    from tests.support.hub import FakeHub

    with FakeHub(_HUB_PORT) as running:
        yield running


@pytest.fixture(scope="session")
def http(product: str) -> Iterator[httpx2.Client]:
    """A client of the session's endpoint."""
    with httpx2.Client(base_url=product, timeout=60) as client:
        yield client
