"""A local server: Ray, Serve and every application on this machine; started, found and stopped."""

import json
import logging
import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from platformdirs import user_state_path

from controller.errors import ControllerError
from controller.locksmith import good_keys
from controller.settings import Settings

KEYS = (
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "HUGGINGGPT_PLANNER_API_KEY",
    "HUGGINGGPT_RESPONDER_API_KEY",
    "HUGGINGGPT_EXPERT_API_KEY",
    "HUGGINGFACE_ACCESS_TOKEN",
    "HUGGINGGPT_API_KEY",
    "HUGGINGGPT_DATABASE",
    "AZURE_OPENAI_AD_TOKEN",
    "OPENAI_ADMIN_KEY",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_WEBHOOK_SECRET",
)
"""Variables that hold keys: ours, and others that OpenAI's clients read."""

STOP_S = 60.0
"""How long a server may take to stop."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running local server: its process, its addresses, and why experts of it did not become ready."""

    pid: int
    url: str
    dashboard: str | None = None
    failed: dict[str, str] = field(default_factory=dict)


def url(settings: Settings) -> str:
    """The address of the HTTP endpoint, from this machine where it listens on all of its addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}"


@contextmanager
def serving(settings: Settings, *, dashboard: bool = True) -> Iterator[Server]:
    """Start Ray and Serve here, deploy everything, and stop it all at the end.

    Args:
        settings: the settings.
        dashboard: whether Ray's dashboard runs too; a server without one is for a single command.

    Raises:
        ControllerError: the port is taken.
        HuggingGPTError: an application cannot be deployed.

    """
    check(settings, dashboard)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    import ray
    from ray import serve

    from controller.app import install

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # of this process alone
    keys = {name: os.environ.pop(name) for name in KEYS if name in os.environ}  # not for Ray's processes
    try:
        context = ray.init(
            address="local",
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            log_to_driver=False,
            logging_level="ERROR",
        )
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": settings.host, "port": settings.port},
            logging_config={"enable_access_log": False},
        )
        _, failed = install(settings, lasting=dashboard)
        shown = context.dashboard_url if dashboard else None
        yield Server(os.getpid(), url(settings), f"http://{shown}" if shown else None, failed)
    finally:
        ray.shutdown()  # ends every process of this cluster, Serve's too
        os.environ.update(keys)


def check(settings: Settings, dashboard: bool = True) -> None:
    """Refuse what cannot work before anything is started.

    Raises:
        ControllerError: a port is taken, the data folder cannot be used, Ray would be left unguarded, or
            nobody could use the server, since it asks for keys and there is none.
        HistoryError: the database of keys cannot be used.

    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        raise ControllerError("RAY_AUTH_MODE=disabled leaves Ray's ports open to everyone; unset it.")
    if not _here(settings.host):
        raise ControllerError(
            f"{settings.host} is no address of this machine; give one that is by --host, or 0.0.0.0 for all."
        )
    ports = {"port": (settings.host, settings.port)}
    if dashboard:
        ports["dashboard_port"] = ("127.0.0.1", settings.dashboard_port)
    for name, (host, port) in ports.items():
        if not free(host, port):
            hint = "with --port" if name == "port" else f"by the setting {name}"
            raise ControllerError(f"Port {port} of {host} is taken; stop what uses it, or choose one {hint}.")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ControllerError(
            f"The folder {settings.data_dir} cannot be made ({error.strerror}); "
            "choose one by the setting data_dir."
        ) from None
    if settings.keyed and not good_keys(settings):
        why = f"{settings.host} can be reached from other machines" if settings.exposed else "keys = required"
        raise ControllerError(
            f"This server would ask everybody for an API key ({why}), and there is none yet. Make one: "
            "hugginggpt keys create --name NAME --scope run,files,admin"
        )


def _here(host: str) -> bool:
    """Whether a name or address is one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_port(host: str) -> int:
    """A port that was free just now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _record() -> Path:
    return user_state_path("hugginggpt") / "server.json"


def _began(pid: int) -> int:
    """When a process began, in clock ticks since the machine did: tells it from a later one of its number.

    Raises:
        OSError: there is no such process.

    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[19])


@contextmanager
def announced(server: Server) -> Iterator[None]:
    """Let other commands of this user find the server while it runs."""
    record = _record()
    record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    record.write_text(json.dumps(asdict(server) | {"began": _began(server.pid)}), encoding="utf-8")
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def running() -> Server | None:
    """The server this user started with ``up``, if its process is alive; never another one of its number."""
    try:
        known = json.loads(_record().read_text(encoding="utf-8"))
        began = known.pop("began")
        server = Server(**known)
        return server if _began(server.pid) == began else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def stop(server: Server) -> bool:
    """Ask a server to stop and wait until its process has ended; False where it goes on."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(server.pid)
        try:
            os.kill(server.pid, signal.SIGTERM)
            ended, _, _ = select.select([process], [], [], STOP_S)
        finally:
            os.close(process)
        return bool(ended)
    return True
