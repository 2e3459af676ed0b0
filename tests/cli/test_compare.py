"""`paconv compare`: what it prints, and what it answers to bad input."""

from __future__ import annotations

import json

import pytest

from paconv.studies.accuracy import comparison
from tests.studies.accuracy.in_process import workers_in_process

SMALL = "--epochs 1 --batch-size 256 --seeds 1 --rates 0.004 --jobs 1 --system float --system pa:2,1".split()


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    monkeypatch.setattr(comparison, "workers", workers_in_process)


@pytest.mark.slow
def test_it_prints_what_it_writes_and_goes_on_where_it_was(run, tmp_path):
    code, out, err = run("compare", "-o", tmp_path / "c", "--data", "digits", *SMALL)
    assert (code, err) == (0, "")
    assert "full precision" in out and "PA(2,1)" in out and out.rstrip().endswith("report.md")
    code, out, err = run("compare", "-o", tmp_path / "c", "--data", "digits", *SMALL, "--format", "json")
    found = json.loads(out)
    assert code == 0 and found == json.loads((tmp_path / "c/report/comparison.json").read_text())
    assert [each["system"] for each in found["systems"]] == ["float", "pa:2,1"]
    code, out, err = run("compare", "-o", tmp_path / "c", "--data", "digits", *SMALL, "--float-epochs", 2)
    assert code == 1 and "holds another training: epochs is 1 there, 2 here" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--system magic:1,1", "scheme: expected pa, "),
        ("--system pa:9,5", "must be 1..8; found 9"),
        ("--system pa:4,0", "N, the number of activation planes, must be 1..8 or full; found 0"),
        ("--system pa --system pa:4,5", "--system: one is named twice"),
        ("--data nowhere", "data: expected folder:PATH, voc:PATH, mnist:PATH, digits or synthetic; found 'nowhere'"),
        ("--data folder:nowhere", "nowhere/train: no such folder"),
        ("--rates fast", "expected numbers with commas between, such as 0.0005,0.002; found 'fast'"),
        ("--validation 2", "validation: expected a share between 0 and 1; found 2"),
        ("--model lenet", "no architecture is called 'lenet'"),
        ("--epochs 0", "epochs must be a whole number from 1; found 0"),
    ],
)
def test_bad_input_is_told_in_one_line(run, tmp_path, words, message):
    code, out, err = run("compare", "-o", tmp_path / "c", "--jobs", "1", *words.split())
    assert code in (1, 2) and out == "" and message in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("record.json"))
