"""Rows of tables under classes, by scikit-learn models stored with skops."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deployments import checkpoint
from deployments.errors import ExpertError, InputError
from deployments.media import Table
from deployments.result import Input, Result
from deployments.runners.single import SingleRunner
from model_catalog.card import ModelCard

_REVIEWED = frozenset(
    {
        "numpy.dtype",
        "sklearn.utils._bunch.Bunch",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",  # compiled: see _check_tree
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # see _check_predictor
    }
)
"""scikit-learn's own types, beyond those that skops trusts by itself; nothing else is ever loaded."""

_SHOWN = 20  # rows told in words
_DEPTH = 12  # objects inside objects that are looked through


class RowClassifier(SingleRunner):
    """Tells the class of each row of a table."""

    checkpoint: ClassVar[bool] = True
    apart: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("skops", "sklearn", "pandas")

    def load(self, card: ModelCard, device: str) -> None:
        """Load the model, and the names of its columns.

        Raises:
            ExpertError: there is none, it holds other types than scikit-learn's, or it is no classifier.

        """
        super().load(card, device)
        folder, _ = checkpoint.folders(card, self.token)
        self._model = self._loaded(folder)
        self._classes = [str(name) for name in self._model.classes_]
        self._columns = _columns(folder, self._model)

    def answer(self, item: Input) -> Result:
        """The class of each row with its score, where the model has scores."""
        table = item.args.get("table")
        if not isinstance(table, Table) or not table.rows:
            raise InputError(f"{item.task} needs a table with rows under 'table'; attach one as CSV.")
        rows = self._frame(table)
        try:
            labels = [str(label) for label in self._model.predict(rows)]
            scores = self._scores(rows, labels)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.card.id} cannot use this table ({' '.join(str(error).split())[:200]}); give it the "
                "columns and values that it was trained on."
            ) from error
        self.check_stopped()
        data = [
            {"row": number, "label": label, **({} if score is None else {"score": round(score, 4)})}
            for number, (label, score) in enumerate(zip(labels, scores, strict=True), 1)
        ]
        return Result(text=_told(data), data=data)

    def _loaded(self, folder: Path) -> Any:
        files = sorted(folder.glob("*.skops"))
        if len(files) != 1:
            raise ExpertError(
                f"{self.card.id} must hold one model stored with skops, and has {len(files)}; models in "
                "pickles are never loaded, for they run code."
            )
        from sklearn.base import is_classifier
        from skops import io

        try:
            asked = set(io.get_untrusted_types(file=files[0]))
            if asked - _REVIEWED:
                raise ExpertError(
                    f"{self.card.id} holds types that are not known to be harmless: "
                    f"{', '.join(sorted(asked - _REVIEWED)[:5])}; it is not loaded."
                )
            model = io.load(files[0], trusted=sorted(asked))
        except ExpertError:
            raise
        except Exception as error:  # the file is what anyone may have written
            told = " ".join(str(error).split())[:200]
            raise ExpertError(f"{self.card.id} cannot be loaded: {told}") from error
        if not is_classifier(model) or not hasattr(model, "classes_"):
            raise ExpertError(f"{self.card.id} holds a {type(model).__name__}, which does not classify.")
        for part in _parts(model):
            _check(part)
        return model

    def _frame(self, table: Table) -> Any:
        """The model's columns, by name where it has names; numbers wherever a column holds nothing else."""
        import pandas

        places = self._places(table)
        columns = {
            name: _values([row[place] for row in table.rows])
            for name, place in zip(self._columns or map(str, places), places, strict=True)
        }
        frame = pandas.DataFrame(columns)
        return frame if hasattr(self._model, "feature_names_in_") else frame.to_numpy()

    def _places(self, table: Table) -> list[int]:
        """Where the model's columns stand in a table.

        Raises:
            InputError: some are missing, or their number is wrong.

        """
        if not self._columns:
            wanted = getattr(self._model, "n_features_in_", len(table.columns))
            if wanted != len(table.columns):
                raise InputError(
                    f"{self.card.id} reads tables of {wanted} columns; this one has {len(table.columns)}."
                )
            return list(range(len(table.columns)))
        known = {_plain(name): place for place, name in reversed(list(enumerate(table.columns)))}
        lacking = [name for name in self._columns if _plain(name) not in known]
        if lacking:
            raise InputError(
                f"The table lacks the columns {', '.join(lacking[:10])}; {self.card.id} reads "
                f"{', '.join(self._columns[:30])}."
            )
        return [known[_plain(name)] for name in self._columns]

    def _scores(self, rows: Any, labels: list[str]) -> list[float | None]:
        if not hasattr(self._model, "predict_proba"):
            return [None] * len(labels)
        table = self._model.predict_proba(rows)
        return [float(row[self._classes.index(label)]) for row, label in zip(table, labels, strict=True)]


