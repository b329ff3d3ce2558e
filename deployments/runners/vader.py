"""Sentiment of English texts by VADER's lexicon and rules."""

from typing import Any

from deployments.result import Input, Result
from deployments.runners.sentences import split
from deployments.runners.single import SingleRunner, text_of
from model_catalog.card import ModelCard

_NEUTRAL = 0.05  # VADER's own threshold: below it, a text leans neither way
_WORDS = 200  # in one go; its rules look words up one by one


class Vader(SingleRunner):
    """Tells whether a text is positive, negative or neutral."""

    def load(self, card: ModelCard, device: str) -> None:
        """Load the lexicon."""
        super().load(card, device)
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def answer(self, item: Input) -> Result:
        """The three labels with scores that sum to 1, the highest first."""
        labels = _labels(self._compounds(text_of(item)))
        best = labels[0]
        return Result(text=f"{best['label']} ({best['score']:.2f})", data=labels)

    def _compounds(self, text: str) -> list[float]:
        """VADER's compound score, -1…1, of each sentence."""
        compounds = []
        for sentence in split(text):
            words = sentence.split()
            for start in range(0, len(words), _WORDS):
                self.check_stopped()
                piece = " ".join(words[start : start + _WORDS])
                compounds.append(float(self._analyzer.polarity_scores(piece)["compound"]))
        return compounds


def _labels(compounds: list[float]) -> list[dict[str, Any]]:
    """Mean praise, mean blame and the neutral threshold weighed against each other.

    For a single sentence the label is then the one that VADER's thresholds give.
    """
    weights = {
        "positive": sum(max(0.0, score) for score in compounds) / len(compounds),
        "negative": sum(max(0.0, -score) for score in compounds) / len(compounds),
        "neutral": _NEUTRAL,
    }
    whole = sum(weights.values())
    labels = [{"label": label, "score": round(weight / whole, 4)} for label, weight in weights.items()]
    return sorted(labels, key=lambda label: label["score"], reverse=True)
