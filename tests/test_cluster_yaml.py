"""cluster.yaml: what Ray's own validator says, and what the cluster must offer."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def config() -> dict[str, Any]:
    """The launcher's configuration as written."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    return loaded


def test_rays_validator_takes_it(config: dict[str, Any]) -> None:
    validate_config(prepare_config(config))


def test_rays_validator_would_refuse_a_wrong_one(config: dict[str, Any]) -> None:
    config["available_node_types"]["head"]["bogus"] = 1
    with pytest.raises(Exception, match="bogus"):
        validate_config(prepare_config(config))


def test_a_cpu_head_and_two_kinds_of_gpu_workers_that_start_from_zero(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    assert "GPU" not in types[config["head_node_type"]]["resources"]
    workers = [kind for name, kind in types.items() if name != config["head_node_type"]]
    assert len(workers) == 2
    assert all(kind["min_workers"] == 0 < kind["max_workers"] for kind in workers)
    assert sorted(kind["resources"]["GPU"] for kind in workers) == [1, 4]


def test_every_node_is_started_with_the_token_and_the_dashboard_stays_on_loopback(
    config: dict[str, Any],
) -> None:
    head = " ".join(config["head_start_ray_commands"])
    worker = " ".join(config["worker_start_ray_commands"])
    assert "RAY_AUTH_MODE=token" in head
    assert "RAY_AUTH_MODE=token" in worker
    assert "--dashboard-host=127.0.0.1" in head
    assert any(path.endswith("/.ray/auth_token") for path in config["file_mounts"])


def test_the_nodes_install_the_wheel_in_the_tested_versions(config: dict[str, Any]) -> None:
    setup = " ".join(config["setup_commands"])
    assert "hugginggpt_serve-*.whl" in setup
    assert "--constraint" in setup
    assert "2.60.0" in config["docker"]["head_image"]
    assert "ray==2.60.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
