"""Counts the memory that a computation holds, tensor by tensor, on the CPU or on tensors without contents."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Ledger(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, every tensor that torch makes is written down, and struck out when it is gone.

    Tensors of one storage count once. What kernels use inside themselves is not seen.

    Attributes:
        held: bytes of the tensors that are alive.
        peak: the most that were alive at once.

    """

    def __init__(self, known: Iterable[Any] = ()) -> None:
        """Begin a ledger in which the tensors of ``known``, such as weights, do not count."""
        super().__init__()
        self.held = 0
        self.peak = 0
        self._known = [one.untyped_storage() for one in known if isinstance(one, torch.Tensor)]
        self._seen: dict[int, Any] = {id(storage): None for storage in self._known}

    @contextmanager
    def beside(self, tensors: Iterable[Any]) -> Iterator[None]:
        """Count tensors that were made elsewhere, such as a call's arguments, for a while."""
        storages = {id(one.untyped_storage()): one.untyped_storage() for one in tensors}
        new = {key: storage for key, storage in storages.items() if key not in self._seen}
        size = sum(storage.nbytes() for storage in new.values())
        self._seen |= dict.fromkeys(new)
        self.held += size
        self.peak = max(self.peak, self.held)
        try:
            yield
        finally:
            self.held -= size
            for key in new:
                del self._seen[key]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._write(tensor.untyped_storage())
        return made

    def _write(self, storage: Any) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._seen:
            return

        def gone(_: Any) -> None:
            del self._seen[key]
            self.held -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.held += size
        self.peak = max(self.peak, self.held)
