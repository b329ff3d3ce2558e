"""The doctor's checks, each on a machine that lacks one thing; and all of them at once."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from controller.doctor import guarding, hardware, models, network, software
from controller.doctor.examination import Check
from controller.doctor.finding import Finding, State, ok
from controller.doctor.fit import fit
from controller.doctor.machine import Answer, Gpu, Machine
from controller.errors import ControllerError
from controller.server import Server
from controller.settings import Settings
from deployments.errors import HistoryError
from model_catalog import profiles
from model_catalog.card import ModelCard
from tests.deployments.hubs import hub
from tests.support.hub import FakeHub
from tests.support.machine import GB, FakeMachine

__all__ = ["hub"]

HUB = "https://huggingface.co"
SECRET = "hf_secret"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "")


def settings(**more: object) -> Settings:
    return Settings.model_validate({"data_dir": "/data"} | more)


def found(check: Check, machine: Machine, **more: object) -> list[Finding]:
    findings = list(check(machine, settings(**more)))
    for finding in findings:
        assert (finding.state is State.OK) == (not finding.todo), "what to do is said where something is"
        assert "\n" not in finding.found + finding.todo
    return findings


def one(check: Check, machine: Machine, **more: object) -> Finding:
    (finding,) = found(check, machine, **more)
    return finding


# Hardware ------------------------------------------------------------------------------------------------


def test_a_gpu_is_told_with_its_memory_and_driver() -> None:
    gpu, torch = found(hardware.gpu, FakeMachine())
    assert gpu == ok("GPU", "NVIDIA L4, 24.0 GB (23.0 GB free), driver 580.65")
    assert torch.state is State.OK


def test_no_gpu() -> None:
    finding = one(hardware.gpu, FakeMachine(cards=[]))
    assert finding.state is State.WARN
    assert "on the CPU" in finding.found
    assert "profile minimal" in finding.todo
    assert "install its driver" in finding.todo


@pytest.mark.parametrize(
    ("facts", "said", "todo"),
    [
        ({"cards": ControllerError("nvidia-smi fails (Failed to initialize NVML)")}, "NVML", "Reboot"),
        (
            {"cuda": (None, False), "installed": {"torch": "2.13.0+cpu"}},
            "2.13.0+cpu is built for the CPU",
            "CUDA",
        ),
        ({"cuda": ("13.0", False)}, "built for CUDA 13.0, and reaches no GPU", "driver"),
        ({"cuda": ControllerError("torch cannot be imported (libcudart)")}, "libcudart", "pip install"),
    ],
)
def test_a_gpu_that_cannot_be_used(facts: dict[str, object], said: str, todo: str) -> None:
    finding = found(hardware.gpu, FakeMachine(**facts))[-1]
    assert finding.state is State.FAIL
    assert said in finding.found
    assert todo in finding.todo


def test_too_little_memory() -> None:
    assert one(hardware.memory, FakeMachine()).state is State.OK
    finding = one(hardware.memory, FakeMachine(ram=(8 * GB, 2 * GB)))
    assert (finding.state, finding.found) == (State.WARN, "8.0 GB, 2.0 GB available")


def test_too_little_disk(tmp_path: Path) -> None:
    home = tmp_path / "home"
    machine = FakeMachine(disks={"/": (1000 * GB, 30 * GB), str(home): (100 * GB, GB)}, locked=("/data",))
    cache, data, ray = found(hardware.disks, machine)
    assert (cache.state, data.state, ray.state) == (State.FAIL, State.FAIL, State.WARN)
    assert cache.found == f"{home} has 1.0 GB free of 100 GB"
    assert "HF_HOME" in cache.todo
    assert "hugginggpt rm" in cache.todo
    assert (data.found, "data_dir" in data.todo) == ("/data cannot be written", True)
    assert "over 95% full" in ray.found


def test_little_shared_memory_and_few_files() -> None:
    assert "--shm-size" in one(hardware.shared, FakeMachine(disks={"/dev/shm": (64 << 20, 64 << 20)})).todo
    assert "ulimit -n" in one(hardware.files, FakeMachine(most_files=1024)).todo


# Software ------------------------------------------------------------------------------------------------


def test_versions_are_those_that_this_project_was_made_for() -> None:
    assert [line.state for line in found(software.versions, FakeMachine())] == [State.OK, State.OK]
    machine = FakeMachine(
        own_python=(3, 10),
        installed={"torch": "2.12.0", "gone": "1"},
        asks=["ray[serve]<2.61,>=2.60", "torch==2.13.0", "mypy; extra == 'dev'"],
    )
    python, packages = found(software.versions, machine)
    assert (python.state, packages.state) == (State.FAIL, State.FAIL)
    assert packages.found == "ray is missing; torch is 2.12.0 where ==2.13.0 is needed"


def test_a_build_of_torch_for_the_cpu_is_the_pinned_version_too() -> None:
    machine = FakeMachine(installed={"torch": "2.13.0+cpu", "ray": "2.60.0"})
    assert found(software.versions, machine)[1].state is State.OK


@pytest.mark.parametrize(
    ("torch", "vision", "state"),
    [
        ("2.13.0+cpu", "0.28.0", State.FAIL),
        ("2.13.0+cpu", "0.28.0+cpu", State.OK),
        ("2.13.0", "0.28.0", State.OK),
    ],
)
def test_torchvision_of_another_build_breaks_transformers(torch: str, vision: str, state: State) -> None:
    machine = FakeMachine(installed={"torch": torch, "torchvision": vision})
    assert one(software.torchvision, machine).state is state
    assert found(software.torchvision, FakeMachine()) == []


def test_a_port_that_is_taken() -> None:
    http, dashboard = found(software.ports, FakeMachine(taken={8265}))
    assert (http.state, dashboard.state) == (State.OK, State.FAIL)
    assert "8265 of 127.0.0.1 is taken" in dashboard.found
    assert "setting dashboard_port" in dashboard.todo
    assert "--port" in found(software.ports, FakeMachine(taken={8000}))[0].todo
    ours = FakeMachine(taken={8000}, found=Server(1, "http://127.0.0.1:8000"))
    assert one(software.ports, ours).state is State.OK


@pytest.mark.parametrize(
    ("variables", "modes", "state"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, {}, State.FAIL),
        ({"RAY_AUTH_TOKEN": "x"}, {}, State.OK),
        ({"RAY_AUTH_TOKEN_PATH": "/absent"}, {}, State.FAIL),
        ({"HOME": "/home/me"}, {}, State.OK),
        ({"HOME": "/home/me"}, {"/home/me/.ray/auth_token": 0o600}, State.OK),
        ({"HOME": "/home/me"}, {"/home/me/.ray/auth_token": 0o644, "/home/me": 0o700}, State.OK),
        (
            {"HOME": "/me"},
            {"/me/.ray/auth_token": 0o644, "/me/.ray": 0o755, "/me": 0o755, "/": 0o755},
            State.WARN,
        ),
    ],
)
def test_rays_token(variables: dict[str, str], modes: dict[str, int], state: State) -> None:
    assert one(software.ray_token, FakeMachine(variables=variables, modes=modes)).state is state


@pytest.mark.parametrize(
    ("more", "keys", "state", "words"),
    [
        ({}, 0, State.OK, "none are asked for"),
        ({"keys": "required"}, 0, State.FAIL, "there is none"),
        ({"keys": "required"}, 1, State.OK, "1 is good"),
        ({"host": "0.0.0.0"}, 3, State.WARN, "3 are good, and they travel over plain HTTP to 0.0.0.0"),
        ({"host": "0.0.0.0"}, HistoryError("The database is away."), State.FAIL, "The database is away"),
    ],
)
def test_api_keys(more: dict[str, str], keys: int | HistoryError, state: State, words: str) -> None:
    (finding,) = found(guarding.keys, FakeMachine(keys=keys), **more)
    assert finding.state is state
    assert words in finding.found


# The network ---------------------------------------------------------------------------------------------


def test_without_a_network_what_needs_one_fails() -> None:
    machine = FakeMachine(pages={})
    finding = one(network.hub, machine)
    assert (finding.state, finding.found) == (State.WARN, f"{HUB} cannot be reached (ConnectError)")
    assert "HF_HUB_OFFLINE=1" in finding.todo
    assert one(network.hub, machine, profile="minimal").state is State.FAIL
    assert one(network.hub, machine, inference_mode="hybrid").state is State.FAIL


def test_who_forbids_the_network_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "1")
    machine = FakeMachine()
    assert one(network.hub, machine, huggingface_access_token=SECRET).state is State.OK
    assert machine.asked == []


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (Answer(200, {"name": "ada"}), State.OK, "that of ada"),
        (Answer(401), State.FAIL, "stale"),
        (Answer(502), State.WARN, "502"),
    ],
)
def test_the_hubs_token_is_shown_to_the_hub(answer: Answer, state: State, said: str) -> None:
    machine = FakeMachine(pages={f"{HUB}/api/models": Answer(200), f"{HUB}/api/whoami-v2": answer})
    _, token = found(network.hub, machine, huggingface_access_token=SECRET)
    assert token.state is state
    assert said in token.found
    assert machine.asked[-1][1] == {"Authorization": f"Bearer {SECRET}"}
    assert not any(SECRET in finding.found + finding.todo for finding in (token,))


def test_a_token_is_not_sent_in_the_open() -> None:
    for endpoint in ("http://mirror.example", "http://127.0.0.1.example"):
        machine = FakeMachine(variables={"HF_ENDPOINT": endpoint}, pages={endpoint: Answer(200)})
        assert found(network.hub, machine, huggingface_access_token=SECRET)[1].state is State.FAIL
        assert not any(SECRET in str(headers) for _, headers in machine.asked)


def test_a_token_is_wanted_where_models_run_elsewhere() -> None:
    machine = FakeMachine()
    assert found(network.hub, machine)[1].state is State.OK
    assert found(network.hub, machine, profile="remote")[1].state is State.FAIL
    assert found(network.hub, FakeMachine(variables={"HF_TOKEN": "x"}))[1].state is State.WARN


def test_a_stale_token_at_a_hub(hub: FakeHub) -> None:
    machine = Machine()
    right = found(network.hub, machine, huggingface_access_token=SecretStr("hf_right"))
    assert [finding.state for finding in right] == [State.OK, State.OK]
    stale = found(network.hub, machine, huggingface_access_token=SecretStr("hf_stale"))[1]
    assert (stale.state, "stale" in stale.found) == (State.FAIL, True)
    assert "https://huggingface.co/settings/tokens" in stale.todo
    hub.stop()
    assert "cannot be reached" in one(network.hub, machine).found


def test_the_llm_is_asked_for_its_models() -> None:
    assert one(network.llm, FakeMachine()).state is State.OK
    place = {"openai_base_url": "https://llm.example/v1", "openai_api_key": SECRET, "model": "big"}
    cases = [
        ({"data": [{"id": "big"}]}, 200, State.OK, "big at llm.example"),
        ({"data": [{"id": "small"}]}, 200, State.WARN, "does not list the model big"),
        (None, 404, State.OK, "big at llm.example"),
        (None, 401, State.FAIL, "does not take the key"),
        (None, 503, State.WARN, "503"),
    ]
    for body, status, state, said in cases:
        machine = FakeMachine(pages={"https://llm.example/v1/models": Answer(status, body)})
        finding = one(network.llm, machine, **place)
        assert finding.check == "LLM (planner, responder, expert)", "one address is asked once"
        assert (finding.state, said in finding.found) == (state, True), finding
        assert machine.asked == [("https://llm.example/v1/models", {"Authorization": f"Bearer {SECRET}"})]
    assert one(network.llm, FakeMachine(), **place).state is State.FAIL
    assert (
        "HUGGINGGPT_MODEL" in one(network.llm, FakeMachine(), openai_base_url="https://llm.example/v1").found
    )


def test_azure_is_asked_in_its_own_way() -> None:
    machine = FakeMachine(
        pages={"https://me.azure.example/openai/models": Answer(200, {"data": [{"id": "x"}]})}
    )
    place = {
        "azure_openai_endpoint": "https://me.azure.example",
        "azure_openai_api_key": SECRET,
        "model": "mine",
    }
    assert one(network.llm, machine, **place).state is State.OK
    assert machine.asked[0][1] == {"api-key": SECRET}


# Models --------------------------------------------------------------------------------------------------


def test_experts_that_cannot_run_are_named_with_what_they_lack() -> None:
    findings = found(models.experts, FakeMachine(), experts=["lllyasviel/Annotators", "embedded/canny"])
    assert [finding.state for finding in findings] == [State.WARN]
    assert "lllyasviel/Annotators cannot run here: its runner needs controlnet_aux" in findings[0].found
    assert findings[0].todo == "pip install 'hugginggpt-serve[annotators]'"


def test_a_profile_that_is_not_pulled() -> None:
    findings = {finding.check: finding for finding in found(models.experts, FakeMachine(), profile="minimal")}
    assert findings["embedded experts"].state is State.OK
    assert findings["profile's models"].todo == "hugginggpt pull minimal"
    assert "Qwen/Qwen3-0.6B" in findings["profile's models"].found


def _needs(**sizes: float) -> list[profiles.Need]:
    cards = [ModelCard(id=f"a/{name}", tasks=("summarization",), library="transformers") for name in sizes]
    return [profiles.need(card, {card.id: {"F16": sizes[card.id[2:]]}}) for card in cards]


def test_what_fits() -> None:
    disk, gpu = fit(FakeMachine(), _needs(small=1, large=10))
    assert (disk.state, gpu.state) == (State.OK, State.OK)
    assert "11.0 GB are still to be pulled" in disk.found
    _, memory = fit(FakeMachine(cards=[]), _needs(small=1, large=10))
    assert (memory.check, memory.state) == ("fit: memory", State.OK)


def test_what_does_not_fit() -> None:
    disk, gpu = fit(FakeMachine(disks={"/": (GB, GB)}), _needs(small=1, huge=40))
    assert (disk.state, gpu.state) == (State.FAIL, State.WARN)
    assert "a/huge cannot run here" in gpu.found
    assert "a/small" not in gpu.found
    _, memory = fit(FakeMachine(cards=[], ram=(16 * GB, GB)), _needs(small=1, large=10))
    assert (memory.state, "a/large cannot run here" in memory.found) == (State.WARN, True)


def test_a_large_model_may_take_several_gpus() -> None:
    two = [Gpu("NVIDIA L4", 24 * GB, 24 * GB, "1")] * 2
    _, gpu = fit(FakeMachine(cards=two), _needs(large=30))
    assert (gpu.state, "take several of 2 GPUs" in gpu.found) == (State.OK, True)


def test_a_gpu_without_memory_of_its_own_has_the_machines() -> None:
    shared = FakeMachine(cards=[Gpu("NVIDIA GB10", 0, 0, "580")], ram=(128 * GB, GB))
    _, gpu = fit(shared, _needs(large=40))
    assert (gpu.state, "a GPU has 128 GB" in gpu.found) == (State.OK, True)


def test_a_profile_of_the_settings_is_fitted() -> None:
    assert found(models.profile, FakeMachine()) == [], "embedded needs nothing"
    small = FakeMachine(disks={"/": (9 * GB, 3 * GB)})
    assert [finding.state for finding in found(models.profile, small, profile="minimal")] == [
        State.FAIL,
        State.OK,
    ]
    assert found(models.profile, FakeMachine(), profile="remote", huggingface_access_token=SECRET) == []
