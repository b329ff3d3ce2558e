"""Three Ray nodes on one machine, and what a chain leaves on them; prints one line of JSON.

Run as a process of its own, since a process can be connected to one cluster only. The controller is on the
first node; the artifacts and the experts are on the two others.
"""

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import PIL.Image
import ray
from ray import serve
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster

from controller.app import install
from controller.server import any_port
from controller.settings import Settings
from model_catalog.card import ModelCard
from tests.support.cluster import card, write_cards

REQUEST = (
    "Show me the edges of {path}, then estimate the depth of the resulting image, "
    "then segment the resulting image."
)


def _cards() -> list[ModelCard]:
    placed = {
        "edges": ("canny-control", "one"),
        "depth": ("depth-estimation", "two"),
        "parts": ("image-segmentation", "one"),
    }
    return [
        card(name, task, "Echo").model_copy(update={"resources": {node: 0.1}})
        for name, (task, node) in placed.items()
    ]


def _picture() -> bytes:
    """A PNG of about ten megabytes."""
    noise = np.random.default_rng(7).integers(0, 256, (1900, 1800, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(noise).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def _created(node: dict[str, Any]) -> int:
    """How many bytes of objects a node's store has taken in so far."""
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return int(stats.store_stats.cumulative_created_bytes)


def main() -> None:
    """Bring the cluster up, run the chain, and print what was seen."""
    folder = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp"))
    ports = [any_port("127.0.0.1") for _ in range(3)]
    cluster = Cluster()
    try:
        cluster.add_node(
            num_cpus=2, object_store_memory=200 << 20, resources={"control": 1}, include_dashboard=False
        )
        for port, name in zip(ports[1:], ("one", "two"), strict=True):
            cluster.add_node(
                num_cpus=2,
                object_store_memory=200 << 20,
                resources={name: 1},
                env_vars={"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(port)},
            )
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        serve.start(
            proxy_location="EveryNode",
            http_options={"host": "127.0.0.1", "port": ports[0]},
            logging_config={"enable_access_log": False},
        )
        cards = _cards()
        settings = Settings(
            port=ports[0],
            data_dir=folder / "artifacts",
            catalog=write_cards(cards, folder / "cards.jsonl"),
            experts=tuple(item.id for item in cards),
            controller_resources={"control": 0.1},
            artifacts_resources={"two": 0.1},
        )
        install(settings)
        sys.stdout.write(json.dumps(_observe(ports)) + "\n")
        serve.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()


def _observe(ports: list[int]) -> dict[str, Any]:
    picture = _picture()
    nodes = {
        next(name for name in node["Resources"] if name in ("control", "one", "two")): node
        for node in ray.nodes()
    }
    with httpx2.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=120) as http:
        upload = http.post("/v1/files", files={"file": ("noise.png", picture)}).raise_for_status().json()
        before = {name: _created(node) for name, node in nodes.items()}
        body = {"messages": [{"role": "user", "content": REQUEST.format(path=upload["path"])}]}
        run = http.post("/v1/runs", json=body).raise_for_status().json()["run"]
        grown = {name: _created(node) - before[name] for name, node in nodes.items()}
    paths = [artifact["path"] for outcome in run["outcomes"] for artifact in outcome["artifacts"]]
    served = {}
    for port in ports:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            served[port] = [
                len(http.get(path).raise_for_status().content) for path in [upload["path"], *paths]
            ]
    return {
        "statuses": [outcome["status"] for outcome in run["outcomes"]],
        "picture": len(picture),
        "grown": grown,
        "served": list(served.values()),
        "files": len(paths),
    }


if __name__ == "__main__":
    main()
