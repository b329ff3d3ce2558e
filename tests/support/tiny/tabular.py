"""Small models of scikit-learn, stored with skops."""

import json
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("width", "height", "kind")


def flowers() -> tuple[Any, Any]:
    """Rows of width, height and kind, and their classes: wide ones are daisies, the others tulips."""
    import pandas

    rng = np.random.default_rng(0)
    rows = pandas.DataFrame(
        {
            "width": rng.uniform(0, 10, 60),
            "height": rng.uniform(0, 10, 60),
            "kind": rng.choice(["wild", "tame"], 60),
        }
    )
    return rows, np.where(rows["width"] > 5, "daisy", "tulip")


def forest(folder: Path) -> None:
    """A forest over scaled numbers and coded words."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    coded = make_column_transformer(
        (StandardScaler(), ["width", "height"]), (OneHotEncoder(handle_unknown="ignore"), ["kind"])
    )
    store(folder, make_pipeline(coded, RandomForestClassifier(10, random_state=0)).fit(*flowers()))


def boosted(folder: Path) -> None:
    """A boosted model of numbers whose columns only the Hub's file names."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, classes = flowers()
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    store(folder, model.fit(rows[["width", "height"]].to_numpy(), classes))
    (folder / "config.json").write_text(json.dumps({"sklearn": {"columns": ["width", "height"]}}))


def machine(folder: Path) -> None:
    """A support vector machine without probabilities and without names."""
    from sklearn.svm import LinearSVC

    rows, classes = flowers()
    store(folder, LinearSVC(random_state=0).fit(rows[["width", "height"]].to_numpy(), classes))


def regression(folder: Path) -> None:
    """A model that does not classify."""
    from sklearn.linear_model import LinearRegression

    rows, _ = flowers()
    store(folder, LinearRegression().fit(rows[["height"]], rows["width"]))


def neighbours(folder: Path) -> None:
    """A classifier that holds a compiled search tree, which is not known to be harmless."""
    from sklearn.neighbors import KNeighborsClassifier

    rows, classes = flowers()
    store(folder, KNeighborsClassifier().fit(rows[["width", "height"]], classes))


def pickled(folder: Path) -> None:
    """A model in a pickle."""
    (folder / "model.pkl").write_bytes(b"\x80\x04N.")


def store(folder: Path, model: Any) -> None:
    """Put a model where the runner looks for it."""
    from skops import io

    io.dump(model, folder / "model.skops")
