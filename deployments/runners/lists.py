"""Several texts in one argument: labels, and sentences to compare."""

import json
import re

from deployments.errors import InputError
from deployments.result import Input

_MOST, _LONGEST = 100, 200  # labels, and characters of each


def listed(text: str) -> list[str] | None:
    """A JSON list of texts written as one text, None where it is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(part, str) for part in value) else None


def labels_of(item: Input) -> tuple[str, ...]:
    """The labels under ``labels``: parted by commas, or a JSON list; each once, in order.

    Raises:
        InputError: there are none, too many, or too long ones.

    """
    text = item.text("labels").strip()
    named = listed(text) or re.split(r"[,;\n]", text.strip("[]"))
    labels = tuple(dict.fromkeys(label for label in (" ".join(name.split()) for name in named) if label))
    if not labels:
        raise InputError(f"{item.task} needs words under 'labels', such as: cat, dog.")
    if len(labels) > _MOST or any(len(label) > _LONGEST for label in labels):
        raise InputError(f"{item.task} takes at most {_MOST} labels of {_LONGEST} characters; give it fewer.")
    return labels


def several(item: Input, name: str = "text2") -> list[str]:
    """The texts under a name: a list, one written as JSON, or one a line.

    Raises:
        InputError: there are none.

    """
    value = item.args.get(name)
    if isinstance(value, str):
        value = listed(value) or value.splitlines()
    parts = value if isinstance(value, list | tuple) else ()
    texts = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    if not texts:
        raise InputError(f"{item.task} needs words under {name!r}; give it a text, or several, one a line.")
    return texts
