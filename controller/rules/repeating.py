"""Repeating: "do the same for /examples/b.jpg": earlier cues, on the files and texts now named."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.rules.cues import Cue
from controller.rules.mentions import Mention
from controller.rules.reading import Sentence
from model_catalog.tasks import Modality


def rounds(cues: Sequence[Cue], said: Iterable[Mention]) -> list[list[Cue]]:
    """The cues once more for what is ``said``: for each of the files in turn, else as they were.

    Two files in the place of two are one round; so are two files where the cues named none.
    """
    new = list(said)
    if not new:
        return [list(cues)]
    modality = new[0].modality
    new = [mention for mention in new if mention.modality is modality]
    old = _named(cues, modality)
    if not old:
        return [list(cues)]
    batches = [new] if len(old) > 1 else [[mention] for mention in new]
    return [_replaced(cues, dict(zip(old, batch, strict=False))) for batch in batches]


def _named(cues: Sequence[Cue], modality: Modality) -> list[str]:
    """The different values of one modality that the sentences of the cues mention, in order."""
    sentences = {id(cue.segment.sentence): cue.segment.sentence for cue in cues}
    values = (
        token.mention.value
        for sentence in sentences.values()
        for token in sentence.tokens
        if token.mention and token.mention.modality is modality
    )
    return list(dict.fromkeys(values))


def _replaced(cues: Sequence[Cue], mentions: dict[str, Mention]) -> list[Cue]:
    sentences: dict[int, Sentence] = {}
    for cue in cues:
        sentence = cue.segment.sentence
        if id(sentence) not in sentences:
            tokens = tuple(
                replace(token, mention=replace(token.mention, value=mentions[token.mention.value].value))
                if token.mention and token.mention.value in mentions
                else token
                for token in sentence.tokens
            )
            sentences[id(sentence)] = Sentence(tokens, sentence.vocabulary)
    return [
        replace(cue, segment=replace(cue.segment, sentence=sentences[id(cue.segment.sentence)]))
        for cue in cues
    ]
