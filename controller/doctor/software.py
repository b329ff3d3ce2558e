"""Checks of versions, ports and Ray's token."""

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Machine
from controller.settings import Settings

PYTHON = (3, 11)
"""The oldest Python that is known to work."""

SHOWN = ("ray", "torch", "transformers", "diffusers")
"""Packages whose versions are told even where all is well."""


def versions(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Python, and every package that this project needs in a version that it was made for."""
    own = ".".join(map(str, machine.python()))
    if machine.python() < PYTHON:
        yield fail("Python", own, "Make the environment anew with Python 3.11.")
    else:
        yield ok("Python", own)
    wrong = []
    for line in machine.requirements():
        asked = Requirement(line)
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        have = machine.version(asked.name)
        if have is None:
            wrong.append(f"{asked.name} is missing")
        elif not asked.specifier.contains(have, prereleases=True):
            wrong.append(f"{asked.name} is {have} where {asked.specifier} is needed")
    if wrong:
        todo = (
            "Install the project anew: make setup in its folder, or pip install --force-reinstall its wheel."
        )
        yield fail("packages", "; ".join(wrong), todo)
    else:
        told = ", ".join(f"{name} {have}" for name in SHOWN if (have := machine.version(name)))
        yield ok("packages", told)


def torchvision(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether torchvision is beside a torch of another build, which breaks every import of transformers."""
    torch, vision = machine.version("torch"), machine.version("torchvision")
    if vision is None or torch is None:
        return
    if "+cpu" in torch and "+cpu" not in vision:
        yield fail(
            "torchvision",
            f"torchvision {vision} is built for CUDA and torch {torch} for the CPU, so that transformers "
            "cannot be imported",
            "pip uninstall torchvision; only GPU machines need it.",
        )
    else:
        yield ok("torchvision", f"{vision} beside torch {torch}")


def ports(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether the ports of the HTTP endpoint and of the dashboard are free, or ours."""
    server = machine.server()
    if server is not None:
        yield ok("ports", f"a server of yours runs at {server.url}")
        return
    wanted = {
        "port": (settings.host, settings.port),
        "dashboard_port": ("127.0.0.1", settings.dashboard_port),
    }
    for name, (host, port) in wanted.items():
        if machine.free_port(host, port):
            yield ok(name, f"{port} of {host} is free")
        else:
            hint = "hugginggpt up --port N" if name == "port" else "the setting dashboard_port"
            yield fail(name, f"{port} of {host} is taken", f"Stop what uses it, or choose another by {hint}.")


def ray_token(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether Ray's own ports are guarded by a token that is this user's alone."""
    if machine.environ.get("RAY_AUTH_MODE") == "disabled":
        yield fail(
            "Ray's token",
            "RAY_AUTH_MODE=disabled leaves Ray's ports open to everyone on this machine",
            "Unset RAY_AUTH_MODE; hugginggpt up refuses to start with it.",
        )
        return
    if "RAY_AUTH_TOKEN" in machine.environ:
        yield ok("Ray's token", "RAY_AUTH_TOKEN is set")
        return
    named = machine.environ.get("RAY_AUTH_TOKEN_PATH")
    file = (
        Path(named) if named else Path(machine.environ.get("HOME", "~")).expanduser() / ".ray" / "auth_token"
    )
    rights = machine.mode(file)
    if rights is None and named:
        yield fail(
            "Ray's token", f"RAY_AUTH_TOKEN_PATH names {file}, which is not there", "Put the token there."
        )
    elif rights is None:
        yield ok("Ray's token", "none yet; Ray makes one when a server is started")
    elif rights & 0o077 and all((machine.mode(folder) or 0) & 0o001 for folder in file.parents):
        yield warn("Ray's token", f"{file} can be read by other users", f"chmod 600 {file}")
    else:
        yield ok("Ray's token", f"{file}")
