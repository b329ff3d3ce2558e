"""Confidence: how sure a plan is, from what its reading shows.

A number between 0 and 1 for each task and for the plan. It is made of signs, each between 0 and 1 too, and
grows with each of them. Of a task:

- ``explicit``: whether words ask for it by name (1), by one word (0.9), only by a question such as "what is"
  (0.75), or no words do and another task needs it (0.85); a file or a quotation beside them adds one step;
- ``inputs``: the share of its required inputs that were found;
- ``wiring``: whether its inputs are the ones that its words name, or the only ones there are (1), the newest
  of several (0.9), or others (0.6); the least of them.

Of a plan:

- ``explained``: the share of the request's words that its tasks and arguments use, or that the vocabulary
  knows; a file or what stands in quotation marks counts as three words, and in a sentence that asks for no
  task an unknown word counts half;
- ``followed``: the share of the words naming a task that led to one;
- ``heeded``: the share of verbs at the head of a clause ("book me a flight") that are understood.

A task's confidence is the product of its signs, a plan's the product of its own signs and the mean of its
tasks; a sign that misleads more often counts for less (``FLOORS``). A plan without tasks has none.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from operator import itemgetter
from statistics import fmean

from controller import reference
from controller.rules.cues import Cue, find_cues
from controller.rules.drafting import ZERO_SHOT
from controller.rules.filling import GUIDED
from controller.rules.reading import Reading, Sentence
from controller.rules.vocabulary import Vocabulary
from controller.rules.wiring import Draft
from model_catalog.tasks import TASKS, Modality

THRESHOLD = 0.55
"""Below it the embedded brain asks back; fewer than one in twenty good plans of a sample are below."""

FLOORS: Mapping[str, float] = {
    "explicit": 0.0,
    "inputs": 0.4,
    "wiring": 0.7,
    "explained": 0.0,
    "followed": 0.6,
    "heeded": 0.4,
}
"""What a sign of 0 leaves of a confidence; a sign of 1 leaves all of it."""

_WORD = re.compile(r"[^\W_]+")
_BY_NAME, _BY_A_WORD, _NEEDED, _BY_A_QUESTION = 1.0, 0.9, 0.85, 0.75
_NEWEST, _ANY = 0.9, 0.6
_SMALL = ("articles", "definites", "prepositions", "pronouns", "fillers", "wh", "aux", "questions", "joints")
"""Groups of words that name nothing by themselves."""
_OBJECTS = ("articles", "definites", "pronouns")
"""Groups of words that may stand behind a verb, in front of what it is done to."""
_MENTIONED, _ASIDE = 3, 0.5
_LONGEST_DOUBT = 60
_MARKS = ".!?,;: "
_ALIASES = {sort: base for base, sort in ZERO_SHOT.items()} | dict.fromkeys(GUIDED, "text-to-image")


@dataclass(frozen=True, slots=True)
class TaskSigns:
    """What speaks for a task; see the module."""

    explicit: float = 1.0
    inputs: float = 1.0
    wiring: float = 1.0

    @property
    def value(self) -> float:
        """The task's confidence."""
        return _product(asdict(self))


@dataclass(frozen=True, slots=True)
class PlanSigns:
    """What speaks for a whole plan; see the module."""

    explained: float = 1.0
    followed: float = 1.0
    heeded: float = 1.0

    @property
    def value(self) -> float:
        """How well the request is understood, whatever its tasks are worth."""
        return _product(asdict(self))


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure a plan is.

    Attributes:
        signs: what speaks for the plan.
        tasks: what speaks for each task, in the plan's order.
        doubt: the words that are least understood, cut where they are many.
        unheeded: whether these begin with a verb that is not understood.

    """

    signs: PlanSigns
    tasks: tuple[TaskSigns, ...]
    doubt: str = ""
    unheeded: bool = False

    @property
    def value(self) -> float:
        """The plan's confidence; 0 without tasks."""
        return self.signs.value * fmean(task.value for task in self.tasks) if self.tasks else 0.0

    @property
    def understood(self) -> float:
        """The same, whether or not the inputs of its tasks were found."""
        found = [TaskSigns(task.explicit, 1.0, task.wiring).value for task in self.tasks]
        return self.signs.value * fmean(found) if found else 0.0


