"""Every task of the registry on a model of the hub, through the fleet, Ray Serve and the controller."""

import pytest
from _pytest.mark.structures import ParameterSet

from model_catalog.tasks import TASKS
from tests.experts.cases import CASES
from tests.experts.desks import Desks
from tests.experts.media import same
from tests.experts.models import GROUPS, MODELS
from tests.support.expert_models import Desk
from tests.support.neural import alike

EIGHT = range(8)
ELSEWHERE = {"canny-control", "hed-control", "mlsd-control", "openpose-control"}
"""Edge maps have an embedded expert; the others run where torchvision does."""


DAILY = ("drawing", "texts")
"""Groups that ``make test`` serves; ``make soak`` serves all, and the runners' tests run every model."""


def _tasks() -> list[ParameterSet]:
    return [
        pytest.param(task, marks=() if group in DAILY else pytest.mark.soak)
        for group, models in GROUPS.items()
        for model in models
        for task in model.card.tasks
    ]


@pytest.fixture
def desk(desks: Desks, request: pytest.FixtureRequest) -> Desk:
    """Where the model of the test's task is called from."""
    model = MODELS[request.node.callspec.params["task"]]
    return desks.of(next(group for group, models in GROUPS.items() if model in models))


def test_every_task_is_proven() -> None:
    assert set(CASES) == set(MODELS) == set(TASKS) - ELSEWHERE


@pytest.mark.parametrize("task", _tasks())
async def test_eight_calls_at_once_are_right_and_as_eight_alone(desk: Desk, task: str) -> None:
    case = CASES[task]
    wire = [{"task": task, "id": number, "args": case.args(number)} for number in EIGHT]
    together = await desk.run(*wire)
    for number in EIGHT:
        outcome = together.one(number)
        assert outcome.choice is not None
        assert outcome.choice.model == MODELS[task].card.id
        case.check(together, number)
    for number in EIGHT:
        alone = await desk.ask(task, **case.args(number))
        one, other = alone.one(), together.one(number)
        assert one.text == other.text
        assert alike(one.data, other.data, 2e-3)
        assert len(alone.files[0]) == len(together.files[number])
        assert all(map(same, alone.files[0], together.files[number]))
