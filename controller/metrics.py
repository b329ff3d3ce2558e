"""Metrics of the controller, exported by Ray with the application and replica as tags."""

from ray.serve.metrics import Counter, Histogram

from controller.outcome import Outcome

_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300]


class Metrics:
    """Runs, tasks by outcome, choices, and what each stage takes."""

    def __init__(self) -> None:
        self._runs = Counter("hugginggpt_runs", description="Runs by how they ended.", tag_keys=("outcome",))
        self._tasks = Counter(
            "hugginggpt_tasks", description="Tasks by type and status.", tag_keys=("task", "status")
        )
        self._choices = Counter(
            "hugginggpt_choices", description="Models chosen for tasks.", tag_keys=("task", "model")
        )
        self._stages = Histogram(
            "hugginggpt_stage_seconds",
            description="Seconds that a stage of a run took.",
            boundaries=_SECONDS,
            tag_keys=("stage",),
        )

    def run(self, outcome: str, seconds: dict[str, float]) -> None:
        """Count a run that ended as ``outcome``, with its stages in seconds."""
        self._runs.inc(tags={"outcome": outcome})
        for stage, value in seconds.items():
            self._stages.observe(value, tags={"stage": stage})

    def task(self, outcome: Outcome) -> None:
        """Count a task and the model that was chosen for it."""
        self._tasks.inc(tags={"task": outcome.task, "status": outcome.status.value})
        if outcome.choice is not None:
            self._choices.inc(tags={"task": outcome.task, "model": outcome.choice.model})
