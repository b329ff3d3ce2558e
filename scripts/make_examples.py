"""Make the example files: ``python -m scripts.make_examples OUTDIR``.

Pictures are drawn, the recording is spoken by espeak-ng with noise on top; fixed seeds give the same files.
"""

import sys
from pathlib import Path

import numpy as np

from deployments.encode import encode
from deployments.media import Audio, mono
from deployments.result import Input, Result
from deployments.runners.espeak import Espeak
from model_catalog.card import ModelCard
from scripts import drawings

PICTURES = {
    "a": drawings.cat,
    "b": drawings.landscape,
    "c": drawings.fruit,
    "d": drawings.figure,
    "e": drawings.room,
    "f": drawings.street,
    "g": drawings.page,
}
SPOKEN = "The harbour ferry leaves at noon. Please be at the pier ten minutes before."
RATE = 16_000
HISS = 0.03
HUM = 0.02


def speech() -> Audio:
    """The sentence of the recording, 16 kHz mono, with nothing on top."""
    runner = Espeak()
    runner.load(ModelCard(id="embedded/espeak", tasks=("text-to-speech",)), "cpu")
    result = runner.run([Input("text-to-speech", {"text": SPOKEN})])[0]
    if not isinstance(result, Result) or result.audio is None:
        raise SystemExit(f"No speech was made: {result}")
    spoken = mono(result.audio, RATE)
    return Audio(spoken.samples * np.float32(0.6), RATE)


def noisy(clean: Audio) -> Audio:
    """The recording under hiss and the hum of the mains (50 Hz and two overtones)."""
    time = np.arange(len(clean.samples)) / clean.rate
    hum = sum(np.sin(2 * np.pi * 50 * overtone * time) / overtone for overtone in (1, 2, 3))
    hiss = np.random.default_rng(9).normal(0, HISS, len(time))
    return Audio((clean.samples + HUM * hum + hiss).astype(np.float32), clean.rate)


def main(folder: Path) -> None:
    """Write every example into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings.sign().save(folder / "sign.png", optimize=True)
    for name, draw in PICTURES.items():
        draw().save(folder / f"{name}.jpg", quality=88, optimize=True)
    (folder / "noisy.wav").write_bytes(encode(noisy(speech())).data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
