"""A call and its upstream values become what a runner works on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from deployments.decode import decode
from deployments.errors import InputError, TooLargeError
from deployments.media import Limits, Value
from deployments.result import Call, Input, Result, Upstream
from model_catalog.tasks import TASKS, Modality


def resolve(call: Call, upstream: Sequence[Upstream], limits: Limits) -> Input:
    """Fill every reference and file path of the call's arguments.

    Args:
        call: the call; ``call.sources`` says what each upstream value is.
        upstream: the values, in the order of ``call.sources``.
        limits: what decoding may cost.

    Raises:
        InputError: an upstream result lacks what an argument needs.
        MediaError: a file is not what the argument needs.

    """
    sources = dict(zip(call.sources, upstream, strict=True))
    row = TASKS[call.task]
    args: dict[str, Any] = {}
    for name, value in call.args.items():
        argument = row.argument(name)
        modality = argument.modality if argument else Modality.TEXT
        if value in sources:
            args[name] = _taken(sources[value], modality, name, value, limits)
        elif modality is Modality.TEXT:
            args[name] = _filled(value, sources, limits)
        else:
            raise InputError(f"{call.task} needs {modality} for {name!r}, but {value!r} was not delivered.")
        if isinstance(args[name], str) and len(args[name]) > limits.max_text_characters:
            raise TooLargeError(
                f"The text for {call.task} has {len(args[name]):,} characters; at most "
                f"{limits.max_text_characters:,} are taken, so send a part of it."
            )
    return Input(call.task, args)


def _taken(source: Upstream, modality: Modality, name: str, tag: str, limits: Limits) -> Value:
    if not isinstance(source, Result):
        return decode(source, modality, limits)
    value = source.mask if name == "mask" and source.mask is not None else source.value(modality)
    if value is None:
        raise InputError(f"{tag} gave no {modality} for {name!r}; ask for a task that makes one first.")
    return cast("Value", value)


def _filled(text: str, sources: Mapping[str, Upstream], limits: Limits) -> str:
    """The text with every reference replaced in one pass, so that a result's own words are never expanded."""
    tags = [tag for tag, source in sources.items() if isinstance(source, Result) and tag in text]
    if not tags:
        return text
    pattern = re.compile("|".join(re.escape(tag) + r"(?!\d)" for tag in tags))
    return pattern.sub(
        lambda match: str(_taken(sources[match[0]], Modality.TEXT, "text", match[0], limits)), text
    )
