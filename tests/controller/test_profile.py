import os

import pytest

from controller import app, profile
from controller.errors import ControllerError
from controller.settings import Settings
from deployments.placing import runs_elsewhere
from model_catalog import profiles
from model_catalog.card import ModelCard


def test_models_of_the_profile_remote_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"profile": "remote", "huggingface_access_token": "hf_x"})
    known = app.catalog(settings)
    here: list[ModelCard] = profile.members(settings, known)
    assert {card.id for card in here} == set(profiles.load("remote").models)
    assert all(map(runs_elsewhere, here))
    with pytest.raises(
        ControllerError, match=r"'huggingface', and models elsewhere .* HUGGINGFACE_ACCESS_TOKEN"
    ):
        app.catalog(Settings(profile="remote"))
    assert os.environ.get("HUGGINGFACE_ACCESS_TOKEN") is None
