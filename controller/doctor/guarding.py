"""Checks of who could use the server: whether it asks for API keys, and whether there are any."""

from collections.abc import Iterator

from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Machine
from controller.settings import Settings
from model_catalog.errors import HuggingGPTError


def keys(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Whether a server that asks for keys could be used by anybody, and by nobody who overhears one."""
    check = "API keys"
    if not settings.keyed:
        yield ok(check, f"none are asked for: only this machine reaches {settings.host}")
        return
    try:
        count = machine.good_keys(settings)
    except HuggingGPTError as error:
        yield fail(check, error.message.rstrip("."), "Mend the setting database, or start that database.")
        return
    if not count:
        todo = "hugginggpt keys create --name NAME; hugginggpt up refuses to start without one."
        yield fail(check, "they are asked for, and there is none", todo)
        return
    told = f"{count} {'is' if count == 1 else 'are'} good"
    if settings.exposed:
        todo = (
            "Put a proxy that speaks TLS before it, name it in the setting hosts (https://NAME), and keep "
            "host = 127.0.0.1 with keys = required; docs/identity.md shows how."
        )
        yield warn(check, f"{told}, and they travel over plain HTTP to {settings.host}", todo)
        return
    yield ok(check, told)
