"""Pictures under labels, and things found in pictures, by models of transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.errors import ExpertError, InputError
from deployments.result import Input, Result
from deployments.runners.drawing import boxed, filled
from deployments.runners.lists import labels_of
from deployments.runners.pictures import (
    PictureRunner,
    Seen,
    alone,
    apart,
    counted,
    inside,
    seen,
)

_TOP = 5  # labels told, the best first
_FOUND = 0.5  # least score of an object of known kinds
_NAMED = 0.1  # of one named in the request, by OWL-ViT and OWLv2
_GROUNDED = 0.25  # and by Grounding DINO
_SAME = 0.7  # overlap above which two boxes of one label mean one thing
_MOST = 300  # things told of one picture
_OWL = ("owlvit", "owlv2")
_DINO = ("grounding-dino", "mm-grounding-dino")


class ImageClassifier(PictureRunner):
    """Sorts pictures under the model's own labels."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForImageClassification)
        self.load_pictures()

    def ready(self, item: Input) -> tuple[Seen, int]:
        """The picture, and how many labels are wanted."""
        return seen(item), self.whole(item, "top_k", _TOP, 1, 1000)

    def infer(self, items: Sequence[tuple[Seen, int]]) -> list[Result]:
        """The best labels with their scores, the best first."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(one.small) for one, _ in items]):
            scores = class_scores(self.model.config, self.model(**tensors).logits)
            for index, row in zip(indices, scores, strict=True):
                made[index] = ranked(names(self.model.config), row, items[index][1])
        return made


class ZeroShotImageClassifier(PictureRunner):
    """Sorts pictures under labels given in the request, by models that match pictures with words."""

    template = "This is a photo of {}."

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForZeroShotImageClassification)
        self._tokenizer = self.load_processor(transformers.AutoTokenizer)
        self._tokenizer.split_special_tokens = True  # a label is never a control token
        self._sigmoid = "siglip" in self.model.config.model_type
        self.load_pictures()

    def ready(self, item: Input) -> Seen:
        """The picture and the labels."""
        return seen(item, labels=labels_of(item))

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """Each label with its score, the best first."""
        labels = list(dict.fromkeys(label for item in items for label in item.labels))
        words = self._words(labels)
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(item.small) for item in items]):
            outputs = self.model(**words, **tensors)
            logits = getattr(outputs, "logits_per_image", None)
            if logits is None:
                raise ExpertError(f"{self.card.id} does not match whole pictures with labels.")
            for index, row in zip(indices, logits.float(), strict=True):
                mine = row[[labels.index(label) for label in items[index].labels]]
                scores = mine.sigmoid() if self._sigmoid else mine.softmax(-1)
                made[index] = ranked(items[index].labels, scores.cpu().numpy(), len(mine))
        return made

    def _words(self, labels: Sequence[str]) -> dict[str, Any]:
        """The labels' tokens. SigLIP was trained on texts of 64 tokens, filled up, and asks for no less."""
        long = {"padding": "max_length", "max_length": 64} if self._sigmoid else {"padding": True}
        sentences = [self.template.format(label) for label in labels]
        made = self._tokenizer(sentences, truncation=True, return_tensors="pt", **long)
        return {name: value.to(self.device) for name, value in made.items()}


class ObjectDetector(PictureRunner):
    """Finds objects of the kinds a model knows."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForObjectDetection)
        self.load_pictures()

    def ready(self, item: Input) -> Seen:
        """The picture and the threshold."""
        return seen(item, threshold=self.knob(item, "threshold", _FOUND, 0, 1))

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """The objects, drawn, listed and counted."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(item.small) for item in items]):
            outputs = self.model(**tensors)
            for place, index in enumerate(indices):
                item = items[index]
                (found,) = self.processor.post_process_object_detection(
                    alone(outputs, place), threshold=item.threshold, target_sizes=[item.shape]
                )
                kinds = names(self.model.config)
                labels = [kinds[int(number)] for number in found["labels"]]
                made[index] = told(item, labels, _numbers(found["scores"]), _numbers(found["boxes"]))
        return made


