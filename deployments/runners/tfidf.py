"""Likeness of texts by the words and letter groups they share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.result import Input, Result
from deployments.runners.lists import several
from deployments.runners.single import SingleRunner, text_of
from model_catalog.card import ModelCard

_SHOWN = 80  # characters of a sentence beside its score


class TfIdf(SingleRunner):
    """Scores how alike texts are, 0…1, half by shared words and half by shared groups of letters."""

    def load(self, card: ModelCard, device: str) -> None:
        """Load scikit-learn's vectorizer."""
        super().load(card, device)
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer

    def answer(self, item: Input) -> Result:
        """One score for a single text under ``text2``, one a line (or list item) for several."""
        source, others = text_of(item, "text1"), several(item)
        scores = [round(float(score), 4) for score in self._scores(source, others)]
        if len(scores) == 1:
            return Result(text=f"similarity {scores[0]:.2f}", data={"score": scores[0]})
        lines = (
            f"similarity {score:.2f}: {other[:_SHOWN]}" for score, other in zip(scores, others, strict=True)
        )
        return Result(text="\n".join(lines), data={"scores": scores})

    def _scores(self, source: str, others: list[str]) -> NDArray[np.float64]:
        texts = [source, *others]
        words = self._cosines(texts, analyzer="word", stop_words="english")
        letters = self._cosines(texts, analyzer="char_wb", ngram_range=(3, 5))
        found = [part for part in (words, letters) if part is not None]
        return np.clip(np.mean(found, axis=0), 0.0, 1.0) if found else np.zeros(len(others))

    def _cosines(self, texts: list[str], **features: Any) -> NDArray[np.float64] | None:
        """Of the first text with each other one; None where no text has such a feature."""
        try:
            vectors = self._vectorizer(sublinear_tf=True, **features).fit_transform(texts)
        except ValueError:
            return None
        return np.asarray((vectors[1:] @ vectors[0].T).todense(), np.float64).ravel()
