"""All checks at once, none longer than its time."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from queue import Empty, SimpleQueue

from controller.doctor.finding import Finding, State, fail, warn
from controller.doctor.machine import Machine
from controller.settings import Settings
from model_catalog.errors import HuggingGPTError

Check = Callable[[Machine, Settings], Iterable[Finding]]


def _of(module: str, name: str) -> Check:
    """A check whose module is imported when it runs: a library that is broken fails no other check."""

    def check(machine: Machine, settings: Settings) -> Iterable[Finding]:
        found: Iterable[Finding] = getattr(import_module(f"controller.doctor.{module}"), name)(
            machine, settings
        )
        return found

    return check


CHECKS: Mapping[str, Check] = {
    "GPU": _of("hardware", "gpu"),
    "memory": _of("hardware", "memory"),
    "disk": _of("hardware", "disks"),
    "shared memory": _of("hardware", "shared"),
    "open files": _of("hardware", "files"),
    "packages": _of("software", "versions"),
    "torchvision": _of("software", "torchvision"),
    "ports": _of("software", "ports"),
    "Ray's token": _of("software", "ray_token"),
    "API keys": _of("guarding", "keys"),
    "Hub": _of("network", "hub"),
    "LLM": _of("network", "llm"),
    "experts": _of("models", "experts"),
    "fit": _of("models", "profile"),
}
"""The checks by name, in the order of the report."""

LONGEST_S = 45.0
"""Seconds after which a check is given up."""


def examine(
    machine: Machine,
    settings: Settings,
    checks: Mapping[str, Check] = CHECKS,
    seconds: float = LONGEST_S,
) -> list[Finding]:
    """Run checks at once, each in a thread of its own; what they found is in their order.

    Args:
        machine: the machine they look at.
        settings: what is wanted of it.
        checks: them, by name.
        seconds: after which those that are not through are given up.

    """
    done: SimpleQueue[tuple[str, list[Finding]]] = SimpleQueue()
    for name, check in checks.items():
        # Not a pool: it would wait at the end for a check that hangs.
        threading.Thread(
            target=lambda n=name, c=check: done.put((n, _findings(n, c, machine, settings))), daemon=True
        ).start()
    found: dict[str, list[Finding]] = {}
    until = time.monotonic() + seconds
    while len(found) < len(checks):
        try:
            name, lines = done.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        found[name] = lines
    return [finding for name in checks for finding in found.get(name, [_late(name, seconds)])]


def failing(findings: Iterable[Finding]) -> bool:
    """Whether something does not work until a person does something."""
    return any(finding.state is State.FAIL for finding in findings)


def _findings(name: str, check: Check, machine: Machine, settings: Settings) -> list[Finding]:
    try:
        return list(check(machine, settings))
    except HuggingGPTError as error:
        what, _, todo = error.message.rstrip(".").partition("; ")
        return [fail(name, what, f"{todo[:1].upper()}{todo[1:]}." if todo else "Mend the settings.")]
    except Exception as error:
        told = f"it could not be checked ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        return [warn(name, told, "Tell the project, with this line.")]


def _late(name: str, seconds: float) -> Finding:
    return warn(
        name, f"nothing was found within {seconds:.0f} s", "Run hugginggpt doctor again; look what hangs."
    )