class ZeroShotObjectDetector(PictureRunner):
    """Finds objects named in the request."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForZeroShotObjectDetection)
        kind = self.model.config.model_type
        if kind not in (*_OWL, *_DINO):
            raise ExpertError(
                f"This release cannot ask models of the kind {kind}; take OWLv2 or Grounding DINO."
            )
        self._grounding = kind in _DINO
        self._tokenizer = self.load_processor(transformers.AutoTokenizer)
        self._tokenizer.split_special_tokens = True  # a label is never a control token
        self.load_pictures()

    def ready(self, item: Input) -> Seen:
        """The picture, the labels and the threshold.

        Raises:
            InputError: there are more words than the model reads.

        """
        labels = labels_of(item)
        if self._grounding and len(self._tokenizer(_sentence(labels)[0])["input_ids"]) > self._longest:
            raise InputError(f"{self.card.id} cannot read so many labels at once; give it fewer.")
        usual = _GROUNDED if self._grounding else _NAMED
        return seen(item, labels=labels, threshold=self.knob(item, "threshold", usual, 0, 1))

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """The objects, drawn, listed and counted."""
        made: list[Result] = [Result() for _ in items]
        features = [{**self.features(item.small), **self._words(item.labels)} for item in items]
        for indices, tensors in self.batches(features):
            if not self._grounding:  # OWL takes the texts of all pictures as one list
                words = ("input_ids", "attention_mask")
                tensors |= {name: tensors[name].flatten(0, 1) for name in words}
            outputs = self.model(**tensors)
            for place, index in enumerate(indices):
                made[index] = self._answer(items[index], alone(outputs, place))
        return made

    @property
    def _longest(self) -> int:
        """The most tokens of Grounding DINO's text."""
        config = self.model.config
        return int(min(config.max_text_len, config.text_config.max_position_embeddings))

    def _words(self, labels: Sequence[str]) -> dict[str, Any]:
        """The labels' tokens, with a first dimension of 1: a sentence, or for OWL a text for each label."""
        if self._grounding:
            made = self._tokenizer(_sentence(labels)[0], return_tensors="pt")
            return dict(made)
        length = self.model.config.text_config.max_position_embeddings
        made = self._tokenizer(
            list(labels), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return {name: made[name][None] for name in ("input_ids", "attention_mask")}

    def _answer(self, item: Seen, outputs: Any) -> Result:
        scores, boxes = _numbers(outputs.logits[0].sigmoid()), _numbers(outputs.pred_boxes[0])
        if self._grounding:
            scores = np.stack([scores[:, tokens].max(axis=1) for tokens in self._places(item.labels)], axis=1)
        best, which = scores.max(axis=1), scores.argmax(axis=1)
        good = np.flatnonzero(best > item.threshold)
        best, which, boxes = best[good], which[good], self._corners(boxes[good], item.shape)
        kept = [
            int(same[n])
            for label in np.unique(which)
            for same in (np.flatnonzero(which == label),)
            for n in apart(boxes[same], best[same], _SAME)
        ]
        labels = [item.labels[which[n]] for n in kept]
        return told(item, labels, best[kept], boxes[kept])

    def _places(self, labels: Sequence[str]) -> list[list[int]]:
        """Which tokens of the sentence are each label's."""
        sentence, spans = _sentence(labels)
        made = self._tokenizer(sentence, return_offsets_mapping=True)
        offsets = made["offset_mapping"]
        return [
            [n for n, (start, end) in enumerate(offsets) if start < end and low <= start and end <= high]
            or [0]  # a label of signs that the tokenizer drops
            for low, high in spans
        ]

    def _corners(self, boxes: Any, shape: tuple[int, int]) -> Any:
        """Boxes of relative centre, width and height as left, top, right and bottom in pixels."""
        height, width = shape
        if self.model.config.model_type == "owlv2":  # which sees the picture filled up to a square
            height = width = max(shape)
        centres, halves = boxes[:, :2], boxes[:, 2:] / 2
        corners = np.concatenate((centres - halves, centres + halves), axis=1)
        return corners * np.array([width, height, width, height], np.float32)


def _sentence(labels: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Labels as Grounding DINO reads them, lower-case and parted by dots, and where each lies in the text.

    See arXiv 2303.05499, section 3.4; a dot inside a label would part it.
    """
    text, spans = "", []
    for label in labels:
        name = label.lower().replace(".", " ").strip() or "thing"
        spans.append((len(text), len(text) + len(name)))
        text += f"{name}. "
    return text.rstrip(), spans


def names(config: Any) -> list[str]:
    """A model's own labels, in the order of its outputs."""
    return [str(config.id2label.get(number, f"LABEL_{number}")) for number in range(max(config.id2label) + 1)]


def class_scores(config: Any, logits: Any) -> Any:
    """Scores (numpy, pictures × labels) of a classifier's logits, read as its configuration says."""
    numbers = logits.float()
    if config.problem_type == "regression":
        return numbers.cpu().numpy()
    if config.problem_type == "multi_label_classification" or numbers.shape[-1] == 1:
        return numbers.sigmoid().cpu().numpy()
    return numbers.softmax(-1).cpu().numpy()


def ranked(labels: Sequence[str], scores: Any, count: int) -> Result:
    """The ``count`` best labels with scores as data; the best one in words, without its further names."""
    order = np.argsort(-scores, kind="stable")[:count]
    data = [{"label": labels[n], "score": round(float(scores[n]), 4)} for n in order]
    best = data[0]
    return Result(text=f"{str(best['label']).partition(',')[0]} ({best['score']:.2f})", data=data)


def told(item: Seen, labels: Sequence[str], scores: Any, boxes: Any) -> Result:
    """Things found in a picture: drawn, as data with the best first, and counted in words.

    The mask is white inside the boxes.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")[:_MOST]
    data = [
        {
            "label": labels[n],
            "score": round(float(scores[n]), 4),
            "box": inside(boxes[n], item.shape),
        }
        for n in order
    ]
    return Result(
        image=boxed(item.image, data),
        data=data,
        text=counted(str(entry["label"]) for entry in data),
        mask=filled(item.shape, (entry["box"] for entry in data)),
    )


def _numbers(tensor: Any) -> Any:
    return tensor.float().cpu().numpy()
