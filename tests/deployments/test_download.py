"""What can go wrong on the way from the Hub, each with one clear sentence."""

import errno
import threading
from pathlib import Path

import psutil
import pytest
from huggingface_hub import hf_hub_download
from pydantic import SecretStr

from controller.server import any_port
from deployments import store
from deployments.checkpoint import obtain, resolve
from deployments.errors import ExpertError
from deployments.troubles import told
from tests.deployments.hubs import RIGHT, hub, pickled, repository
from tests.support.hub import FakeHub
from tests.support.tiny import text, tiny

__all__ = ["hub"]


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("tiny/gated", None, r"gated; accept its terms .* set HUGGINGFACE_ACCESS_TOKEN"),
        ("tiny/gated", "hf_wrong", "does not know the token"),
        ("tiny/none", None, "There is no model tiny/none on the Hub, or it is private"),
    ],
)
def test_a_model_that_is_not_ours_to_take(
    hub: FakeHub, tmp_path: Path, name: str, token: str | None, message: str
) -> None:
    hub.add("tiny/gated", repository(tmp_path / "m"), gated="auto")
    with pytest.raises(ExpertError, match=message):
        resolve(name, None, SecretStr(token) if token else None)
    assert not hub.asked("GET", "/resolve/")


def test_terms_that_were_not_accepted(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/gated", repository(tmp_path / "m"), gated="manual")
    hub.granted = set()
    with pytest.raises(ExpertError, match="has no access yet; accept its terms"):
        obtain("tiny/gated", None, RIGHT)
    hub.granted = {"tiny/gated"}
    assert obtain("tiny/gated", None, RIGHT).commit == resolve("tiny/gated")


def test_a_revision_that_is_not_there(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    with pytest.raises(ExpertError, match="tiny/m has no revision 'v9'"):
        obtain("tiny/m", "v9")
    store.pin("tiny/m", "main", "0" * 40)  # its history was rewritten
    with pytest.raises(ExpertError, match=r"no revision '0+'.* pinned by .*tiny--m@main\.json"):
        obtain("tiny/m")


def test_a_hub_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{any_port('127.0.0.1')}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ExpertError, match=f"The Hub at {address} cannot be reached; check the network"):
        obtain("tiny/m")


def test_a_hub_that_fails_or_stays_silent(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    hub.failing = 503
    with pytest.raises(ExpertError, match=r"answers with an error \(503\); try again later"):
        obtain("tiny/m")
    assert len(hub.asked()) == 1
    hub.failing = None
    hub.silent = {"api"}
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    with pytest.raises(ExpertError, match="does not answer in time"):
        obtain("tiny/m")


def test_a_connection_that_is_cut_is_taken_up_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m", {"model.safetensors": b"w" * 300_000}))
    hub.cuts["model.safetensors"] = 100_000
    assert (obtain("tiny/m").folder / "model.safetensors").stat().st_size == 300_000
    assert len(hub.asked("GET", "/model.safetensors")) == 2


def test_files_that_fail_leave_nothing_that_counts_as_whole(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("tiny/m", repository(tmp_path / "m"))
    hub.failing_files = 500
    with pytest.raises(ExpertError, match=r"answers with an error \(500\)"):
        obtain("tiny/m")
    assert store.whole("tiny/m", commit) is None
    hub.failing_files = None
    assert obtain("tiny/m").commit == commit


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.soak)])  # each is tried for 20 s
def test_half_a_snapshot_is_not_taken_for_a_model(hub: FakeHub, tmp_path: Path, status: int) -> None:
    commit = hub.add("tiny/m", repository(tmp_path / "m", {"vocab.txt": b"a\nb"}))
    for name in ("config.json", "model.safetensors"):  # as other programs fetch, one by one
        hf_hub_download(
            "tiny/m", name, revision=commit, cache_dir=tmp_path / "home" / "hub", endpoint=hub.url
        )
    hub.failing_trees = status
    with pytest.raises(ExpertError, match=r"vocab\.txt of tiny/m did not come from the Hub; try again"):
        obtain("tiny/m")
    assert store.whole("tiny/m", commit) is None
    hub.failing_trees = None
    assert (obtain("tiny/m").folder / "vocab.txt").read_bytes() == b"a\nb"