def _columns(folder: Path, model: Any) -> list[str]:
    """The model's own column names, or those of the Hub's ``config.json``; nothing where it has none."""
    own = getattr(model, "feature_names_in_", None)
    if own is not None:
        return [str(name) for name in own]
    path = folder / "config.json"
    if not path.is_file():
        return []
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["sklearn"]["columns"]
    except (ValueError, KeyError, TypeError):
        return []
    fits = len(told) == getattr(model, "n_features_in_", len(told))
    return [str(name) for name in told] if fits else []


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def _values(cells: list[str]) -> Any:
    """A column as numbers, blanks as none; as text where a cell is no number."""
    try:
        return np.array([float(cell) if cell.strip() else math.nan for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)


def _told(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"row {row['row']}: {row['label']}" + (f" ({row['score']:.2f})" if "score" in row else "")
        for row in rows[:_SHOWN]
    ]
    if len(rows) > _SHOWN:
        lines.append(f"and {len(rows) - _SHOWN} more rows")
    return "\n".join(lines)


def _parts(model: Any) -> Iterator[Any]:
    """A model and all it holds, each once."""
    seen: set[int] = set()
    level = [model]
    for _ in range(_DEPTH):
        further: list[Any] = []
        for part in level:
            if id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            further += _held(part)
        level = further


def _held(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return list(part.values())
    if isinstance(part, list | tuple | set):
        return list(part)
    if isinstance(part, np.ndarray):
        return list(part.ravel()) if part.dtype == object else []
    own = getattr(part, "__dict__", None)
    return (
        list(own.values()) if isinstance(own, dict) and type(part).__module__.startswith("sklearn.") else []
    )


def _check(part: Any) -> None:
    """Refuse an estimator whose trees would lead compiled code outside their own arrays or the rows' columns.

    Raises:
        ExpertError: it would.

    """
    features = getattr(part, "n_features_in_", 0)
    sound = True
    if _is_a(part, "_tree.Tree"):
        sound = _sound(part.children_left, part.children_right, part.feature, part.n_features)
    elif _is_a(part, "predictor.TreePredictor"):
        nodes = part.nodes
        leaf = nodes["is_leaf"] != 0
        left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
        sets = nodes["bitset_idx"][~leaf & (nodes["is_categorical"] != 0)]
        sound = _sound(left, right, nodes["feature_idx"], int(nodes["feature_idx"].max(initial=0)) + 1)
        sound = sound and _within(sets, len(part.raw_left_cat_bitsets))
    elif hasattr(part, "tree_"):
        sound = part.tree_.n_features == features
    elif hasattr(part, "_predictors"):
        grown = [tree for trees in part._predictors for tree in trees]
        sound = all(_within(tree.nodes["feature_idx"], features) for tree in grown)
    elif hasattr(part, "estimators_") and type(part).__module__.endswith(("_forest", "_gb")):
        trees = np.asarray(part.estimators_, dtype=object).ravel()
        sound = all(tree.n_features_in_ == features for tree in trees)
    if not sound:
        raise ExpertError("The model holds a broken decision tree; it is not loaded.")


def _is_a(part: Any, name: str) -> bool:
    return f"{type(part).__module__}.{type(part).__qualname__}".endswith(name)


def _sound(left: Any, right: Any, feature: Any, features: int) -> bool:
    """Whether every inner node leads on to later nodes, by a feature that there is."""
    inner = left != -1
    places = np.arange(len(left))
    return bool(
        len(left)
        and _within(left[inner], len(left))
        and _within(right[inner], len(left))
        and _within(feature[inner], features)
        and (left[inner] > places[inner]).all()
        and (right[inner] > places[inner]).all()
    )


def _within(values: Any, end: int) -> bool:
    return bool(np.all((values >= 0) & (values < end)))
