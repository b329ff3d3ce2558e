"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How serious it is: ``warn`` works with less, ``fail`` does not work until something is done."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        check: what was looked at, in a word or two.
        state: how serious it is.
        found: what was found, a sentence without its end.
        todo: what to do, an order; empty where nothing is to be done.

    """

    check: str
    state: State
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, State.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    """It works with less."""
    return Finding(check, State.WARN, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    """It does not work until something is done."""
    return Finding(check, State.FAIL, found, todo)
