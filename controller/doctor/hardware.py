"""Checks of GPUs, memory, disks and what the system allows."""

from collections.abc import Iterator
from pathlib import Path

from controller.doctor.finding import Finding, fail, ok, warn
from controller.doctor.machine import Gpu, Machine
from controller.errors import ControllerError
from controller.settings import Settings
from controller.sizes import size
from deployments import store

GB = 10**9

LEAST_MEMORY = 4 * GB
"""Bytes of memory below which Ray, the controller and the embedded experts have little room."""

LEAST_SHM = 1 * GB
"""Bytes of shared memory below which Ray puts its objects on the disk."""

LEAST_DISK = 2 * GB
"""Bytes below which a disk is as good as full."""

LEAST_FILES = 4096
"""Open files below which Ray's processes run into the limit."""

FULL = 0.95
"""Ray makes no more objects on disks that are fuller."""


def gpu(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """GPUs, their driver, and whether torch is built for them and reaches them."""
    try:
        found = machine.gpus()
    except ControllerError as error:
        yield fail(
            "GPU",
            error.message,
            "Reboot, or install NVIDIA's driver anew, until nvidia-smi lists the GPU; models run on the CPU "
            "till then.",
        )
        return
    if not found:
        yield warn(
            "GPU",
            "none; models of the Hub run on the CPU, and drawing takes minutes there",
            "Take the profile minimal, or remote; where there is an NVIDIA GPU, install its driver "
            "(nvidia-smi must list it) and start containers with --gpus all.",
        )
        return
    yield ok("GPU", "; ".join(map(_named, found)))
    yield _torch(machine)


def _named(one: Gpu) -> str:
    return f"{one.name}, {size(one.memory)} ({size(one.free)} free), driver {one.driver}"


def _torch(machine: Machine) -> Finding:
    try:
        cuda, available = machine.torch()
    except ControllerError as error:
        return fail("torch", error.message, "Install it anew: pip install --force-reinstall torch==2.13.0.")
    if cuda is None:
        return fail(
            "torch",
            f"torch {machine.version('torch')} is built for the CPU, and leaves the GPU idle",
            "Install the build for CUDA of the same version over it: see https://pytorch.org/get-started/locally.",
        )
    if not available:
        return fail(
            "torch",
            f"torch is built for CUDA {cuda}, and reaches no GPU",
            f"Update NVIDIA's driver to one that knows CUDA {cuda}, and look at CUDA_VISIBLE_DEVICES.",
        )
    return ok("torch", f"torch {machine.version('torch')} reaches the GPU with CUDA {cuda}")


def memory(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Host memory, as far as the container lets it be used."""
    whole, available = machine.memory()
    told = f"{size(whole)}, {size(available)} available"
    if available < LEAST_MEMORY:
        todo = f"Close other programs, or give the container more: {size(LEAST_MEMORY)} at least."
        yield warn("memory", told, todo)
    else:
        yield ok("memory", told)


def disks(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """The disks of the Hub's cache, of the files that are made, and of Ray's own."""
    places = {
        "models": (store.home(), "let HF_HOME name a folder"),
        "files": (settings.data_dir, "choose one by the setting data_dir"),
        "Ray": (Path(machine.environ.get("RAY_TMPDIR") or "/tmp/ray"), "let RAY_TMPDIR name a folder"),  # noqa: S108
    }
    for name, (folder, choose) in places.items():
        yield _disk(machine, name, folder, choose)


def _disk(machine: Machine, name: str, folder: Path, choose: str) -> Finding:
    check = f"disk: {name}"
    if not machine.writable(folder):
        return fail(
            check, f"{folder} cannot be written", f"Give this user the right to, or {choose} of its own."
        )
    whole, free = machine.disk(folder)
    told = f"{folder} has {size(free)} free of {size(whole)}"
    todo = f"Free some, or {choose} on a larger disk; hugginggpt rm MODEL removes models."
    if free < LEAST_DISK:
        return fail(check, told, todo)
    if name == "Ray" and free < (1 - FULL) * whole:
        return warn(check, f"{told}, and Ray writes nothing to disks over {FULL:.0%} full", todo)
    return ok(check, told)


def shared(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Shared memory, in which Ray passes results from process to process."""
    folder = Path("/dev/shm")  # noqa: S108
    whole, free = machine.disk(folder)
    told = f"{folder} has {size(free)} free of {size(whole)}"
    if free < LEAST_SHM:
        todo = (
            "Start the container with --shm-size=4g, or mount /dev/shm larger; till then Ray uses the disk."
        )
        yield warn("shared memory", told, todo)
    else:
        yield ok("shared memory", told)


def files(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """How many files and connections a process may hold open."""
    most = machine.open_files()
    if most < LEAST_FILES:
        yield warn(
            "open files", f"{most} for each process", "Raise the limit: ulimit -n 65536 before hugginggpt up."
        )
    else:
        yield ok("open files", f"{most} for each process")
