"""How a model's files get to a node, and stay."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, snapshot_download

from deployments import aside, checkpoint, store
from deployments.checkpoint import Checkpoint, obtain, resolve
from deployments.errors import ExpertError
from model_catalog.card import ModelCard
from tests.deployments.hubs import RIGHT, hub, repository
from tests.support.hub import FakeHub
from tests.support.tiny import text, tiny

__all__ = ["hub"]

MUCH = {
    "config.json": {"model_type": "bert"},
    "modeling.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "tf_model.h5": b"h5",
    "onnx/model.onnx": b"onnx",
    "README.md": b"words",
    "tokenizer.json": {},
}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_model_is_fetched_once_and_then_taken_without_network(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("tiny/m", repository(tmp_path / "m", MUCH))
    taken = obtain("tiny/m")
    assert taken.commit == commit
    assert _files(taken.folder) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (taken.folder / "model.safetensors").read_bytes() == b"weights"
    fetched = {path.rpartition("/")[2] for path in hub.asked("GET", "/resolve/")}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json"}
    hub.forget()
    assert obtain("tiny/m") == taken
    assert not hub.requests


def test_what_was_resolved_once_stays_when_the_branch_moves_on(hub: FakeHub, tmp_path: Path) -> None:
    first = hub.add("tiny/m", repository(tmp_path / "m"))
    assert resolve("tiny/m") == first
    second = hub.add("tiny/m", repository(tmp_path / "n", {"model.safetensors": b"newer"}))
    assert second != first
    assert resolve("tiny/m") == first
    assert obtain("tiny/m").commit == first
    newer = obtain("tiny/m", second)
    assert newer.commit == second
    assert (newer.folder / "model.safetensors").read_bytes() == b"newer"


def test_a_branch_or_tag_by_name(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    tagged = hub.add("tiny/m", repository(tmp_path / "n", {"model.safetensors": b"tag"}), revision="v1.0")
    assert obtain("tiny/m", "v1.0").commit == tagged


def test_processes_that_want_the_same_model_fetch_it_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    with ThreadPoolExecutor(3) as pool:
        taken = list(pool.map(lambda _: obtain("tiny/m"), range(3)))
    assert len(set(taken)) == 1
    assert len(hub.asked("GET", "/model.safetensors")) == 1
    assert len(hub.asked("GET", "/api/models/tiny/m/revision")) == 1


def test_the_models_of_a_card(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/base", repository(tmp_path / "base", {"model.safetensors": b"base"}))
    tagged = hub.add("tiny/voc", repository(tmp_path / "voc"), revision="v2")
    own = repository(tmp_path / "own")
    card = ModelCard(
        id="tiny/main",
        tasks=("text-classification",),
        path=own,
        parts={"base": "tiny/base", "vocoder": "tiny/voc@v2", "own": str(own)},
    )
    folder, parts = checkpoint.folders(card)
    assert folder == parts["own"] == own
    assert (parts["base"] / "model.safetensors").read_bytes() == b"base"
    assert parts["vocoder"].name == tagged


def test_an_operators_folder_is_used_as_it_is(hub: FakeHub, tmp_path: Path) -> None:
    own = repository(tmp_path / "own", MUCH)
    assert obtain(str(own)) == Checkpoint(own)
    assert resolve(str(own)) is None
    assert not hub.requests
    assert not (tmp_path / "home").exists()


def test_an_operators_folder_is_vetted(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="There is no folder"):
        obtain(str(tmp_path / "none"))
    pickles = repository(tmp_path / "p", {"model.safetensors": None, "pytorch_model.bin": b"pickle"})
    with pytest.raises(ExpertError, match="holds no safetensors"):
        obtain(str(pickles))
    assert _files(pickles) == {"config.json", "pytorch_model.bin"}
    code = repository(tmp_path / "c", {"config.json": {"auto_map": {"AutoModel": "modeling.Mine"}}})
    with pytest.raises(ExpertError, match=r"remote code \(auto_map in config\.json\)"):
        obtain(str(code))


def test_what_has_changed_on_the_disk_is_vetted_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    config = obtain("tiny/m").folder / "config.json"
    evil = b'{"auto_map": {"a": "b"}}'
    config.unlink()
    config.write_bytes(evil.ljust(len(b'{"model_type": "bert"}')))
    manifest = store.manifest_file("tiny/m", config.parent.name)
    manifest.write_text(manifest.read_text().replace('"config.json": 22', f'"config.json": {len(evil)}'))
    hub.forget()
    with pytest.raises(ExpertError, match="remote code"):
        obtain("tiny/m")
    assert not hub.requests


def test_the_token_is_nowhere_but_in_the_request(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    hub.add("tiny/g", repository(tmp_path / "g"), gated="manual")
    seen = {}
    real = aside.ask

    def ask(module: str, request: dict[str, object], env: dict[str, str], *rest: object) -> object:
        seen.update(env)
        return real(module, request, env, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(aside, "ask", ask)
    with caplog.at_level(logging.DEBUG, logger="ray.serve"):
        obtain("tiny/g", None, RIGHT)
    assert {item.token for item in hub.requests} == {"hf_right"}
    assert "ready at commit" in caplog.text
    assert "hf_" not in caplog.text
    assert not [value for value in seen.values() if "hf_" in value or "sk-" in value]
    assert not [path for path in (tmp_path / "home").rglob("*.json") if "hf_right" in path.read_text()]


def test_a_home_may_be_moved(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("tiny/m", repository(tmp_path / "m"))
    obtain("tiny/m")
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    hub.forget()
    taken = obtain("tiny/m")
    assert taken.folder.is_relative_to(tmp_path / "elsewhere")
    assert taken.commit == commit
    assert (taken.folder / "model.safetensors").read_bytes() == b"weights"
    assert not hub.requests


def test_a_cache_that_is_elsewhere_is_linked_to_by_its_whole_path(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.add("tiny/m", repository(tmp_path / "m"))
    weights = obtain("tiny/m").folder / "model.safetensors"
    assert weights.readlink().is_relative_to(tmp_path / "cache")
    assert weights.read_bytes() == b"weights"


ASK = """
import sys
from deployments.checkpoint import obtain
from deployments.errors import ExpertError
try:
    print((obtain(sys.argv[1]).folder / "model.safetensors").read_text())
