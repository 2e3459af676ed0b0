"""The whole comparison: which trainings there are, and what came out.

For each data set, with rates R and seeds 0 .. S-1:

    float networks    with each activation function: the rates R at seed 0; with the best on the validation samples the
                      other seeds
    systems           from the float network of the same seed: the rates R at seed 0; with the best on the validation
                      samples the other seeds

So every system has |R| tries, and its results are S trainings whose differences to another's are paired by the seed:
same float network, same order of samples, same augmentation. Held-out samples decide nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from paconv.files import make_folder
from paconv.folder_lock import locked
from paconv.studies.accuracy.deploy import Deployed, deploy
from paconv.studies.accuracy.runs import Record, Run, execute
from paconv.studies.accuracy.study import Study
from paconv.studies.accuracy.systems import System, parse_system
from paconv.studies.accuracy.workers import Submit, workers
from paconv.train.recipe import FLOAT

__all__ = ["Comparison", "Outcome", "compare"]

Update = Callable[[str, int, int], None]
"""(what was done last, how much is done, of how much)."""


@dataclass(frozen=True)
class Outcome:
    """One system on one data set."""

    data: str
    """The data set."""
    system: System
    """The system."""
    activation: str
    """The network's activation function."""
    tries: dict[float, float]
    """Rate -> accuracy on the validation samples at seed 0."""
    rate: float
    """The chosen one."""
    runs: tuple[Run, ...]
    """By seed."""
    records: tuple[Record, ...]
    """By seed."""
    deployed: Deployed | None
    """Of seed 0; None if its training failed."""

    @property
    def results(self) -> list[float | None]:
        """Accuracy on the held-out samples by seed, None where training failed."""
        return [record.result for record in self.records]


@dataclass(frozen=True)
class Comparison:
    """What the study found."""

    study: Study
    """What was asked for."""
    parents: tuple[Outcome, ...]
    """The float networks that the systems start from, by data set and activation function."""
    outcomes: tuple[Outcome, ...]
    """The systems in the study's order, data set by data set."""

    def of(self, data: str) -> list[Outcome]:
        """The systems' on one data set."""
        return [outcome for outcome in self.outcomes if outcome.data == data]

    def find(self, data: str, system: str) -> Outcome | None:
        """That of the system with this name on one data set, None where it isn't among them."""
        return next((outcome for outcome in self.of(data) if outcome.system.name == system), None)

    def as_data(self) -> dict:
        """All of it as plain data."""

        def plain(outcome: Outcome) -> dict:
            return {
                "data": outcome.data,
                "system": outcome.system.name,
                "activation": outcome.activation,
                "validation_by_rate": {f"{rate:g}": score for rate, score in outcome.tries.items()},
                "rate": outcome.rate,
                "records": [asdict(record) for record in outcome.records],
                "deployed": None if outcome.deployed is None else asdict(outcome.deployed),
            }

        study = {**asdict(self.study), "systems": [system.name for system in self.study.systems]}
        return {
            "study": study,
            "parents": [plain(outcome) for outcome in self.parents],
            "systems": [plain(outcome) for outcome in self.outcomes],
        }


def compare(
    study: Study, folder: str | os.PathLike, *, jobs: int = 1, threads: int = 1, update: Update = lambda *_: None
) -> Comparison:
    """Do all trainings of `study` in `folder`, or go on with them there.

    Args:
        study: What is compared.
        folder: Where trainings and their records are kept; made if need be.
        jobs: Trainings at the same time, each in a process of its own.
        threads: Threads per process.
        update: Called with (what was done last, how much is done, of how much).

    Returns:
        The outcome of every system on every data set.

    Raises:
        UsageError: `folder` holds a training of the same name with other settings, or another comparison is at work
            there.
        DataError: The data are bad.
        PaconvError: Whatever else training raises.
    """
    root = make_folder(folder)
    tries = len(study.rates) + study.seeds - 1
    groups = len(study.data) * (len(study.activations) + len(study.systems))
    progress = _Progress(update, groups * tries + len(study.data) * len(study.systems))
    with locked(root, "comparison"), workers(jobs, threads) as submit:
        bare = parse_system(FLOAT)
        starts = [(data, bare, activation) for data in study.data for activation in study.activations]
        parents = _tuned(study, root, submit, progress, starts, lambda *_: None)
        folders = {(o.data, o.activation, run.seed): run.folder for o in parents for run in o.runs}
        systems = [(data, system, study.activation(system)) for data in study.data for system in study.systems]
        outcomes = _tuned(
            study, root, submit, progress, systems, lambda data, activation, seed: folders[data, activation, seed]
        )
        outcomes = _deployed(outcomes, root, submit, progress)
    return Comparison(study, tuple(parents), tuple(outcomes))


class _Progress:
    def __init__(self, update: Update, total: int):
        self.update, self.total, self.done = update, total, 0

    def __call__(self, what: str) -> None:
        self.done += 1
        self.update(what, self.done, self.total)


def _tuned(
    study: Study,
    root: Path,
    submit: Submit,
    progress: _Progress,
    groups: Iterable[tuple[str, System, str]],
    parent: Callable[[str, str, int], str | None],
) -> list[Outcome]:
    """The outcome of each (data, system, activation)."""
    groups = list(groups)

    def runs(group: tuple[str, System, str], seed: int, rate: float) -> Run:
        data, system, activation = group
        return Run(data, system, activation, seed, rate, parent(data, activation, seed))

    def done(wanted: list[Run]) -> dict[Run, Record]:
        found = {}
        for place, record in submit(execute, [(run, study, root) for run in wanted]):
            found[wanted[place]] = record
            progress(wanted[place].folder)
        return found

    records = done([runs(group, 0, rate) for group in groups for rate in study.rates])
    tries = [{rate: records[runs(group, 0, rate)].score for rate in study.rates} for group in groups]
    chosen = [max(study.rates, key=scores.__getitem__) for scores in tries]  # of equal ones the first
    others = range(1, study.seeds)
    records |= done([runs(group, seed, rate) for group, rate in zip(groups, chosen, strict=True) for seed in others])
    outcomes = []
    for group, rate, scores in zip(groups, chosen, tries, strict=True):
        own = tuple(runs(group, seed, rate) for seed in range(study.seeds))
        outcomes.append(Outcome(*group, scores, rate, own, tuple(records[run] for run in own), None))
    return outcomes


def _deployed(outcomes: list[Outcome], root: Path, submit: Submit, progress: _Progress) -> list[Outcome]:
    found = list(outcomes)
    sound = [place for place, outcome in enumerate(outcomes) if outcome.records[0].failure is None]
    for number, deployed in submit(deploy, [(outcomes[place].runs[0], root) for place in sound]):
        place = sound[number]
        found[place] = replace(outcomes[place], deployed=deployed)
        progress(f"{outcomes[place].runs[0].folder}: deployed")
    return found
