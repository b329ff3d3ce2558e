"""The doctor as a whole: all checks at once, and the machine that runs this."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from controller.doctor.examination import CHECKS, examine, failing
from controller.doctor.finding import Finding, State, ok
from controller.doctor.machine import Machine, UnreachableError
from controller.errors import ControllerError
from controller.settings import Settings
from tests.support.machine import FakeMachine


def settings(**more: object) -> Settings:
    return Settings.model_validate({"data_dir": "/data"} | more)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "")


# All at once ---------------------------------------------------------------------------------------------


def test_a_sound_machine_is_well() -> None:
    findings = examine(FakeMachine(), settings())
    assert not failing(findings)
    assert {finding.state for finding in findings} == {State.OK}
    assert len(findings) >= len(CHECKS) - 2, "torchvision and fit have nothing to say"


def test_a_check_that_hangs_or_breaks_takes_no_other_with_it() -> None:
    release = threading.Event()

    def hangs(machine: Machine, settings: Settings) -> Iterable[Finding]:
        release.wait()
        return []

    def breaks(machine: Machine, settings: Settings) -> Iterable[Finding]:
        raise ZeroDivisionError("of\nsomething")

    def refuses(machine: Machine, settings: Settings) -> Iterable[Finding]:
        raise UnreachableError("The file cannot be read; choose another.")

    def fine(machine: Machine, settings: Settings) -> Iterable[Finding]:
        return [ok("fine", "well")]

    checks = {"hangs": hangs, "breaks": breaks, "refuses": refuses, "fine": fine}
    try:
        late, broken, refused, last = examine(FakeMachine(), settings(), checks, seconds=0.5)
    finally:
        release.set()
    assert (late.state, "within 0 s" in late.found or "within 1 s" in late.found) == (State.WARN, True)
    assert "ZeroDivisionError: of something" in broken.found
    assert (refused.state, refused.found, refused.todo) == (
        State.FAIL,
        "The file cannot be read",
        "Choose another.",
    )
    assert last == ok("fine", "well")


def test_settings_that_name_no_profile_fail_where_it_is_needed() -> None:
    findings = examine(FakeMachine(), settings(profile="huge"))
    assert failing(findings)
    assert any("There is no profile 'huge'" in finding.found for finding in findings)


def test_the_machine_that_runs_this_can_be_looked_at() -> None:
    machine = Machine()
    assert machine.memory()[0] > machine.memory()[1] > 0
    assert machine.disk(Path("/absent/folder"))[1] > 0
    assert machine.version("ray")
    assert machine.version("no-such-package") is None
    assert any(line.startswith("torch==") for line in machine.requirements())
    assert machine.open_files() > 0
    assert machine.mode(Path("/absent")) is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA H200, 143771, 143000, 580.65.06'; echo 'NVIDIA GB10, [N/A], [N/A], 580'", None),
        ("echo 'No devices were found'; exit 6", None),
        ("echo 'Driver/library version mismatch'; exit 18", "nvidia-smi fails .*mismatch"),
    ],
)
def test_nvidia_smi_is_read(
    script: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    if said is not None:
        with pytest.raises(ControllerError, match=said):
            Machine().gpus()
        return
    listed = Machine().gpus()
    assert [(gpu.name, gpu.memory >> 20, gpu.driver) for gpu in listed] in (
        [],
        [("NVIDIA H200", 143771, "580.65.06"), ("NVIDIA GB10", 0, "580")],
    )
    assert bool(listed) == ("H200" in script)


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Machine().gpus() == []
