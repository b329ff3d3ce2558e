"""Settings: where they come from, which wins, and what is refused."""

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, SecretStr, ValidationError

from controller import server
from controller.errors import SettingsError
from controller.llm.planner import LlmPlanner
from controller.llm.prompting import static_prompt
from controller.plan import Plan
from controller.request import Message, Request
from controller.settings import FILE, LEAST_CONTEXT_TOKENS, SECRETS, Settings, load
from deployments.llm.budget import FRAME, size
from deployments.llm.client import Llm
from deployments.llm.endpoint import Endpoint
from model_catalog.catalog import Catalog
from tests.support.endpoint import ScriptedEndpoint

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings, and an environment without any."""
    for name in os.environ:
        if name.upper().startswith(("HUGGINGGPT_", "OPENAI_", "AZURE_OPENAI_", "HUGGINGFACE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(folder: Path, text: str, name: str = FILE) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(*args: Any, **overrides: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*args, **overrides)
    assert caught.value.__suppress_context__, "nothing is shown of what was read"
    return caught.value.message


# Sources -----------------------------------------------------------------------------------------------


def test_the_defaults_run_on_a_bare_laptop() -> None:
    made = load()
    assert (made.host, made.port, made.dashboard_port) == ("127.0.0.1", 8000, 8265)
    assert made.run_seconds < 180, "HuggingGPT's own client gives up then"
    assert made.task_seconds < made.run_seconds
    assert (made.experts, made.origins, made.catalog) == ((), (), None)
    assert made.openai_api_key is None
    assert made.data_dir.is_absolute()


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(folder, 'port = 1\ntop_k = 1\nmax_tasks = 1\nexperts = ["a/b", "c/d"]\n')
    monkeypatch.setenv("HUGGINGGPT_TOP_K", "2")
    monkeypatch.setenv("HUGGINGGPT_MAX_TASKS", "2")
    made = load(max_tasks=3, host=None)
    assert (made.port, made.top_k, made.max_tasks) == (1, 2, 3)
    assert made.experts == ("a/b", "c/d")
    assert made.host == "127.0.0.1", "None means not given"
    assert type(made) is Settings
    assert load(port=0x1F90).port == 8080


def test_the_file_is_the_named_one_then_the_environments_then_the_one_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().port == 8000
    _write(folder, "port = 1")
    assert load().port == 1
    monkeypatch.setenv("HUGGINGGPT_CONFIG", str(_write(folder, "port = 2", "other.toml")))
    assert load().port == 2
    assert load(_write(folder, "port = 3", "named.toml")).port == 3
    monkeypatch.setenv("HUGGINGGPT_CONFIG", "")
    assert load().port == 1


def test_lists_and_tables_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGGPT_EXPERTS", '["a/b"]')
    monkeypatch.setenv("HUGGINGGPT_CONTROLLER_RESOURCES", '{"head": 0.5}')
    monkeypatch.setenv("HUGGINGGPT_DATA_DIR", "here")
    made = load()
    assert (made.experts, made.controller_resources, made.data_dir) == (("a/b",), {"head": 0.5}, Path("here"))


def test_an_empty_variable_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(folder, "port = 1")
    monkeypatch.setenv("HUGGINGGPT_PORT", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    made = load()
    assert (made.port, made.openai_api_key) == (1, None)


@pytest.mark.parametrize(
    "text", [f'openai_api_key = "{KEY}"', f'OPENAI_API_KEY = "{KEY}"'], ids=["field", "HuggingGPT's"]
)
def test_keys_may_come_from_the_file(folder: Path, text: str) -> None:
    _write(folder, text)
    made = load()
    assert made.openai_api_key is not None
    assert made.openai_api_key.get_secret_value() == KEY


def test_keys_have_huggingggpts_own_names_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HUGGINGFACE_ACCESS_TOKEN", "hf_secret")
    made = load()
    assert made.openai_api_key is not None
    assert made.openai_api_key.get_secret_value() == KEY
    assert made.huggingface_access_token is not None
    assert made.huggingface_access_token.get_secret_value() == "hf_secret"


def test_where_models_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load().inference_mode, load().inference_endpoint) == ("local", None)
    _write(folder, 'inference_mode = "hybrid"\ninference_endpoint = "http://10.0.0.7:8080/api/"\n')
    assert load().inference_mode == "hybrid"
    assert load().inference_endpoint == "http://10.0.0.7:8080/api"
    monkeypatch.setenv("HUGGINGGPT_INFERENCE_MODE", "huggingface")
    assert load().inference_mode == "huggingface"


# Secrets -----------------------------------------------------------------------------------------------


def test_keys_show_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HUGGINGFACE_ACCESS_TOKEN", KEY)
    made = load()
    for shown in (repr(made), str(made), made.model_dump_json(), repr(made.model_dump())):
        assert KEY not in shown


def test_a_service_has_no_password_in_its_address() -> None:
    message = _refusal(inference_endpoint=f"https://me:{KEY}@models.example.org")
    assert "without user" in message
    assert KEY not in message


def test_a_public_copy_holds_no_key_and_can_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = load(port=9)
    public = made.public()
    assert (public.openai_api_key, public.huggingface_access_token, public.port) == (None, None, 9)
    assert KEY.encode() not in pickle.dumps(public)
    assert pickle.loads(pickle.dumps(public)) == public
    assert made.openai_api_key is not None, "the original keeps it"


def test_every_key_is_a_secret_and_is_kept_from_rays_processes() -> None:
    keys = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert keys == set(SECRETS)
    values: dict[str, Any] = {name: SecretStr(f"{KEY}-{name}") for name in keys}
    everything = Settings(**values)
    assert KEY not in repr(everything)
    assert KEY not in everything.model_dump_json()
    assert KEY.encode() not in pickle.dumps(everything.public())
    named = {next((alias for alias in _aliases(name)), f"HUGGINGGPT_{name}").upper() for name in keys}
    others = {"AZURE_OPENAI_AD_TOKEN", "OPENAI_ADMIN_KEY", "OPENAI_CUSTOM_HEADERS", "OPENAI_WEBHOOK_SECRET"}
    others.add("HUGGINGGPT_API_KEY")
    assert set(server.KEYS) == named | others, "others are read by clients: OpenAI's, and our own"


def _aliases(name: str) -> list[str]:
    alias = Settings.model_fields[name].validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []


@pytest.mark.parametrize("name", [*SECRETS, "openai_base_url", "azure_openai_endpoint", "openai_api_version"])
def test_what_clients_of_openai_read_has_the_same_name_here(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "https://llm.example.org/v1"
    prefix = "HUGGINGGPT_" if name.startswith(("planner", "responder", "expert", "database")) else ""
    monkeypatch.setenv(f"{prefix}{name.upper()}", value)
    found = getattr(load(), name)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == value


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f'port = "{KEY}"', "port"),
        (f'openai_api_key = ["{KEY}"]', "openai_api_key"),
        (f'host = 7\ntop_k = "{KEY}"', "top_k"),
        (f'openai_key = "{KEY}"', "openai_key"),
        (f'[openai]\nkey = "{KEY}"', "openai"),
        (f'openai_api_key = "{KEY}" oops', FILE),
        (f'openai_api_key = "{KEY}', FILE),
        (f"{KEY} = = 1", FILE),
    ],
)
def test_a_refusal_names_the_setting_and_never_its_value(folder: Path, text: str, name: str) -> None:
    _write(folder, text)
    message = _refusal()
    assert name in message
    assert KEY not in message


# What is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_on_loopback_nobody_is_asked_for_a_key(host: str) -> None:
    made = load(host=host)
    assert made.host == host
    assert not made.exposed
    assert not made.keyed
    assert made.fetches
    assert load(host=host, keys="required").keyed


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.1.5", "example.com", "localhost.example.com", "fe80::1", "2001:db8::1",
     "LOCALHOST.", "0", "127.1", "::ffff:127.0.0.1", "gpu-1"],
)  # fmt: skip
def test_anywhere_else_everybody_is(host: str) -> None:
    made = load(host=host)
    assert made.exposed
    assert made.keyed
    assert not made.fetches, "links are not followed for strangers"
    assert load(host=host, links="on").fetches
    assert load(host=host, keys="auto").keyed


@pytest.mark.parametrize(
    "host", ["", " 127.0.0.1", "127.0.0.1:80", "http://127.0.0.1", "a/b", "[::1]", "a" * 300]
)
def test_what_is_no_address_may_not_be_listened_on(host: str, folder: Path) -> None:
    for_file = _write(folder, f'host = "{host}"', "x.toml")
    for message in (_refusal(host=host), _refusal(for_file)):
        assert "setting 'host'" in message
        assert "address of this machine" in message


def test_keys_cannot_be_switched_off(folder: Path) -> None:
    assert "setting 'keys'" in _refusal(keys="off")
    assert "setting 'keys'" in _refusal(keys="none", host="0.0.0.0")


@pytest.mark.parametrize(
    "named", ["gpu.example.org", "https://gpu.example.org", "gpu:8443", "[2001:db8::1]", "10.0.0.1"]
)
def test_names_that_a_server_may_have(named: str) -> None:
    assert load(hosts=(named,)).hosts == (named,)


@pytest.mark.parametrize("named", ["", "*", "a b", "https://a/b", "ftp://a", "user@a", "a,b", "-a"])
def test_names_that_it_may_not(named: str) -> None:
    assert "setting 'hosts'" in _refusal(hosts=(named,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("dashboard_port", -1),
        ("top_k", 0),
        ("max_tasks", 0),
        ("max_tasks", 1001),
        ("run_seconds", 0),
        ("run_seconds", float("inf")),
        ("task_seconds", -1),
        ("task_seconds", float("nan")),
        ("max_body_bytes", 1),
        ("max_upload_bytes", 0),
        ("allow_client_llm", "perhaps"),
        ("experts", "a/b"),
        ("controller_resources", {"head": "much"}),
        ("inference_mode", "remote"),
        ("inference_endpoint", "models.example.org"),
        ("inference_endpoint", "ftp://models.example.org"),
        ("inference_endpoint", "file:///etc/passwd"),
        ("inference_endpoint", "https://"),
        ("inference_endpoint", "https://x:99999"),
        ("inference_endpoint", "https://[x"),
        ("inference_endpoint", "https://models.example.org/?a=b"),
        ("inference_endpoint", "https://models.example.org/a b"),
        ("openai_base_url", "llm.example.org"),
        ("azure_openai_endpoint", "https://llm.example.org?a=b"),
        ("planner_base_url", "ftp://llm.example.org"),
        ("responder_base_url", "https://me:secret@llm.example.org"),
        ("expert_base_url", "https://"),
        ("brain", "human"),
        ("llm_timeout_s", 0),
        ("llm_retries", 11),
        ("llm_concurrency", 0),
        ("llm_context_tokens", LEAST_CONTEXT_TOKENS - 1),
        ("llm_reasoning_effort", "Very much"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    assert f"setting '{name}" in _refusal(**{name: value})


def test_the_smallest_context_has_room_for_the_rules_and_a_conversation() -> None:
    """Even where every model of the catalog runs."""
    known = Catalog.shipped()
    request = Request(messages=(Message(role="user", content="Draw a cat and " + "so on and " * 200),))

    async def sent() -> list[dict[str, str]]:
        with ScriptedEndpoint('{"tasks": [], "reply": "Hi"}') as endpoint:
            where = Endpoint(model="m", base_url=endpoint.url, context_tokens=LEAST_CONTEXT_TOKENS)
            llm = Llm(where)
            async for _ in LlmPlanner(llm).plan(request, lambda task: known.top_k(task, 20), Plan()):
                pass
            await llm.close()
            return endpoint.requests[0].messages

    system, asked = asyncio.run(sent())
    assert static_prompt(examples=False) in system["content"]
    assert asked["content"] == request.text, "it is not cut"
    assert size([system, asked]) <= LEAST_CONTEXT_TOKENS * 3 // 4 + FRAME, "there is room for a plan"


def test_every_fault_is_told(folder: Path) -> None:
    _write(folder, 'port = 0\ntopk = 3\nhost = "a b"\n')
    message = _refusal()
    assert all(name in message for name in ("'port'", "'topk'", "'host'"))


@pytest.mark.parametrize("text", ["port = ", "= 1", "[port", "port = 1\nport = 2", "\x00"])
def test_what_is_no_toml_says_where(folder: Path, text: str) -> None:
    _write(folder, text)
    assert f"The settings file {FILE} is no valid TOML" in _refusal()


def test_a_file_in_another_encoding(folder: Path) -> None:
    (folder / FILE).write_bytes(b'host = "\xff"')
    assert "is no valid TOML" in _refusal()


def test_a_named_file_must_be_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "absent.toml cannot be read: No such file" in _refusal(folder / "absent.toml")
    assert "Is a directory" in _refusal(folder)
    monkeypatch.setenv("HUGGINGGPT_CONFIG", "absent.toml")
    assert "absent.toml cannot be read" in _refusal()


def test_a_list_that_is_no_json_is_refused_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGGPT_EXPERTS", KEY)
    message = _refusal()
    assert "experts" in message
    assert KEY not in message


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load().port = 1  # type: ignore[misc]


def test_the_storage_of_files_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGGPT_ARTIFACTS", "sftp://me:hunter2@host/files")
    message = _refusal()
    assert "'artifacts': it must hold no password" in message
    assert "hunter2" not in message
    for fine in ("s3://box/files", "abfs://box@account.dfs.core.windows.net/x", "/mnt/files"):
        monkeypatch.setenv("HUGGINGGPT_ARTIFACTS", fine)
        assert load().artifacts == fine
