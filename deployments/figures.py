"""What a replica measures of itself: how long it took to be ready, where it is, and the memory it took."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loaded:
    """How a model came to be ready.

    Attributes:
        device: where it runs, ``cpu`` or ``cuda``.
        pid: the process that holds it.
        start_s: seconds until that process was there; 0 where the model is in the replica's own.
        import_s: seconds of imports in that process.
        load_s: seconds of loading the weights, and of downloading them where they were not here.
        warm_s: seconds of the warm-up.

    """

    device: str
    pid: int
    start_s: float = 0.0
    import_s: float = 0.0
    load_s: float = 0.0
    warm_s: float = 0.0

    @property
    def ready_s(self) -> float:
        """Seconds of all of it."""
        return self.start_s + self.import_s + self.load_s + self.warm_s


@dataclass(frozen=True, slots=True)
class Figures:
    """What a replica measured of itself.

    Attributes:
        model: the model's id.
        device: where it runs, ``cpu`` or ``cuda``.
        peak_bytes: the most memory taken so far: of the GPU, or of the process where it runs on the CPU.
        start_s: see ``Loaded``, as for the next three.
        import_s: imports.
        load_s: weights.
        warm_s: warm-up.
        pid: the process that holds the model.
        node: Ray's id of the replica's node; empty outside of a cluster.
        gpus: the GPUs of that node that Ray gave to the replica; none for the CPU.
        share: the share of a GPU that the replica's card asks for; 0 for none.

    """

    model: str
    device: str
    peak_bytes: int
    start_s: float = 0.0
    import_s: float = 0.0
    load_s: float = 0.0
    warm_s: float = 0.0
    pid: int = 0
    node: str = ""
    gpus: tuple[str, ...] = ()
    share: float = 0.0

    @property
    def ready_s(self) -> float:
        """Seconds from the replica's constructor to ready."""
        return self.start_s + self.import_s + self.load_s + self.warm_s


class Clock:
    """Tells how long each of several steps took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self._since = self._since, time.monotonic()
        return self._since - before
