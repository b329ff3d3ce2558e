"""Summaries of a text's own sentences, ranked by how much the rest of the text is like them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.result import Input, Result
from deployments.runners.sentences import split
from deployments.runners.single import SingleRunner, text_of
from model_catalog.card import ModelCard

_SHARE = 1 / 3
_MOST = 5
_FEW = 2  # sentences that are a summary already
_DAMPING = 0.85
_ROUNDS = 100
_CLOSE = 1e-6


class TextRank(SingleRunner):
    """Keeps about a third of a text's sentences, five at most, in their order."""

    def load(self, card: ModelCard, device: str) -> None:
        """Load scikit-learn's vectorizer."""
        super().load(card, device)
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer

    def answer(self, item: Input) -> Result:
        """The summary; a text of one or two sentences comes back as it is."""
        text = text_of(item)
        sentences = split(text)
        if len(sentences) <= _FEW:
            return Result(text=text.strip())
        ranks = self._ranks(sentences)
        order = np.argsort(-ranks, kind="stable")
        count = min(_MOST, max(1, round(len(sentences) * _SHARE)))
        picked: dict[str, int] = {}
        for index in order:
            picked.setdefault(sentences[index].casefold(), int(index))
            if len(picked) == count:
                break
        return Result(text=" ".join(sentences[index] for index in sorted(picked.values())))

    def _ranks(self, sentences: list[str]) -> NDArray[np.float64]:
        """Each sentence's standing; all alike where no sentence has a word that tells something."""
        vectorizer = self._vectorizer(stop_words="english", sublinear_tf=True)
        try:
            vectors = vectorizer.fit_transform(sentences)
        except ValueError:
            return np.ones(len(sentences))
        return _standing(vectors)


def _standing(vectors: Any) -> NDArray[np.float64]:
    """PageRank over the cosines between rows (n × features, unit length), without holding an n × n matrix."""
    count = vectors.shape[0]
    columns = vectors.T.tocsr()
    own = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()

    def spread(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights passed on along every link but that of a row to itself."""
        return np.asarray(vectors @ (columns @ weights) - own * weights)

    links = spread(np.ones(count))
    linked = links > _CLOSE
    ranks: NDArray[np.float64] = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        passed = spread(np.divide(ranks, links, out=np.zeros(count), where=linked))
        renewed: NDArray[np.float64] = (1 - _DAMPING) / count + _DAMPING * (
            passed + ranks[~linked].sum() / count
        )
        if np.abs(renewed - ranks).sum() < _CLOSE:
            return renewed
        ranks = renewed
    return ranks
