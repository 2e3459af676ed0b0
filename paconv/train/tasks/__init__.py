"""What networks are trained for."""

from __future__ import annotations

from paconv.errors import UsageError
from paconv.train.data.samples import CLASSIFICATION, DETECTION, DataSource
from paconv.train.tasks.classification import Classification
from paconv.train.tasks.task import Meter, Task

__all__ = ["Classification", "Meter", "Task", "task_of"]


def task_of(source: DataSource) -> Task:
    """The task that the data are for. Raises UsageError for an unknown one."""
    if source.task == CLASSIFICATION:
        return Classification()
    if source.task == DETECTION:
        from paconv.train.tasks.detection import Detection

        return Detection()
    raise UsageError(f"{source.name} is for {source.task!r}; known tasks are {CLASSIFICATION} and {DETECTION}")
