"""The configuration that runs an LLM beside the experts."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

ROOT = Path(__file__).resolve().parent.parent


class Speaker:
    """Stands for vLLM."""

    def __call__(self) -> str:
        return "spoken"


def speaker(args: dict[str, Any]) -> serve.Application:
    """Builds the application, as ``ray.serve.llm`` does."""
    return serve.deployment(Speaker, ray_actor_options={"num_cpus": 0}).bind()


@pytest.fixture
def config() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "docs" / "llm.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_it_is_one_that_serve_takes(config: dict[str, Any]) -> None:
    (app,) = ServeDeploySchema.model_validate(config).applications
    assert (app.name, app.route_prefix) == ("llm", "/llm")
    (llm,) = app.args["llm_configs"]
    (bundle,) = llm["placement_group_config"]["bundles"]
    kept = llm["engine_kwargs"]["gpu_memory_utilization"]
    assert kept < bundle["GPU"] == float(llm["runtime_env"]["env_vars"]["VLLM_RAY_PER_WORKER_GPUS"])
    assert config["http_options"]["host"] == "127.0.0.1"
    packages = app.runtime_env["pip"]["packages"]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={packages[0].partition('==')[2]}" in pinned


def test_it_is_served_beside_the_product(config: dict[str, Any], http: httpx2.Client, http_port: int) -> None:
    (app,) = config["applications"]
    app |= {"import_path": "tests.test_llm_config:speaker", "runtime_env": {}}
    config["http_options"]["port"] = http_port
    before = set(serve.status().applications)
    client = _get_global_client()
    client.deploy_apps(ServeDeploySchema.model_validate(config), _blocking=True)
    try:
        assert set(serve.status().applications) == before | {"llm"}
        assert http.get("/llm").text == "spoken"
        assert http.get("/readyz").status_code == 200
    finally:
        serve.delete("llm")
