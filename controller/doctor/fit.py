"""Whether models fit a machine: its disk, its GPUs, its memory."""

from collections.abc import Iterator, Sequence

from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Machine
from controller.errors import ControllerError
from controller.sizes import size
from deployments import holdings, store
from model_catalog import profiles
from model_catalog.profiles import Need

GB = 10**9

BASE = 3 * GB
"""Bytes of memory that Ray, the controller and the embedded experts take."""

SPARE = GB
"""Bytes that are to stay free on the disk."""

_NAMED = 3  # how many models a line names


def fit(machine: Machine, needs: Sequence[Need]) -> Iterator[Finding]:
    """Whether models fit a machine: those that are not here its disk, the largest its GPUs and memory."""
    yield _disk(machine, needs)
    try:
        own = machine.memory()[0]  # of GPUs that share it, for which the driver has no figure
        gpus = sorted((gpu.memory or own for gpu in machine.gpus()), reverse=True)
    except ControllerError:
        gpus = []
    yield _gpus(gpus, needs) if gpus else _memory(machine, needs)


def _disk(machine: Machine, needs: Sequence[Need]) -> Finding:
    absent = profiles.total([one for one in needs if not holdings.here(one.card)])
    _, free = machine.disk(store.home())
    told = f"{size(absent.disk)} are still to be pulled, and {store.home()} has {size(free)} free"
    if absent.disk and absent.disk + SPARE > free:
        todo = "Free some, let HF_HOME name a folder on a larger disk, or take a smaller profile."
        return fail("fit: disk", told, todo)
    return ok("fit: disk", told)


def _gpus(gpus: Sequence[int], needs: Sequence[Need]) -> Finding:
    """Each model must fit alone: those in use share what there is, others sleep."""
    over = [one for one in needs if one.gpu and one.gpu > gpus[0]]
    largest = max((one.gpu or 0 for one in needs), default=0)
    told = f"the largest model needs {size(largest)}, and a GPU has {size(gpus[0])}"
    if not over:
        return ok("fit: GPU", f"{told}; models that are not in use sleep")
    models = some([one.card.id for one in over])
    if max(one.gpu or 0 for one in over) <= sum(gpus):
        return ok("fit: GPU", f"{told}; {models} take several of {len(gpus)} GPUs")
    return warn(
        "fit: GPU",
        f"{told}; {models} cannot run here",
        "Take a smaller profile, or leave them out in a profile of your own.",
    )


def _memory(machine: Machine, needs: Sequence[Need]) -> Finding:
    whole, _ = machine.memory()
    over = [one for one in needs if one.ram and one.ram + BASE > whole]
    largest = max((one.ram or 0 for one in needs), default=0)
    told = (
        f"without a GPU the largest model needs {size(largest)} of memory, {size(BASE)} are for "
        f"all else, and there are {size(whole)}"
    )
    if not over:
        return ok("fit: memory", f"{told}; models that are not in use sleep")
    return warn(
        "fit: memory",
        f"{told}; {some([one.card.id for one in over])} cannot run here",
        "Take a smaller profile, or leave them out in a profile of your own.",
    )


def some(models: Sequence[str]) -> str:
    """The first few of several models, and how many more there are."""
    more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
    return ", ".join(models[:_NAMED]) + more