@pytest.mark.parametrize("told", ["../../victim", "", "main", "A" * 40])
def test_a_hub_that_tells_no_commit_is_not_believed(hub: FakeHub, tmp_path: Path, told: str) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"))
    victim = tmp_path / "home" / "hugginggpt" / "victim"
    victim.mkdir(parents=True)
    hub.telling = told
    for call in (resolve, obtain):
        with pytest.raises(ExpertError, match="The Hub names no commit for tiny/m"):
            call("tiny/m")
    assert victim.is_dir()
    assert not list((tmp_path / "home" / "hugginggpt").rglob("*.json"))


def test_the_commit_that_was_asked_for_and_no_other(hub: FakeHub, tmp_path: Path) -> None:
    first = hub.add("tiny/m", repository(tmp_path / "m"))
    second = hub.add("tiny/m", repository(tmp_path / "n", {"model.safetensors": b"other"}))
    hub.telling = second
    for asked in (first, first[:8]):
        with pytest.raises(ExpertError, match=f"answers with commit {second[:12]} of tiny/m where"):
            obtain("tiny/m", asked)
    assert store.whole("tiny/m", first) is None
    assert obtain("tiny/m", second[:8]).commit == second


def test_a_tag_may_look_like_part_of_a_commit(hub: FakeHub, tmp_path: Path) -> None:
    tagged = hub.add("tiny/m", repository(tmp_path / "m"), revision="20240101")
    assert obtain("tiny/m", "20240101").commit == tagged


def test_a_download_that_is_killed_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m", {"vocab.txt": b"a\nb"}))
    hub.silent = {"model.safetensors"}

    def kill() -> None:
        assert hub.stalled.wait(60)
        for child in psutil.Process().children():
            if "deployments.download" in child.cmdline():
                child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ExpertError, match="download was killed by signal 9"):
        obtain("tiny/m")
    killer.join()
    hub.silent = set()
    hub.forget()
    assert (obtain("tiny/m").folder / "vocab.txt").read_bytes() == b"a\nb"
    assert len(hub.asked("GET", "/model.safetensors")) == 1
    assert not hub.asked("GET", "/vocab.txt")


