"""Texts under labels: classification, by pipelines of transformers."""

from collections.abc import Sequence
from typing import Any

from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.single import text_of

_TOP = 5  # labels told, the best first


class TextClassifier(NeuralRunner):
    """Sorts whole texts under the model's own labels."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self._pipeline = transformers.pipeline(
            "text-classification",
            model=self.load_model(transformers.AutoModelForSequenceClassification),
            tokenizer=self.load_processor(transformers.AutoTokenizer),
            device=self.device,
        )

    def ready(self, item: Input) -> tuple[str, int]:
        """The text, and how many labels are wanted."""
        return text_of(item), self.whole(item, "top_k", _TOP, 1, 1000)

    def infer(self, items: Sequence[tuple[str, int]]) -> list[Result]:
        """The best labels with their scores, the best first."""
        found = self._pipeline(
            [text for text, _ in items], top_k=None, truncation=True, batch_size=len(items)
        )
        return [labelled(labels[:count]) for labels, (_, count) in zip(found, items, strict=True)]


def labelled(labels: Sequence[dict[str, Any]]) -> Result:
    """Labels with scores, the best first, as data; the best one in words."""
    data = [{"label": str(item["label"]), "score": round(float(item["score"]), 4)} for item in labels]
    best = data[0]
    return Result(text=f"{best['label']} ({best['score']:.2f})", data=data)
