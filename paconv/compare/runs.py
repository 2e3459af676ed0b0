"""One training of a comparison, in a folder of its own:

    FOLDER/model.pt       the trained network
    FOLDER/record.json    how well it does, once all is done

A record that is there already, of the same training, is taken as it is; so a comparison that was stopped goes on.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import paconv
from paconv.compare.study import Study
from paconv.compare.systems import System
from paconv.errors import TrainingError, UsageError
from paconv.files import write_text
from paconv.train.data import open_source
from paconv.train.data.splitting import split_for_validation
from paconv.train.distributed import Ranks
from paconv.train.evaluation import evaluate
from paconv.train.fit import MODEL, STATE
from paconv.train.recipe import FLOAT, Recipe, train
from paconv.train.tasks import task_of

__all__ = ["Record", "Run", "execute", "read_record"]

RECORD = "record.json"


@dataclass(frozen=True)
class Run:
    """Training `system` on `data` with this seed and learning rate. parent: the folder, below the comparison's, of the
    float network that it starts from; None for that float network itself, whose activation function is `activation`.
    """

    data: str
    system: System
    activation: str
    seed: int
    rate: float
    parent: str | None = None

    @property
    def folder(self) -> str:
        """Below the comparison's."""
        what = f"parent-{self.activation}" if self.parent is None else self.system.name
        parts = (self.data, what, f"seed{self.seed}-lr{self.rate:g}")
        return "/".join(part.replace(":", "-").replace(",", "-").replace("/", "-") for part in parts)


@dataclass(frozen=True)
class Record:
    """What came out. validation, held_out: measures on these samples (accuracy or map from 0 to 1, loss); empty where
    training failed, for the reason `failure`. settings: all that decided it. seconds: of training.
    """

    settings: dict
    validation: dict[str, float]
    held_out: dict[str, float]
    failure: str | None
    seconds: float

    @property
    def score(self) -> float:
        """What is chosen by: accuracy (or map) on the validation samples, -1 where training failed."""
        return self.validation.get("accuracy", self.validation.get("map", -1.0))

    @property
    def result(self) -> float | None:
        """Accuracy (or map) on what was held out."""
        return self.held_out.get("accuracy", self.held_out.get("map"))


def execute(run: Run, study: Study, root: Path) -> Record:
    """Train as `run` says, below `root`, or find it done. A training that leaves the finite numbers is a failure on
    record, as any other outcome. Raises what training raises otherwise.
    """
    folder = root / run.folder
    settings = _settings(run, study)
    done = read_record(folder)
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
        model = paconv.load(folder / MODEL)
        validation, held_out = (
            evaluate(model, each, task_of(each), study.batch_size, Ranks(), 0) for each in (chosen_by, source)
        )
    record = Record(settings, validation, held_out, failure, seconds)
    write_text(folder / RECORD, json.dumps(asdict(record), indent=1))
    (folder / STATE).unlink(missing_ok=True)
    return record


def read_record(folder: Path) -> Record | None:
    """The record in `folder`, None where there is none. Raises UsageError for a file that isn't one."""
    path = folder / RECORD
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: expected the record of a training: {error}; delete it to train again") from error


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
    )
