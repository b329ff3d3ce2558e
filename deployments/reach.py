"""What Ray Serve's proxies answer to: the address they listen on, and every application with a route."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """How Serve is reached.

    Attributes:
        host: the address on which its proxies listen.
        routes: where each application answers, by name; those without a route are left out.

    """

    host: str
    routes: Mapping[str, str]


def reach() -> Reach:
    """How the Serve is reached that this process is connected to; blocks for up to a second."""
    from ray.serve.context import _get_global_client

    details = _get_global_client().get_serve_details()
    told = {name: app.get("route_prefix") for name, app in details["applications"].items()}
    host = str((details.get("http_options") or {}).get("host") or "")
    return Reach(host, {name: route for name, route in told.items() if route})