def confidence(reading: Reading, drafts: Sequence[Draft]) -> Confidence:
    """The confidence of a plan in wire form that was made from a reading."""
    sentences = reading.sentences
    cues = [find_cues(sentence) for sentence in sentences]
    asked = [cue for listed in cues for cue in listed if cue.tasks]
    by_task = {task: [cue for cue in asked if _asks_for(cue, task)] for task in {d["task"] for d in drafts}}
    used = _used(drafts)
    unknown = [_unknown(reading, *pair, used) for pair in zip(sentences, cues, strict=True)]
    strays = [list(_strays(*three)) for three in zip(sentences, cues, unknown, strict=True)]
    signs = PlanSigns(
        _explained(sentences, cues, unknown), _followed(asked, by_task), _heeded(cues, sum(map(len, strays)))
    )
    tasks = tuple(_task_signs(reading, drafts, by_task))
    return Confidence(signs, tasks, _doubt(reading, unknown, strays), any(strays))


def _explained(
    sentences: Sequence[Sentence], cues: Sequence[Sequence[Cue]], unknown: Sequence[Sequence[int]]
) -> float:
    weight = sum(_weight(word) for sentence in sentences for word in sentence.words)
    lost = sum(len(places) * (1 if listed else _ASIDE) for places, listed in zip(unknown, cues, strict=True))
    return 1 - lost / weight if weight else 1.0


def _weight(word: str) -> int:
    """How many words a token counts as; marks are none."""
    return _MENTIONED if word[0] == "<" and len(word) > 1 else word[0].isalnum()


def _followed(asked: Sequence[Cue], by_task: Mapping[str, Sequence[Cue]]) -> float:
    met = {id(cue) for listed in by_task.values() for cue in listed}
    naming = [id(cue) in met for cue in asked if _is_naming(cue)]
    return fmean(naming) if naming else 1.0


def _heeded(cues: Sequence[Sequence[Cue]], strays: int) -> float:
    orders = sum(1 for listed in cues for cue in listed if cue.tasks or cue.sense.repeat)
    return orders / (orders + strays) if strays else 1.0


def _product(signs: Mapping[str, float]) -> float:
    return prod(FLOORS[name] + (1 - FLOORS[name]) * value for name, value in signs.items())


def _used(drafts: Sequence[Draft]) -> frozenset[str]:
    """The words of the texts that tasks work on, as written but for capitals."""
    texts = dict.fromkeys(value for draft in drafts for value in draft["args"].values())
    return frozenset(word for text in texts for word in _written(text))


def _written(text: str) -> list[str]:
    """The words of a text, without what an apostrophe or a hyphen joins them by."""
    return _WORD.findall(text.lower())


def _unknown(reading: Reading, sentence: Sentence, cues: Sequence[Cue], used: frozenset[str]) -> list[int]:
    """Positions of the words that no task uses and the vocabulary does not know."""
    taken = {place for cue in cues for place in cue.segment.cue}
    taken |= {place for cue in cues for name in cue.segment.names for place in name.positions}
    return [
        place
        for place, token in enumerate(sentence.tokens)
        if token.word[0].isalnum()
        and place not in taken
        and not _is_known(token.word, sentence.vocabulary)
        and not used.issuperset(_written(reading.text[token.start : token.end]))
    ]


def _is_known(word: str, vocabulary: Vocabulary) -> bool:
    return (
        word in vocabulary.nouns
        or word in vocabulary.languages
        or any(word in group for group in vocabulary.groups.values())
    )


def _strays(sentence: Sentence, cues: Sequence[Cue], unknown: Sequence[int]) -> Iterator[int]:
    """Positions of words that stand as a verb does and are none that is known: "and water the plants".

    A thing stands so too in front of what something is done to ("email it"), but not in front of a file. A
    clause that asks for a task is understood, whatever its verb.
    """
    words, nouns = sentence.words, sentence.vocabulary.nouns
    subjects, fillers = sentence.vocabulary.groups["subjects"], sentence.vocabulary.groups["fillers"]
    objects = frozenset().union(*(sentence.vocabulary.groups[name] for name in _OBJECTS))
    joints, strange = sentence.vocabulary.groups["joints"], set(unknown)
    bounds = [place for place, word in enumerate(words) if word in joints]
    asking = {bisect_left(bounds, place) for cue in cues for place in cue.segment.cue}
    for place in sorted(sentence.openings):
        thing = words[place] in nouns
        if (place in strange or thing) and not (place and words[place - 1] in subjects):
            behind = [word for word in words[place + 1 : place + 3] if thing or word not in fillers]
            done_to = behind and (behind[0] in objects or (behind[0][0] == "<" and not thing))
            if done_to and bisect_left(bounds, place) not in asking:
                yield place


