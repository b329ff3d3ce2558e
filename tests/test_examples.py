"""The example files are what the script makes, and small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.decode import check, decode
from deployments.media import Audio, File, media_type
from model_catalog.tasks import Modality
from scripts import drawings
from scripts.make_examples import PICTURES

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = {"sign.png", *(f"{name}.jpg" for name in "abcdefg"), "noisy.wav"}


def test_the_examples_are_complete_and_small() -> None:
    files = {path.name: path.stat().st_size for path in EXAMPLES.iterdir() if path.suffix not in {".py", ""}}
    assert set(files) == NAMES
    assert sum(files.values()) < 1_500_000


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_example_may_be_used(name: str) -> None:
    data = (EXAMPLES / name).read_bytes()
    check(File(data, media_type(data)))


def test_the_sign_is_drawn_as_it_ships() -> None:
    with Image.open(EXAMPLES / "sign.png") as shipped:
        assert np.array_equal(np.asarray(shipped), np.asarray(drawings.sign()))


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_the_pictures_are_drawn_as_they_ship(name: str) -> None:
    drawn = PICTURES[name]()
    assert max(drawn.size) in range(512, 769)
    with Image.open(EXAMPLES / f"{name}.jpg") as shipped:
        assert shipped.size == drawn.size
        difference = np.abs(np.asarray(shipped, np.int16) - np.asarray(drawn, np.int16))
    assert difference.mean() < 3  # what JPEG takes away


def test_the_recording_is_made_as_it_ships(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("made")
    command = [sys.executable, "-m", "scripts.make_examples", str(folder)]
    subprocess.run(command, check=True, cwd=EXAMPLES.parent)
    assert {path.name for path in folder.iterdir()} == NAMES
    made, shipped = (_samples(place / "noisy.wav") for place in (folder, EXAMPLES))
    assert made.rate == shipped.rate == 16_000
    assert 3 < len(shipped.samples) / shipped.rate < 6
    assert np.array_equal(made.samples, shipped.samples)


def test_the_script_wants_a_folder() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.make_examples"],
        capture_output=True, text=True, check=False, cwd=EXAMPLES.parent,
    )  # fmt: skip
    assert done.returncode == 1
    assert "scripts.make_examples OUTDIR" in done.stderr


def _samples(path: Path) -> Audio:
    data = path.read_bytes()
    value = decode(File(data, media_type(data)), Modality.AUDIO)
    assert isinstance(value, Audio)
    return value