def test_a_model_larger_than_the_disk_is_not_begun(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m"), sizes={"model.safetensors": 10**18})
    with pytest.raises(
        ExpertError, match=r"needs 1000000000\.0 GB of disk and .* free; free some, or let HF_HOME"
    ):
        obtain("tiny/m")
    assert not hub.asked("GET", "/model.safetensors")


def test_a_configuration_that_needs_code_is_refused_before_its_weights(hub: FakeHub, tmp_path: Path) -> None:
    config = {"auto_map": {"AutoModel": "modeling.Mine"}}
    hub.add("tiny/m", repository(tmp_path / "m", {"config.json": config, "modeling.py": b""}))
    with pytest.raises(ExpertError, match=r"tiny/m: .*remote code \(auto_map in config\.json\)"):
        obtain("tiny/m")
    assert not hub.asked("GET", "/model.safetensors")
    assert not hub.asked("GET", "/modeling.py")


@pytest.mark.parametrize("name", ["model.safetensors", "spiece.model"])
def test_bytes_other_than_declared_are_refused_and_removed(hub: FakeHub, tmp_path: Path, name: str) -> None:
    folder = repository(tmp_path / "m", {"spiece.model": b"words"})
    hub.add("tiny/m", folder, sha256={name: "ab" * 32})
    with pytest.raises(ExpertError, match=rf"{name} of .* not what the Hub declares \(sha256 abab"):
        obtain("tiny/m")
    assert not list((tmp_path / "home" / "hub").rglob(f"*/{name}"))


def test_a_size_other_than_declared_is_refused_and_removed(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("tiny/m", repository(tmp_path / "m", {"vocab.txt": b"a\nb"}), sizes={"vocab.txt": 2})
    with pytest.raises(ExpertError, match=r"vocab\.txt of .* declares \(3 bytes instead of 2\)"):
        obtain("tiny/m")
    assert not list((tmp_path / "home" / "hub").rglob("*/vocab.txt"))


def test_a_pickle_without_a_declared_hash_is_not_read(hub: FakeHub, tmp_path: Path) -> None:
    files = {"model.safetensors": None, "pytorch_model.bin": b"pickle"}
    hub.add("tiny/m", repository(tmp_path / "m", files), sha256={"pytorch_model.bin": None})
    with pytest.raises(ExpertError, match=r"declares no hash for pytorch_model\.bin .* with safetensors"):
        obtain("tiny/m")
    assert not hub.asked("GET", "/pytorch_model.bin")


def test_a_detector_of_control_maps_comes_without_a_configuration(hub: FakeHub, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = repository(
        tmp_path / "m", {"config.json": None, "model.safetensors": None, "README.md": b"", "other.pth": b"x"}
    )
    torch.save({"norm": torch.ones(3)}, folder / "ControlNetHED.pth")
    hub.add("tiny/hed", folder, sizes={"other.pth": 10**18})
    taken = obtain("tiny/hed").folder
    assert [path.name for path in taken.iterdir()] == ["ControlNetHED.safetensors"]
    assert load_file(taken / "ControlNetHED.safetensors")["norm"].tolist() == [1, 1, 1]
    assert {path.rpartition("/")[2] for path in hub.asked("GET", "/resolve/")} == {"ControlNetHED.pth"}
    hub.forget()
    assert obtain("tiny/hed").folder == taken
    assert not hub.requests


def test_weights_for_other_libraries_are_named(hub: FakeHub, tmp_path: Path) -> None:
    files = {"model.safetensors": None, "tf_model.h5": b"x"}
    hub.add("tiny/m", repository(tmp_path / "m", files))
    with pytest.raises(ExpertError, match=r"only tf_model\.h5"):
        obtain("tiny/m")


def test_of_a_pipeline_only_its_parts_come(hub: FakeHub, tmp_path: Path) -> None:
    index = {"_class_name": "P", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"], "prior": [None, None]}
    commit = hub.add(
        "tiny/sd",
        repository(
            tmp_path / "sd",
            {
                "model_index.json": index,
                "config.json": None,
                "unet/config.json": {},
                "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
                "vae/config.json": {},
                "vae/diffusion_pytorch_model.safetensors": b"full",
                "vae/diffusion_pytorch_model.fp16.safetensors": b"half",
                "prior/config.json": {},
                "prior/model.safetensors": b"prior",
            },
        ),
    )
    folder = obtain("tiny/sd").folder
    assert folder == store.shelf("tiny/sd") / commit
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == b"half"
    assert (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == b"full"


def test_a_pickle_is_converted_once_and_loads(hub: FakeHub, tmp_path: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    source = tiny(text.classifier)
    commit = hub.add("tiny/p", pickled(source, tmp_path / "p"))
    folder = obtain("tiny/p").folder
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not (folder / "pytorch_model.bin").exists()
    model, report = BertForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    for name, value in BertForSequenceClassification.from_pretrained(source).state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    made = store.manifest_file("tiny/p", commit).read_text(encoding="utf-8")
    assert store.digest(tmp_path / "p" / "pytorch_model.bin") in made
    assert store.digest(folder / "model.safetensors") in made
    hub.forget()
    obtain("tiny/p")
    assert not hub.requests


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full; free some"),
        (PermissionError(errno.EACCES, "denied", "/models/hf"), "/models/hf cannot be written; let HF_HOME"),
        (ValueError("odd\nwords"), "cannot be had from the Hub: ValueError: odd words"),
    ],
)
def test_troubles_of_the_node(error: Exception, message: str) -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = error
    shown = told(error if isinstance(error, ValueError) else outer, "tiny/m", "main", token=False)
    assert message in shown
    assert "\n" not in shown
