"""The folder written from a comparison: text, data and picture, all of them or the older ones."""

import json
from dataclasses import replace

import pytest

from paconv.errors import PaconvError, UsageError
from paconv.studies.speed import report
from paconv.studies.speed.measured import PA
from paconv.studies.speed.plot import bars, main, slots
from paconv.studies.speed.report import DATA, PICTURE, REPORT, check_report, report_text, write_report
from tests.studies.speed.synthetic import ADVICE, comparison, layers, networks


def test_the_report_has_the_machine_the_targets_and_every_table():
    text = report_text(comparison())
    for found in ("Synthetic 1, 2 cores, 16 GiB", "load at the start: 0.5", "threads: 1, 2", "| 2.00x |"):
        assert found in text, found
    assert "(layout of bireal18) | >= 20x Larq's | 25.00x (4.00 ms, 100.00 ms) | reached |" in text
    assert "| optimize ResNet50 | < 15 s | 20.0 s | missed by 33% |" in text
    # 115,605,504 MAC in 1 ms on planes; 4 ms on codes is chosen before 8 ms on planes
    assert "| 64 to 64, 3x3/1 at 56 | 14.5 | 57.8 | 0.5 (1.2%) | 2.9 | 116 planes | 57.8 planes | 28.9 codes |" in text
    assert "| 64 to 64, 3x3/1 at 56 | (4,5) | 8.00 | 4.00 | 29% | codes | 2.00x |" in text
    assert "| resnet18 | PA(4,5) | 10.00 | 20.00 | 2.00x |  | 1.03 | 6.00 |" in text
    assert "| resnet18 | PA(4,5), stock onnxruntime | 50.00 |" in text
    assert "| resnet50 | PA(4,5) | 1.00 | 50.00 | 200.00 | 60.00 | 0.50x |" in text


def test_the_8_bit_opponent_is_named_with_its_error_beside_its_time():
    text = report_text(comparison())
    assert "| layer | float | int8, U8S8, 7-bit weights | int8's largest error | Larq, binary |" in text
    assert "| resnet18 | int8, U8S8, 7-bit weights | 8.00 | 16.00 | 2.50x | 0.5 (1.2%) |  |  |" in text
    assert "onnxruntime advises for x86-64 without VNNI; measured: U8S8 with weights of 8 bits saturates" in text
    assert "saturates on this CPU; its largest error is 12 (30.0%), of resnet18" in text
    assert "int8 is U8S8, 7-bit weights, off by 0.5 (1.2%)" in text


def test_where_nothing_saturates_no_error_of_it_is_told():
    def quiet(measured):
        return [replace(m, u8s8_error=None) for m in measured]

    run = comparison()
    run = replace(run, int8=replace(ADVICE, saturates=False), layers=quiet(run.layers), networks=quiet(run.networks))
    text = report_text(run)
    assert "doesn't saturate on this CPU" in text and "12 (30.0%)" not in text


def test_no_path_of_the_machine_is_in_it(tmp_path):
    write_report(comparison(), tmp_path)
    for name in (REPORT, DATA):
        text = (tmp_path / name).read_text()
        assert str(tmp_path) not in text and "/home" not in text and "/tmp" not in text


def test_the_data_hold_every_measurement_and_target(tmp_path):
    run = comparison()
    write_report(run, tmp_path / "new" / "folder")
    data = json.loads((tmp_path / "new" / "folder" / DATA).read_text())
    assert [len(data[key]) for key in ("layers", "networks", "builds", "served")] == [
        len(run.layers), len(run.networks), len(run.builds), len(run.served),
    ]  # fmt: skip
    assert data["layers"][0] == {
        "subject": "64 to 64, 3x3/1 at 56", "what": "float", "threads": 1, "macs": 115605504, "planes": None,
        "timing": {"best": 8e-3, "median": 16e-3, "calls": 10}, "levels": "", "kernel": "", "ran": {}, "coding": "",
        "chosen": False, "nodes_best": None, "form": "", "error": None, "u8s8_error": None, "spinning": False,
    }  # fmt: skip
    int8 = next(m for m in data["networks"] if m["what"] == "int8")
    assert (int8["form"], int8["error"]) == ("U8S8, 7-bit weights", {"largest": 0.5, "relative": 0.0125})
    assert int8["u8s8_error"] == {"largest": 12.0, "relative": 0.3}
    assert data["int8"] == {
        "form": "U8S8, 7-bit weights", "advised_for": "x86-64 without VNNI", "u8s8_saturates": True,
    }  # fmt: skip
    assert {"what", "target", "bound", "value", "verdict", "reached", "limits"} <= set(data["targets"][0])
    assert data["environment"]["versions"] and data["options"]["threads"] == [1, 2]


def test_the_picture_shows_how_many_times_as_fast_as_float(tmp_path):
    found = bars(layers(), 1)
    assert {name: set(heights.values()) for name, heights in found.items()} == {
        "int8": {4.0}, "Larq, binary": {0.2}, "PA(1,1)": {8.0}, "PA(1,1) +-1": {4.0}, "PA(4,5)": {2.0},
    }  # fmt: skip
    write_report(comparison(), tmp_path)
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_the_figures_of_the_table_not_those_timed_alone():
    in_turns = networks()
    alone = [replace(m, spinning=True, timing=replace(m.timing, best=2.0)) for m in in_turns if m.what == PA]
    assert bars(in_turns + alone, 1) == bars(in_turns, 1) != {}


def test_a_group_of_bars_has_no_empty_place():
    found = {"int8": {"a": 2.0, "b": 3.0}, "PA(1,1)": {"a": 4.0}, "Larq, binary": {"c": 0.1, "a": 0.2}}
    places, middles = slots(found)
    assert list(middles) == ["a", "b", "c"]
    assert [places[form, "a"] - places["int8", "a"] for form in found] == [0, 1, 2]
    assert middles["a"] == places["PA(1,1)", "a"]
    assert (middles["b"], middles["c"]) == (places["int8", "b"], places["Larq, binary", "c"])
    assert len(places) == 5 and len(set(places.values())) == 5


def test_the_picture_is_drawn_anew_from_the_data_beside_it(tmp_path):
    write_report(comparison(), tmp_path)
    before = (tmp_path / PICTURE).read_bytes()
    (tmp_path / PICTURE).unlink()
    main([str(tmp_path)])
    assert (tmp_path / PICTURE).read_bytes() == before


def test_a_comparison_of_part_of_it_is_a_report_too(tmp_path):
    write_report(comparison(layers=[], served=[], builds=[]), tmp_path)
    assert "## Single layers" not in (tmp_path / REPORT).read_text()
    assert "## Whole networks" in (tmp_path / REPORT).read_text()


def test_a_failure_leaves_the_older_report(tmp_path, monkeypatch):
    write_report(comparison(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fails(run):
        raise PaconvError("no")

    monkeypatch.setattr(report, "report_text", fails)
    with pytest.raises(PaconvError):
        write_report(comparison(single_binary=""), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    assert (tmp_path / REPORT).read_bytes() == before[REPORT]


def test_a_folder_that_cannot_be_made_is_a_clear_error_before_the_run_too(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (check_report, lambda folder: write_report(comparison(), folder)):
        with pytest.raises(PaconvError, match="cannot make the folder"):
            write(tmp_path / "file" / "folder")


def test_a_check_before_the_run_makes_nothing(tmp_path):
    check_report(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_check_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("paconv.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'paconv\[plot\]'"):
        check_report(tmp_path)
