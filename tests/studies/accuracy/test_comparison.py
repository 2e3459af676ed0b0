"""The whole comparison, on a study that takes seconds: which trainings there are, what is chosen, what is written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import paconv
from paconv.errors import TrainingError, UsageError
from paconv.studies.accuracy import Study, compare, parse_system, write_report
from paconv.studies.accuracy.deploy import deploy
from paconv.studies.accuracy.runs import Run, execute
from paconv.studies.accuracy.tables import differences_table, results_table, tuning_table
from tests.studies.accuracy.in_process import workers_in_process

pytestmark = pytest.mark.slow

DATA = "digits:0.7"
STUDY = Study(
    data=(DATA,),
    systems=tuple(map(parse_system, ("float", "pa:4,5", "bireal"))),
    seeds=2,
    rates=(0.002, 0.008),
    epochs=1,
    float_epochs=1,
    batch_size=256,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def comparison(folder, told):
    return compare(STUDY, folder / "runs", jobs=2, update=lambda *done: told.append(done))


def test_every_system_has_every_rate_at_seed_0_and_the_best_at_every_seed(comparison, folder, told):
    runs = {path.parent.relative_to(folder / "runs").as_posix() for path in folder.rglob("record.json")}
    assert len(runs) == 5 * (2 + 1)  # two float networks and three systems
    for outcome in (*comparison.parents, *comparison.outcomes):
        assert outcome.rate == max(outcome.tries, key=outcome.tries.__getitem__)
        assert [run.seed for run in outcome.runs] == [0, 1] and {run.rate for run in outcome.runs} == {outcome.rate}
        assert outcome.records[0].score == outcome.tries[outcome.rate]
        assert {run.folder for run in outcome.runs} <= runs
        assert all(0 < result < 1 for result in outcome.results)
    assert [done for _, done, _ in told] == list(range(1, 15 + 3 + 1)) and {total for *_, total in told} == {18}


def test_systems_start_from_the_float_network_of_their_seed(comparison, folder):
    parents = {parent.activation: parent for parent in comparison.parents}
    for outcome in comparison.outcomes:
        parent = parents["clip" if outcome.system.name == "bireal:1,1" else "relu"]
        assert [run.parent for run in outcome.runs] == [run.folder for run in parent.runs]
        model = paconv.load(folder / "runs" / outcome.runs[0].folder / "model.pt")
        assert model.paconv_architecture["config"]["activation"] == parent.activation


def test_the_network_of_seed_0_is_deployed_and_says_what_torch_says(comparison):
    for outcome in comparison.outcomes:
        assert outcome.deployed.verified is (None if outcome.system.scheme is None else True)
        assert outcome.deployed.samples == 450 and outcome.deployed.same >= 448  # a decision may flip
    real, pa, _ = comparison.outcomes
    assert pa.deployed.bits < real.deployed.bits and pa.deployed.file_bytes < real.deployed.file_bytes


def test_it_goes_on_where_it_was_and_takes_up_more_seeds(comparison, folder, monkeypatch):
    monkeypatch.setattr("paconv.studies.accuracy.comparison.workers", workers_in_process)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}
    again = compare(STUDY, folder / "runs")
    assert again == comparison
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")} == before
    found = json.loads(json.dumps(comparison.as_data()))
    assert found["study"]["systems"] == ["float", "pa:4,5", "bireal:1,1"]
    assert len(found["systems"]) == 3 and len(found["parents"]) == 2


def test_another_training_of_the_same_name_is_refused(comparison, folder):
    with pytest.raises(UsageError, match="holds another training: epochs is 1 there, 2 here; name another folder"):
        execute(comparison.parents[0].runs[0], replace(STUDY, float_epochs=2), folder / "runs")


def test_a_training_that_fails_is_on_record(tmp_path, monkeypatch):
    def failing(recipe, source, output, **options):
        output.mkdir(parents=True)
        raise TrainingError("epoch 1, step 2: layer block1.conv1 gives NaN")

    monkeypatch.setattr("paconv.studies.accuracy.runs.train", failing)
    run = Run(DATA, parse_system("float"), "relu", 0, 0.002)
    record = execute(run, STUDY, tmp_path)
    assert record.failure.endswith("gives NaN") and record.score == -1 and record.result is None
    assert execute(run, STUDY, tmp_path) == record
    (tmp_path / run.folder / "record.json").write_text("{")
    with pytest.raises(UsageError, match="expected the record of a training: .* delete it to train again"):
        execute(run, STUDY, tmp_path)


def test_tables_have_a_row_for_each_system_and_figures_that_follow_from_the_records(comparison):
    rows = results_table(comparison, DATA, "all").rows
    real, pa, _bireal = comparison.outcomes
    assert [row["system"] for row in rows] == ["full precision", "PA(4,5)", "Bi-Real Net"]
    assert rows[1]["mean"] == sum(pa.results) / 2
    assert abs(rows[1]["gap"] - (rows[1]["mean"] - rows[0]["mean"])) < 1e-12  # three sums of two floats below 1
    assert rows[1]["saving"] == real.deployed.bits / pa.deployed.bits and "gap" not in rows[0]
    assert [row["system"] for row in results_table(comparison, DATA, "", ("pa",)).rows] == ["PA(4,5)"]
    order = differences_table(comparison, DATA).rows
    assert [row["pair"] for row in order] == ["full precision - PA(4,5)", "PA(4,5) - Bi-Real Net"]
    tuning = tuning_table(comparison, DATA).rows
    assert [row["chosen"] for row in tuning] == [o.rate for o in (*comparison.parents, *comparison.outcomes)]


def test_the_report_is_a_folder_with_text_numbers_and_the_papers_figures(comparison, folder):
    written = write_report(comparison, folder / "runs", folder / "report")
    names = ["report.md", "comparison.json", "figure1.png", "figure2.png", "figure4.png", "figure5.png"]
    assert [path.name for path in written] == names
    assert sorted(names) == sorted(path.name for path in (folder / "report").iterdir())
    text = (folder / "report/report.md").read_text()
    for expected in ("Table 3 in small", "Table 6 in small", "the order", "| PA(4,5) |", "![Figure 5:", "450 held out"):
        assert expected in text
    assert json.loads((folder / "report/comparison.json").read_text()) == json.loads(json.dumps(comparison.as_data()))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[2:])


def test_a_damaged_record_of_a_deployment_is_refused(comparison, tmp_path):
    run = comparison.outcomes[0].runs[0]
    (tmp_path / run.folder).mkdir(parents=True)
    (tmp_path / run.folder / "deployed.json").write_text('{"bits": 1}')
    with pytest.raises(UsageError, match="expected the record of a deployment: .* delete it to deploy again"):
        deploy(run, tmp_path)
