"""One training of a comparison, in a folder of its own:

    FOLDER/model.pt       the trained network
    FOLDER/record.json    how well it does, once all is done

A record that is there already, of the same training, is taken as it is; so a comparison that was stopped goes on.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from paconv.checkpoint import load
from paconv.errors import TrainingError, UsageError
from paconv.grid import DEFAULT_GRID
from paconv.studies.accuracy.records import read_record, write_record
from paconv.studies.accuracy.study import Study
from paconv.studies.accuracy.systems import System
from paconv.train.data import open_source
from paconv.train.data.splitting import split_for_validation
from paconv.train.distributed import Ranks
from paconv.train.evaluation import evaluate
from paconv.train.fit import MODEL, STATE
from paconv.train.recipe import FLOAT, Recipe, train
from paconv.train.tasks import task_of

__all__ = ["Record", "Run", "execute"]

RECORD = "record.json"


@dataclass(frozen=True)
class Run:
    """One training."""

    data: str
    """The data set."""
    system: System
    """What is trained."""
    activation: str
    """The activation function of the float network."""
    seed: int
    """Of the training."""
    rate: float
    """Learning rate."""
    parent: str | None = None
    """The folder, below the comparison's, of the float network that it starts from; None for that network itself."""

    @property
    def folder(self) -> str:
        """Below the comparison's."""
        what = f"parent-{self.activation}" if self.parent is None else self.system.name
        parts = (self.data, what, f"seed{self.seed}-lr{self.rate:g}")
        return "/".join(part.replace(":", "-").replace(",", "-").replace("/", "-") for part in parts)


@dataclass(frozen=True)
class Record:
    """What came out of a training."""

    settings: dict
    """All that decided it."""
    validation: dict[str, float]
    """Measures on the validation samples: loss, and accuracy or map from 0 to 1; empty if training failed."""
    held_out: dict[str, float]
    """The same on the held-out samples."""
    failure: str | None
    """Why training failed; None if it didn't."""
    seconds: float
    """Of training."""

    @property
    def score(self) -> float:
        """What is chosen by: accuracy (or map) on the validation samples, -1 where training failed."""
        return -1.0 if (found := _accuracy(self.validation)) is None else found

    @property
    def result(self) -> float | None:
        """Accuracy (or map) on what was held out."""
        return _accuracy(self.held_out)


def _accuracy(measures: dict[str, float]) -> float | None:
    return measures.get("accuracy", measures.get("map"))


def execute(run: Run, study: Study, root: Path) -> Record:
    """Train as `run` says, below `root`, or find it done.

    A training that leaves the finite numbers is a failure on record, an outcome like any other. Raises what training
    raises otherwise.
    """
    folder = root / run.folder
    settings = _settings(run, study)
    done = read_record(folder / RECORD, Record, "training", "train")
    if done is not None:
        _check_same(done.settings, settings, folder)
        return done
    started = time.perf_counter()
    chosen_by, source = split_for_validation(open_source(run.data, seed=run.seed), study.validation)
    failure, validation, held_out = None, {}, {}
    try:
        # Nothing is evaluated while training: that changes nothing, and would take a third of the time.
        train(_recipe(run, study, root), replace(source, held_out=None), folder, resume=True)
    except TrainingError as error:
        failure = str(error)
    seconds = time.perf_counter() - started
    if failure is None:
        model = load(folder / MODEL)
        validation, held_out = (
            evaluate(model, each, task_of(each), study.batch_size, Ranks(), 0) for each in (chosen_by, source)
        )
    record = Record(settings, validation, held_out, failure, seconds)
    write_record(record, folder / RECORD)
    (folder / STATE).unlink(missing_ok=True)
    return record


def _check_same(found: dict, wanted: dict, where: Path) -> None:
    """Raise UsageError, naming what differs, unless both say the same."""
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise UsageError(
                f"{where} holds another training: {name} is {found.get(name)!r} there, {wanted[name]!r} here; "
                "name another folder"
            )


def _settings(run: Run, study: Study) -> dict:
    made = {
        "data": run.data,
        "system": run.system.name,
        "options": run.system.options,
        "model": study.model,
        "activation": run.activation,
        "validation": study.validation,
        "parent": run.parent,
        "grid": None if run.system.scheme is None else DEFAULT_GRID,
        **study.settings(run.seed, run.rate, parent=run.parent is None).as_dict(),
    }
    return json.loads(json.dumps(made))


def _recipe(run: Run, study: Study, root: Path) -> Recipe:
    return Recipe(
        study.model,
        study.settings(run.seed, run.rate, parent=run.parent is None),
        FLOAT if run.system.scheme is None else run.system.scheme.name,
        run.system.options,
        parent=None if run.parent is None else root / run.parent / MODEL,
        architecture=study.architecture(run.activation),
        grid=DEFAULT_GRID,
    )