def _asks_for(cue: Cue, task: str) -> bool:
    if cue.sense.question and task.endswith("question-answering"):
        return True
    return task in cue.tasks or _ALIASES.get(task) in cue.tasks


def _is_naming(cue: Cue) -> bool:
    """Whether its words say more than "what is" does."""
    words, groups = cue.segment.sentence.words, cue.segment.vocabulary.groups
    return any(all(words[place] not in groups[name] for name in _SMALL) for place in cue.segment.cue)


class _Words:
    """The words that ask for a task, and what of them its signs hang on."""

    def __init__(self, cue: Cue) -> None:
        segment = cue.segment
        self.mentioned = frozenset(token.mention.value for token in segment.tokens if token.mention)
        self.points = bool(segment.names) or segment.has("pronouns")
        if not _is_naming(cue):
            self.explicit = _BY_A_WORD if self.mentioned else _BY_A_QUESTION
        else:
            self.explicit = _BY_NAME if self.mentioned or len(segment.cue) > 1 else _BY_A_WORD


def _task_signs(
    reading: Reading, drafts: Sequence[Draft], by_task: Mapping[str, Sequence[Cue]]
) -> Iterator[TaskSigns]:
    words = {task: list(map(_Words, cues)) for task, cues in by_task.items()}
    seen: Counter[str] = Counter()
    sources = _files(reading)
    for draft in drafts:
        asking = words[draft["task"]]
        said = asking[min(seen[draft["task"]], len(asking) - 1)] if asking else None
        seen[draft["task"]] += 1
        yield TaskSigns(said.explicit if said else _NEEDED, _inputs(draft), _wiring(draft, said, sources))
        for modality in TASKS[draft["task"]].outputs:
            sources[modality][reference.tag(draft["id"])] = len(sources[modality])


def _files(reading: Reading) -> defaultdict[Modality, dict[str, int]]:
    """The files and texts of a request by modality, with the order in which they were met."""
    found: defaultdict[Modality, dict[str, int]] = defaultdict(dict)
    for mention in reading.mentions:
        found[mention.modality].setdefault(mention.value, len(found[mention.modality]))
    return found


def _inputs(draft: Draft) -> float:
    """The share of the required inputs that are there; where any one will do, whether one is."""
    required = [argument.name for argument in TASKS[draft["task"]].arguments if argument.required]
    if not required:
        return 1.0 if draft["args"] else 0.0
    return sum(name in draft["args"] for name in required) / len(required)


def _wiring(draft: Draft, said: _Words | None, sources: Mapping[Modality, Mapping[str, int]]) -> float:
    """How sure the sources of a task are, the least sure one."""
    if said is None or said.points:
        return 1.0
    values = (value for value in draft["args"].values() if value not in said.mentioned)
    return min((_source(value, sources) for value in values), default=1.0)


def _source(value: str, sources: Mapping[Modality, Mapping[str, int]]) -> float:
    for met in sources.values():
        if value in met and len(met) > 1:
            return _NEWEST if met[value] == len(met) - 1 else _ANY
    return 1.0


def _doubt(reading: Reading, unknown: Sequence[Sequence[int]], strays: Sequence[Sequence[int]]) -> str:
    """What is not understood: from an unknown verb on, else the sentence with the most unknown words."""
    places = (
        (sentence, listed[0]) for sentence, listed in zip(reading.sentences, strays, strict=True) if listed
    )
    most = max(zip(map(len, unknown), reading.sentences, strict=True), key=itemgetter(0), default=None)
    sentence, first = next(places, (most[1], 0) if most else (None, 0))
    said = " ".join(reading.slice(sentence.tokens[first:]).split()) if sentence else ""
    said = said.rstrip(_MARKS)
    return said if len(said) <= _LONGEST_DOUBT else f"{said[:_LONGEST_DOUBT].rstrip()}…"
