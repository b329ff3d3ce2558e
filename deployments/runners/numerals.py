"""Numbers in English words, for voices that read no digits."""

import re
from typing import Any

_SYMBOLS = "$€£¢¥₹₽₩₪₫฿₺₴₱₦"
_BETWEEN = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # thousands
_MINUS = re.compile(rf"(?<![\w.,)%])[-−](?=[{_SYMBOLS}]?\d)")
_NUMBER = re.compile(
    rf"(?P<money>[{_SYMBOLS}])?(?P<whole>\d+)(?:\.(?P<part>\d+))?(?:(?P<nth>st|nd|rd|th)\b|(?P<share>\s?%))?",
    re.IGNORECASE,
)
_LONGEST = 15  # digits of a number; of more, each is read, as of a code
_NTH = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def spelled(text: str) -> str:
    """An English text with its numbers written out: ``$1,200`` becomes ``one thousand two hundred dollars``.

    Numbers that begin with 0, as those of telephones, are read digit by digit.
    """
    from transformers.models.speecht5.number_normalizer import EnglishNumberNormalizer

    normalizer = EnglishNumberNormalizer()
    text = _MINUS.sub("minus ", _BETWEEN.sub("", text))
    return _NUMBER.sub(lambda found: _number(found, normalizer), text)


def _number(found: re.Match[str], normalizer: Any) -> str:
    whole, part = found["whole"], found["part"]
    by_digits = len(whole) > _LONGEST or (len(whole) > 1 and int(whole[0]) == 0)
    words = _digits(whole, normalizer) if by_digits else normalizer.convert(whole) or "zero"
    if part:
        words += f" point {_digits(part, normalizer)}"
    if found["nth"]:
        words = _nth(words)
    if found["share"]:
        words += " percent"
    if found["money"]:
        words += normalizer.currency_symbols[found["money"]]
    # Letters beside it, as in "B2", are words of their own.
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return f"{' ' * before.isalnum()}{words}{' ' * after.isalnum()}"


def _digits(number: str, normalizer: Any) -> str:
    return " ".join(normalizer.spell_number(int(digit)) for digit in number)


def _nth(words: str) -> str:
    """``twenty one`` becomes ``twenty first``."""
    start, blank, last = words.rpartition(" ")
    usual = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return start + blank + _NTH.get(last, usual)
