"""Pickled weights become safetensors, and nothing of a pickle runs."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from deployments import aside, convert
from deployments.errors import ExpertError

SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def _bert() -> Any:
    return hf.BertForMaskedLM(hf.BertConfig(**SMALL, intermediate_size=16))


def _gpt2() -> Any:
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2))


def _t5() -> Any:
    return hf.T5ForConditionalGeneration(
        hf.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )


@pytest.mark.parametrize("made", [_bert, _gpt2, _t5])
@pytest.mark.parametrize("old", [False, True])
def test_tied_weights_load_with_none_missing(made: Callable[[], Any], old: bool, tmp_path: Path) -> None:
    model = made()
    model.config.save_pretrained(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not old)
    tensors = convert.read(path)
    assert set(tensors) == set(model.state_dict())
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again, report = type(model).from_pretrained(tmp_path, use_safetensors=True, output_loading_info=True)
    assert not any(report.values())
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_views_halves_and_scalars_keep_their_values(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    several = {
        "t": base.t(),
        "slice": base[1:, :2],
        "half": base.half(),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0),
        "parameter": torch.nn.Parameter(base + 1),
        "brain": base.bfloat16(),
    }
    torch.save(several, tmp_path / "x.bin")
    save_file(convert.read(tmp_path / "x.bin"), tmp_path / "x.safetensors")
    again = load_file(tmp_path / "x.safetensors")
    assert again.keys() == several.keys()
    for name, value in several.items():
        assert torch.equal(value, again[name])
        assert value.dtype == again[name].dtype


def test_of_a_checkpoint_of_training_the_model_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "scannet.pt"
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3}, path)
    assert list(convert.read(path)) == ["a"]


def test_shards_get_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "alone", lambda: None)
    monkeypatch.setattr(convert, "bound", lambda _: None)
    monkeypatch.setattr(sys, "addaudithook", lambda _: None)
    threads = torch.get_num_threads()
    files = []
    for number in (1, 2):
        source = tmp_path / f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({f"w{number}": torch.zeros(number)}, source)
        files.append([str(source), str(tmp_path / f"model-0000{number}-of-00002.safetensors")])
    answer = convert.work({"files": files})
    torch.set_num_threads(threads)
    assert answer["indices"] == {
        str(tmp_path / "model.safetensors.index.json"): {
            "metadata": {"total_size": 12},
            "weight_map": {
                "w1": "model-00001-of-00002.safetensors",
                "w2": "model-00002-of-00002.safetensors",
            },
        }
    }


@pytest.mark.parametrize("old", [False, True])
def test_a_small_pickle_of_huge_tensors_is_refused(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "x.bin"
    huge = {"w": torch.zeros(1).expand(1 << 24), "v": torch.zeros(1)}
    torch.save(huge, path, _use_new_zipfile_serialization=not old)
    assert path.stat().st_size < 2000
    with pytest.raises(ExpertError, match=r"claim 671088\d\d bytes of tensors"):
        convert.read(path)


def test_names_that_share_their_bytes_are_no_bomb(tmp_path: Path) -> None:
    whole = torch.arange(2.0**21)  # 8 MiB
    torch.save({str(number): whole for number in range(5)}, tmp_path / "x.bin")
    tensors = convert.read(tmp_path / "x.bin")
    assert len({tensor.data_ptr() for tensor in tensors.values()}) == 5
    torch.save({str(number): whole for number in range(7)}, tmp_path / "x.bin")
    with pytest.raises(ExpertError, match="claim 58720256 bytes"):
        convert.read(tmp_path / "x.bin")


def test_a_compressed_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    torch.save({"w": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content + bytes(1 << 20) * name.endswith("data.pkl"))
    with pytest.raises(ExpertError, match="compressed, which torch does not do"):
        convert.read(path)


LIMITED = """
import resource, sys
from deployments import convert
convert.bound(1000)
for what in (resource.RLIMIT_FSIZE, resource.RLIMIT_DATA):
    print(resource.getrlimit(what)[0])
try:
    with open(sys.argv[1], "wb") as file:
        file.write(bytes(64 << 20))
except OSError as error:
    print(error.strerror)
try:
    bytearray(1 << 30)
except MemoryError:
    print("No memory")
"""


def test_the_process_is_held_to_what_honest_pickles_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "x")],
        env=aside.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    written, memory, file, room = done.stdout.splitlines()
    assert int(written) == 4000 + 2 * convert.SLACK
    assert int(memory) < 2 << 30
    assert (file, room) == ("File too large", "No memory")
    assert (tmp_path / "x").stat().st_size <= int(written)


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("plain", [False, True])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    evil = {"w": _Evil(tmp_path / "touched")}
    if plain:
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path)
    with pytest.raises(ExpertError, match="cannot be read as plain tensors"):
        convert.read(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state_dict": {"w": torch.zeros(1)}}, "'state_dict', which is no plain tensor but a dict"),
        ({"w": torch.zeros(1), "epoch": 3}, "'epoch', which is no plain tensor but a int"),
        ({1: torch.zeros(1)}, "'1'"),
        ({"w": torch.eye(3).to_sparse()}, "no plain tensor"),
        ([torch.zeros(1)], "no table of tensors"),
        ({}, "no table of tensors"),
    ],
)
def test_more_than_tensors_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(ExpertError, match=told):
        convert.read(tmp_path / "x.bin")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"no pickle at all"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(ExpertError, match="cannot be read as plain tensors"):
        convert.read(tmp_path / "x.bin")


GUARDED = """
import os, socket, subprocess, sys
from deployments import convert
sys.addaudithook(convert.guard)
for call in (
    lambda: socket.socket(),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: os.system("true"),
    lambda: subprocess.run(["true"]),
    lambda: os.fork(),
    lambda: os.posix_spawn("/bin/true", ["true"], {}),
    lambda: os.execv("/bin/true", ["true"]),
):
    try:
        call()
    except PermissionError as error:
        print(error)
"""


def test_no_socket_and_no_program_while_weights_are_converted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED], env=aside.environment(), capture_output=True, text=True, timeout=60
    )
    told = done.stdout.splitlines()
    assert len(told) == 8, done.stderr
    assert all("is not allowed while weights are converted" in line for line in told)


ALONE = """
import socket, sys
from deployments import convert
convert.alone()
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
    print("connected")
except OSError:
    print("alone")
"""


def test_the_process_leaves_the_network_where_the_kernel_lets_it() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, str(server.getsockname()[1])],
            env=aside.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    said = "no network namespace" in done.stderr
    assert done.stdout.strip() == ("connected" if said else "alone")
