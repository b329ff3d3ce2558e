"""Sources: what a task can work on: files, quoted texts and results, and which of them words point at."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

from controller.request import Attachment, Message
from controller.rules.cues import Segment, find_cues
from controller.rules.mentions import Mention, find_mentions
from controller.rules.reading import Reading, is_question, read
from model_catalog.tasks import MEDIA, TASKS, Modality

VIEWS = frozenset(
    {"object-detection", "zero-shot-object-detection"}
    | {"image-segmentation", "mask-generation", "depth-estimation"}
    | {name for name in TASKS if name.endswith("-control")}
)
"""Tasks whose picture shows what is in another one: "it" goes on meaning that other picture."""

REMARKS = frozenset(
    {"object-detection", "zero-shot-object-detection", "image-segmentation", "mask-generation"}
    | {"fill-mask", "sentence-similarity", "feature-extraction"}
    | {name for name in TASKS if name.endswith("classification")}
)
"""Tasks whose text is about something: "it" goes on meaning that other text."""

ANSWERS = frozenset(name for name in TASKS if name.endswith("question-answering"))
"""Tasks whose text answers a question."""

_MEMORY = 20
"""How many earlier messages are searched for files, newest first."""
_MOST_ATTACHED = 100
"""How many attached files are looked through for each name."""
_ADDRESSES = ("http://", "https://")
_LABEL_WORDS = 3
"""How many words before a quoted text may name it."""
_ASKED_BEFORE = 5
"""How many earlier requests are searched for one to do again, newest first."""
_MEMORY_CHARACTERS = 20_000
"""How much of each."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sources of one modality that belong together, such as pictures named in one breath.

    Attributes:
        modality: what they are made of.
        values: file names, texts, or references to tasks.
        age: when it was met; newer ones are higher.
        task: the task type that makes them, None for what the request brings.
        paper: whether the request calls them documents.

    """

    modality: Modality
    values: tuple[str, ...]
    age: int = 0
    task: str | None = None
    paper: bool = False


class Sources:
    """The sources met so far, in the order of the request."""

    def __init__(
        self, reading: Reading, attachments: Sequence[Attachment] = (), context: Sequence[Message] = ()
    ) -> None:
        """Begin with the attachments; the conversation is asked only where the request names nothing."""
        self._reading = reading
        self._context = context
        self._things: defaultdict[Modality, list[Group]] = defaultdict(list)
        self._remarks: defaultdict[Modality, list[Group]] = defaultdict(list)
        self._subjects: dict[Modality, Group] = {}
        self._made: defaultdict[tuple[str, Modality], list[Group]] = defaultdict(list)
        self._called: dict[tuple[Modality, str], Group] = {}
        self._attached = tuple(attachments[:_MOST_ATTACHED])
        self._age = 0
        self._later = cache(self._find_later)
        self._earlier = cache(self._find_earlier)
        self._question = cache(self._find_question)
        for modality in Modality:
            paths = tuple(item.path for item in attachments if item.modality is modality)
            if paths:
                self._put(self._group(modality, paths))

    def asked_before(self) -> Reading:
        """The newest earlier request that asks for a task, read; an empty one if there is none."""
        asked = (message.content for message in reversed(self._context) if message.role == "user")
        for content in islice(asked, _ASKED_BEFORE):
            reading = read(content[:_MEMORY_CHARACTERS])
            if any(cue.tasks for sentence in reading.sentences for cue in find_cues(sentence)):
                return reading
        return read("")

    def attached(self) -> list[Mention]:
        """The attached files, as if the request mentioned them."""
        return [Mention(item.path, item.modality, 0, 0, file=True) for item in self._attached]

    def see(self, segment: Segment, spent: Iterable[str] = ()) -> None:
        """Meet what a segment mentions, but for ``spent``: texts that are questions or orders."""
        passed = frozenset(spent)
        for modality in Modality:
            values = self.values(modality, segment)
            values = tuple(value for value in values if value not in passed)
            if values:
                self._put(self._group(modality, values, paper=segment.sentence.paper))
        for word, mention in _labels(segment):
            self._called[mention.modality, word] = Group(mention.modality, (self.stored(mention),), self._age)

    def values(self, modality: Modality, segment: Segment) -> tuple[str, ...]:
        """What the segment mentions of a modality; an attached file by its path, whatever name is given."""
        return tuple(self.stored(mention) for mention in segment.mentions(modality))

    def stored(self, mention: Mention) -> str:
        """What a mention names: the attached file whose stored name ends so, else what is written."""
        if not mention.file or mention.modality not in MEDIA or mention.value.startswith(_ADDRESSES):
            return mention.value
        name = mention.value.rsplit("/", 1)[-1].lower()
        paths = [item.path for item in self._attached if item.modality is mention.modality]
        same = [path for path in paths if path == mention.value]
        ending = [path for path in paths if _ends_with(path.lower(), name)]
        return next(iter(same or ending), mention.value)

    def result(self, task: str, modality: Modality, tags: tuple[str, ...], aside: bool = False) -> Group:
        """Meet the results of tasks of one type; no question is put to what is ``aside``."""
        remark = task in (REMARKS if modality is Modality.TEXT else VIEWS)
        group = self._group(modality, tags, task)
        if remark:
            self._remarks[modality].append(group)
        else:
            self._put(group, aside)
        self._made[task, modality].append(group)
        return group

    def mentioned(self, modality: Modality, segment: Segment) -> Group | None:
        """What stands in the segment itself."""
        values = self.values(modality, segment)
        return Group(modality, values, self._age, paper=segment.sentence.paper) if values else None

    def named(self, modality: Modality, segment: Segment) -> list[Group]:
        """The results the segment points at ("the summary"), in its order, each once."""
        cue = set(segment.cue)
        found: dict[Group, None] = {}
        for match in segment.names:
            if cue.issuperset(match.positions) or match.meaning.modality not in {None, modality}:
                continue
            group = self.called(match.meaning.of, modality)
            if group is not None:
                found[group] = None
        return list(found) or self._labelled(modality, segment)

    def _labelled(self, modality: Modality, segment: Segment) -> list[Group]:
        """What the request itself gave the name that the segment uses: "the description 'a red fox'"."""
        words, definites = segment.sentence.words, segment.vocabulary.groups["definites"]
        places = range(max(1, segment.start), segment.end)
        named = (words[place] for place in places if words[place - 1] in definites)
        known = (self._called.get((modality, word)) for word in named)
        return [group for group in known if group]

    def called(self, of: Sequence[str], modality: Modality) -> Group | None:
        """What a name means: see ``vocabulary.Name``."""
        if of == ("last",):
            return _newest(groups for (_, made), groups in self._made.items() if made is modality)
        if of == ("original",):
            return next((group for group in self._things[modality] if group.task is None), None)
        if of == ("question",):
            return self._question() if modality is Modality.TEXT else None
        return self.made(of, modality)

    def made(self, tasks: Iterable[str], modality: Modality) -> Group | None:
        """The newest result of one of the task types."""
        return _newest(self._made[task, modality] for task in tasks if (task, modality) in self._made)

    def thing(self, modality: Modality) -> Group | None:
        """The newest source that "it" may mean."""
        return self._things[modality][-1] if self._things[modality] else None

    def subject(self, modality: Modality) -> Group | None:
        """The newest thing that is no answer: what the next question is put to."""
        return self._subjects.get(modality)

    def known(self, modality: Modality) -> Group | None:
        """The newest thing; else a remark, what is mentioned later, or in the conversation.

        Words about something may well be meant where there are no others; a view of a picture is not meant
        while there is a picture.
        """
        remark = self._remarks[modality][-1] if self._remarks[modality] else None
        if modality in MEDIA:
            return self.thing(modality) or self.unmet(modality) or remark
        return self.thing(modality) or remark or self.unmet(modality)

    def unmet(self, modality: Modality) -> Group | None:
        """What the request mentions further on, else what the conversation brings."""
        return self._later(modality) or self._earlier(modality)

    def newest(self, among: Sequence[Modality]) -> Group | None:
        """The newest thing of one of the modalities; of things not met yet, by the order of ``among``."""
        thing = _newest(self._things[modality] for modality in among)
        return thing or next((group for modality in among if (group := self.unmet(modality))), None)

    def backwards(self, modality: Modality) -> Iterator[Group]:
        """Every source met, the newest thing first, remarks behind the things."""
        return chain(reversed(self._things[modality]), reversed(self._remarks[modality]))

    def _put(self, thing: Group, aside: bool = False) -> None:
        self._things[thing.modality].append(thing)
        if thing.task not in ANSWERS and not aside:
            self._subjects[thing.modality] = thing

    def _group(
        self, modality: Modality, values: tuple[str, ...], task: str | None = None, paper: bool = False
    ) -> Group:
        self._age += 1
        return Group(modality, values, self._age, task, paper)

    def _find_later(self, modality: Modality) -> Group | None:
        """The first sentence's mentions, wherever it stands."""
        for sentence in self._reading.sentences:
            mentions = [token.mention for token in sentence.tokens if token.mention]
            values = tuple(
                self.stored(mention)
                for mention in mentions
                if mention.modality is modality and (mention.file or not self._asks(mention.value))
            )
            if values:
                return Group(modality, values, paper=sentence.paper)
        return None

    def _find_earlier(self, modality: Modality) -> Group | None:
        """The last file of the conversation; for texts the assistant's last words, quoted ones first."""
        told = [message for message in self._context[-_MEMORY:] if message.role != "system"]
        for message in reversed(told):
            content = message.content[-_MEMORY_CHARACTERS:]
            mentions = [mention for mention in find_mentions(content) if mention.modality is modality]
            if mentions and (modality in MEDIA or message.role == "assistant"):
                return Group(modality, (mentions[-1].value,))
            if modality is Modality.TEXT and message.role == "assistant" and content:
                return Group(modality, (content,))
        return None

    def _find_question(self) -> Group | None:
        mentions = (mention for mention in self._reading.mentions if mention.modality is Modality.TEXT)
        quote = next((mention.value for mention in mentions if self._asks(mention.value)), None)
        return Group(Modality.TEXT, (quote,)) if quote else None

    def _asks(self, text: str) -> bool:
        return is_question(text, self._reading.vocabulary)


def _ends_with(path: str, name: str) -> bool:
    """Whether a stored name is the name itself, or ends with it behind a mark ("0a1b-sign.png")."""
    return path.endswith(name) and not path[-len(name) - 1 : -len(name)].isalnum()


def _labels(segment: Segment) -> Iterator[tuple[str, Mention]]:
    """The quoted texts of a segment with the noun before each: "the description 'a red fox'"."""
    groups, nouns = segment.vocabulary.groups, segment.vocabulary.nouns
    for index, token in enumerate(segment.tokens):
        if token.mention is None or token.mention.modality is not Modality.TEXT:
            continue
        before = (word for word in reversed(segment.words[max(0, index - _LABEL_WORDS) : index]))
        word = next((word for word in before if word.isalpha() and word not in groups["aux"]), None)
        if word and nouns.get(word, Modality.TEXT) is Modality.TEXT and word not in groups["generic"]:
            yield word, token.mention


def _newest(shelves: Iterable[Sequence[Group]]) -> Group | None:
    return max((shelf[-1] for shelf in shelves if shelf), key=lambda group: group.age, default=None)
