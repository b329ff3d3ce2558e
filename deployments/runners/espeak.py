"""Speech by espeak-ng, through the shared library that espeakng-loader carries."""

import ctypes
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners.single import SingleRunner, text_of
from model_catalog.card import ModelCard

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_BY_CHARACTER = 1
_UTF8 = 1
_END_PAUSE = 0x1000

_USUAL = {"LATIN": "en", "CYRILLIC": "ru", "CJK": "zh", "ARABIC": "ar", "DEVANAGARI": "hi"}
_SURE = 0.8  # of a language, before a text is read in another one than its script's usual one
_LONG_ENOUGH = 12  # letters that a text in Latin script must have for that
_LOOKED_AT = 2000  # characters that tell a text's language

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """``espeak_VOICE``: what is wanted of a voice; only the language is ever filled in."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class Espeak(SingleRunner):
    """Reads texts aloud in the language they are written in, mono.

    The library keeps one voice and one callback for the whole process: one replica, one runner.
    """

    def load(self, card: ModelCard, device: str) -> None:
        """Load the library, its voices and the language classifier.

        Raises:
            ExpertError: the library does not find its voices.

        """
        super().load(card, device)
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._library, self._rate, folder = _initialized()
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._identifier.set_languages(_spoken(self._identifier.labels, folder))
        self._blocks: list[NDArray[np.int16]] = []
        self._callback = _Callback(self._collect)  # held here, for the library calls it later

    def answer(self, item: Input) -> Result:
        """The text as speech, float32 at the library's rate (22,050 Hz)."""
        text = text_of(item).replace("\0", " ")
        self._use_voice(self.language(text))
        self._blocks = []
        data = text.encode("utf-8", errors="replace")
        self._library.espeak_SetSynthCallback(self._callback)
        flags = _UTF8 | _END_PAUSE
        self._library.espeak_Synth(
            ctypes.c_char_p(data), ctypes.c_size_t(len(data) + 1), 0, _BY_CHARACTER, 0, flags, None, None
        )
        self._library.espeak_Synchronize()
        blocks, self._blocks = self._blocks, []
        self.check_stopped()
        if not any(block.any() for block in blocks):
            raise InputError(
                f"{item.task} found no words to read aloud under 'text'; give it a text with words."
            )
        return Result(audio=Audio(_joined(blocks), self._rate))

    def language(self, text: str) -> str:
        """The language to read ``text`` in, its script's usual one where the text is short or unclear."""
        text = text[:_LOOKED_AT]
        scripts = Counter(
            unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()
        )
        script = max(scripts, key=scripts.__getitem__, default="LATIN")
        found, probability = self._identifier.classify(text)
        short = script == "LATIN" and scripts.total() < _LONG_ENOUGH
        unclear = short or probability < _SURE
        return _USUAL.get(script, str(found)) if unclear else str(found)

    def _use_voice(self, language: str) -> None:
        wanted = _Voice(languages=language.encode())
        if self._library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
            raise ExpertError(f"espeak-ng has no voice for {language!r}; install espeakng-loader again.")

    def _collect(self, samples: Any, count: int, _events: int) -> int:
        """Take a block of samples from the library; 1 tells it to end."""
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return int(self.stopping.is_set())


@cache
def _initialized() -> tuple[ctypes.CDLL, int, Path]:
    """The library, its rate in Hz and its folder of voices.

    Once for a process: a second initialization frees the phonemes that the chosen voice still points to.

    Raises:
        ExpertError: the library does not find its voices.

    """
    import espeakng_loader

    folder = espeakng_loader.get_data_path()
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, folder.encode(), _DONT_EXIT)
    if rate <= 0:
        raise ExpertError("espeak-ng does not find its voices; install espeakng-loader again.")
    return library, rate, Path(folder)


def _spoken(labels: list[str], folder: Path) -> list[str]:
    """The languages that the classifier knows and the library has a dictionary for."""
    dictionaries = {"zh": "cmn"}
    return [label for label in labels if (folder / f"{dictionaries.get(label, label)}_dict").is_file()]


def _joined(blocks: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    samples = np.empty(sum(map(len, blocks)), np.float32)
    np.concatenate(blocks, out=samples, casting="same_kind")
    samples /= 32768.0
    return samples
