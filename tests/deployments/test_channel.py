"""Messages between a replica and its model's process."""

import os
import pickle
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deployments.account import Account
from deployments.channel import Channel, Closed, _load
from deployments.errors import InputError
from deployments.media import Audio, Image, Table
from deployments.result import Call, Input, Result
from model_catalog.tasks import Modality


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    """Ends that trust nobody."""
    one, other = (Channel(end, trusted=False) for end in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def _through(pair: tuple[Channel, Channel], message: Any) -> Any:
    sender = threading.Thread(target=pair[0].send, args=(message,))
    sender.start()
    found = pair[1].receive()
    sender.join()
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        arrays.arrays(st.sampled_from([np.uint8, np.float32, np.int64]), arrays.array_shapes(max_side=5)),
        arrays.arrays(np.float32, (4, 6)).map(lambda array: array.T[::2]),
    )
)
def test_arrays_arrive_as_they_are(array: Any) -> None:
    ends = socket.socketpair()
    one, other = (Channel(end, trusted=False) for end in ends)
    found = _through((one, other), ("x", array))[1]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")
    assert found.flags.writeable
    one.close()
    other.close()


def test_values_of_ours_arrive(pair: tuple[Channel, Channel]) -> None:
    result = Result(
        text="a",
        data={"score": 0.5, "kind": Modality.IMAGE},
        image=Image(np.zeros((4000, 1000, 3), np.uint8)),
        audio=Audio(np.ones(5, np.float32), np.int64(16000)),  # type: ignore[arg-type]
        table=Table(("a",), (("1",),)),
    )
    call = Call("r", "t", 1, {"text": "x"}, ("<GENERATED>-1",))
    got, error, called, given = _through(
        pair, [result, InputError("change it"), call, Input("t", {"a": "b"})]
    )
    assert (got.text, got.data, got.table, got.audio.rate) == ("a", result.data, result.table, 16000)
    assert np.array_equal(got.image.pixels, result.image.pixels)  # type: ignore[union-attr]
    assert (type(error), error.message, called, given.args) == (InputError, "change it", call, {"a": "b"})


@pytest.mark.parametrize("what", [os.getcwd, threading.Event, subprocess.Popen, Account.of])
def test_other_types_are_refused_and_the_next_message_is_read(
    pair: tuple[Channel, Channel], what: Any
) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is not taken"):
        _through(pair, what)
    assert _through(pair, "next") == "next"


class Torn:
    """A picture without its pixels, or a type that only its maker has."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return self.kind, ()


def test_what_cannot_be_read_is_told_and_the_next_message_is_read(
    pair: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pickle.UnpicklingError, match="TypeError"):
        _through(pair, Torn(Image))
    with monkeypatch.context() as patch:
        patch.setattr("deployments.result.Torn", Torn, raising=False)
        patch.setattr(Torn, "__module__", "deployments.result")
        pickled = pickle.dumps(Torn)
    monkeypatch.setattr(pickle, "dumps", lambda *_, **__: pickled)
    with pytest.raises(pickle.UnpicklingError, match="AttributeError"):
        _through(pair, Torn)
    monkeypatch.undo()
    assert _through(pair, "next") == "next"


def test_modules_that_ours_import_are_no_way_in(pair: tuple[Channel, Channel]) -> None:
    class Sneaky:
        def __reduce__(self) -> Any:
            return eval, ("1",)

    for pickled in (
        b"cdeployments.aside\nos.system\n.",
        b"cdeployments.aside\nask\n.",
        pickle.dumps(Sneaky()),
    ):
        with pytest.raises((pickle.UnpicklingError, AttributeError)):
            _load(bytearray(pickled), [], False)


def test_who_waits_is_told_that_the_other_side_is_gone(pair: tuple[Channel, Channel]) -> None:
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            pair[1].receive()
        except Closed as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    pair[0].close()
    waiting.join(20)
    assert len(caught) == 1
    with pytest.raises(Closed):
        pair[1].send("x")
