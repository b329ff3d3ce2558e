"""What holds for every runner: how it is found, what it loads, and how a batch with a faulty input ends."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import numpy as np
import pytest

from deployments.errors import FleetError, InputError, StoppedError
from deployments.media import Audio, Image
from deployments.result import Result
from deployments.runners import registry
from deployments.runners.base import Runner
from deployments.runners.canny import Canny
from deployments.runners.registry import available, missing, resolve
from model_catalog.card import ModelCard
from tests.deployments.embedded import CARDS, EXAMPLES, answers, runner
from tests.deployments.samples import gradient, tone

NAMES = ("rapidocr", "espeak", "canny", "noisereduce", "vader", "textrank", "tfidf")

GOOD: dict[str, dict[str, Any]] = {
    "rapidocr": {"image": Image(gradient())},
    "espeak": {"text": "Good morning."},
    "canny": {"image": Image(gradient())},
    "noisereduce": {"audio": Audio(tone(), 16_000)},
    "vader": {"text": "A fine day."},
    "textrank": {"text": "One line. Two lines. Three lines."},
    "tfidf": {"text1": "a cat", "text2": "a dog"},
}
FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "rapidocr": ({"image": "/examples/sign.png"}, "a picture under 'image'"),
    "espeak": ({"text": " \n"}, "words under 'text'"),
    "canny": ({"image": Image(np.zeros((0, 3, 3), np.uint8))}, "a picture under 'image'"),
    "noisereduce": ({"audio": Audio(np.zeros(0, np.float32), 8000)}, "a recording under 'audio'"),
    "vader": ({}, "words under 'text'"),
    "textrank": ({"text": ["a", "b"]}, "words under 'text'"),
    "tfidf": ({"text1": "a cat"}, "words under 'text2'"),
}


def test_the_shipped_cards_name_these_runners_and_need_nothing_that_is_absent() -> None:
    assert set(CARDS) == set(NAMES)
    for name, card in CARDS.items():
        assert available(name)
        assert missing(card) == ()
        assert resolve(name).__module__ == f"deployments.runners.{name}"


def test_missing_names_the_modules_that_are_not_installed() -> None:
    card = ModelCard(
        id="a/b", tasks=("summarization",), requires=("numpy", "no_such", "no.such.part", "os.path", "")
    )
    assert missing(card) == ("no_such", "no.such.part", "")


def test_an_unknown_runner_says_what_to_do() -> None:
    with pytest.raises(FleetError, match=r"no runner 'nope'; use one of rapidocr, .*package\.module:Class"):
        resolve("nope")
    assert not available("nope")
    assert not available("")


@pytest.mark.parametrize(
    "name", ["no_such.module:Runner", "deployments.runners.canny:Nope", ":Canny", "canny:"]
)
def test_a_runner_that_cannot_be_imported_says_so(name: str) -> None:
    with pytest.raises(FleetError, match="cannot be imported; install its package"):
        resolve(name)


@pytest.mark.parametrize("name", ["pathlib:Path", "deployments.runners.rapidocr:in_reading_order"])
def test_only_runners_are_runners(name: str) -> None:
    with pytest.raises(FleetError, match="is no runner; name a subclass"):
        resolve(name)


def test_a_class_may_be_named_outright() -> None:
    assert resolve("deployments.runners.canny:Canny") is Canny


def test_a_plugin_offers_runners_but_takes_no_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, "deployments.runners.canny:Canny", registry.GROUP) for name in ("edges", "vader")
    )
    monkeypatch.setattr(registry, "entry_points", points.select)
    assert resolve("edges") is Canny
    assert resolve("vader") is not Canny


@pytest.mark.parametrize("name", NAMES)
def test_a_faulty_input_leaves_its_neighbours_alone(name: str) -> None:
    args, words = FAULTY[name]
    first, bad, last = answers(name, GOOD[name], args, GOOD[name])
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert isinstance(bad, InputError)
    assert words in str(bad)
    assert CARDS[name].tasks[0] in str(bad)


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_call_ends_and_the_next_one_runs(name: str) -> None:
    model = runner(name)
    model.stop()
    assert all(isinstance(found, StoppedError) for found in answers(name, GOOD[name], GOOD[name]))
    model.stopping.clear()
    assert isinstance(answers(name, GOOD[name])[0], Result)


_PROGRAM = """
import json, sys

def no_network(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"network: {event} {args}")

sys.addaudithook(no_network)
from tests.deployments.embedded import answer, picture, runner
before = [name for name in ("cv2", "onnxruntime", "sklearn", "scipy", "torch") if name in sys.modules]
for name in sys.argv[1:]:
    runner(name)
print(json.dumps({
    "before": before,
    "heavy": [name for name in ("torch", "transformers", "tensorflow") if name in sys.modules],
    "read": answer("rapidocr", image=picture("sign.png")).text,
}))
"""


def test_no_runner_imports_torch_or_uses_the_network() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, *NAMES],
        capture_output=True, text=True, check=False, cwd=EXAMPLES.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"before": [], "heavy": [], "read": "HARBOUR FERRY\nLEAVES AT NOON"}
    assert done.stderr == ""


def test_a_runner_has_to_say_how_it_answers() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Runner()  # type: ignore[abstract]