except ExpertError as error:
    print(error.message)
"""


def _ask(hub: FakeHub, home: Path, model: str, **env: str) -> str:
    """What a fresh process says to ``obtain``, in an environment of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, model],
        env=aside.environment() | hub.env(home) | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_no_network_where_the_operator_forbids_it(hub: FakeHub, tmp_path: Path, name: str) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    told = _ask(hub, tmp_path / "home", "tiny/m", **{name: "True"})
    assert told.startswith("tiny/m is not on this node. HF_HUB_OFFLINE forbids")
    assert not hub.requests


def test_offline_a_model_comes_from_the_hubs_cache(hub: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.add("tiny/m", repository(tmp_path / "m"))
    snapshot_download("tiny/m", cache_dir=home / "hub", endpoint=hub.url)
    hub.forget()
    for _ in range(2):
        assert _ask(hub, home, "tiny/m", HF_HUB_OFFLINE="1") == "weights"
    assert not hub.requests
    assert obtain("tiny/m").commit == hub.repos["tiny/m"].refs["main"]
    assert not hub.requests


def test_offline_a_cache_that_is_known_to_lack_a_file_is_not_taken(hub: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.add("tiny/m", repository(tmp_path / "m", {"vocab.txt": b"a"}))
    snapshot_download("tiny/m", ignore_patterns=["vocab.txt"], cache_dir=home / "hub", endpoint=hub.url)
    hub.forget()
    told = _ask(hub, home, "tiny/m", HF_HUB_OFFLINE="1")
    assert told.startswith("vocab.txt of tiny/m ")
    assert "HF_HUB_OFFLINE forbids" in told
    assert not hub.requests


def test_what_was_made_of_a_cache_without_a_list_is_made_anew_online(hub: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    commit = hub.add("tiny/m", repository(tmp_path / "m", {"vocab.txt": b"a"}))
    for name in ("config.json", "model.safetensors"):
        hf_hub_download("tiny/m", name, cache_dir=home / "hub", endpoint=hub.url)
    hub.forget()
    for _ in range(2):
        assert _ask(hub, home, "tiny/m", HF_HUB_OFFLINE="1") == "weights"
    assert not hub.requests
    taken = obtain("tiny/m")
    assert taken.commit == commit
    assert (taken.folder / "vocab.txt").read_bytes() == b"a"


OFFLINE = """
import sys
from pathlib import Path
from transformers import AutoConfig
from deployments.checkpoint import go_offline
from tests.support.hub import FakeHub
import huggingface_hub

with FakeHub(port=int(sys.argv[1])) as hub:
    hub.add("tiny/m", Path(sys.argv[2]))
    AutoConfig.from_pretrained("tiny/m")
    before = len(hub.requests)
    go_offline()
    told = []
    for call in (
        lambda: AutoConfig.from_pretrained("tiny/other"),
        lambda: huggingface_hub.snapshot_download("tiny/other"),
        lambda: huggingface_hub.HfApi().model_info("tiny/m"),
    ):
        try:
            call()
        except Exception as error:
            told.append(type(error).__name__)
    print(before > 0, len(hub.requests) - before, len(told))
"""


def test_a_process_that_went_offline_asks_nothing_any_more(tmp_path: Path) -> None:
    from controller.server import any_port

    port = any_port("127.0.0.1")
    env = aside.environment() | FakeHub(port).env(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(port), str(tiny(text.encoder))],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["True", "0", "3"], done.stderr
