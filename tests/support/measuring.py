"""The memory of a loaded model on the CPU, counted tensor by tensor while its networks work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from deployments.result import Input
from deployments.runners.base import Runner
from deployments.sizing.ledger import Ledger

_CALLS = ("forward", "decode", "encode")


class Watch:
    """Counts what a runner's networks hold besides weights; what is done beside them is the CPU's alone."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.networks = list(_networks(runner))
        tensors = [tensor for net in self.networks for tensor in (*net.parameters(), *net.buffers())]
        self._ledger = Ledger(tensors)
        self._inside = False

    @property
    def weights(self) -> int:
        """Bytes of the parameters, those that parts share once."""
        found = {id(each): each.nbytes for net in self.networks for each in net.parameters()}
        return sum(found.values())

    def peak(self, items: Sequence[Input]) -> int:
        """The most bytes that one batch held.

        Raises:
            Exception: what an input was answered with.

        """
        for net in self.networks:
            for name in _CALLS:
                if hasattr(net, name):
                    setattr(net, name, self._counted(getattr(net, name)))
        for answer in self._runner.run(items):
            if isinstance(answer, Exception):
                raise answer
        return self._ledger.peak

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)  # generation looks what its encoder takes
        def counted(*args: Any, **options: Any) -> Any:
            if self._inside:
                return call(*args, **options)
            given = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, torch.Tensor)]
            self._inside = True
            try:
                # In inference mode the ledger would not see what compound operations hold inside.
                with torch.inference_mode(False), torch.no_grad(), self._ledger.beside(given), self._ledger:
                    return call(*args, **options)
            finally:
                self._inside = False

        return counted


def _networks(runner: Runner) -> Iterator[Any]:
    """Every network of a runner, each once; encoders that are called alone follow the whole."""
    seen: set[int] = set()
    for value in _values(vars(runner).values()):
        for net in (value, *_encoders(value)):
            if id(net) not in seen:
                seen.add(id(net))
                yield net


def _encoders(net: Any) -> list[Any]:
    config = getattr(net, "config", None)
    return [net.get_encoder()] if getattr(config, "is_encoder_decoder", False) else []


def _values(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, torch.nn.Module):
            yield value
        elif isinstance(value, dict):
            yield from _values(value.values())
        elif hasattr(value, "components"):  # a pipeline of diffusers
            yield from _values(value.components.values())
        elif type(value).__module__.startswith(("deployments.", "transformers.pipelines")):
            yield from _values(getattr(value, "__dict__", {}).values())
