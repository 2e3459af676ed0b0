"""What networks are trained for."""

from __future__ import annotations

from paconv.errors import UsageError
from paconv.train.data.samples import CLASSIFICATION, DataSource
from paconv.train.tasks.classification import Classification
from paconv.train.tasks.task import Meter, Task

__all__ = ["Classification", "Meter", "Task", "task_of"]

_TASKS: dict[str, type[Task]] = {CLASSIFICATION: Classification}


def task_of(source: DataSource) -> Task:
    """The task that the data are for. Raises UsageError where there is none yet."""
    if source.task not in _TASKS:
        raise UsageError(f"{source.name} is for {source.task}; known tasks are {', '.join(_TASKS)}")
    return _TASKS[source.task]()
