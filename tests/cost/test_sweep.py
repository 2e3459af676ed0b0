"""The grid of M and N as a table and as a picture."""

from __future__ import annotations

import sys

import pytest

from paconv.cost import rule, storage
from paconv.cost.plot import plot_sweep, spread
from paconv.cost.sweep import sweep, sweep_data, sweep_table
from paconv.cost.units import scale, with_unit
from paconv.errors import UsageError
from paconv.network.layers import Network
from paconv.reporting.tables import plain
from paconv.studies.paper.resnet import resnet


@pytest.fixture(scope="module")
def points():
    return sweep(resnet(18), rule(), storage())


def test_the_sweep_has_every_M_and_N(points):
    assert {(p.M, p.N) for p in points} == {(M, N) for M in (2, 4, 6, 8) for N in (1, 2, 3, 4, 5, 6, 7, 8, None)}
    assert len(points) == 36


def test_the_sweep_goes_through_the_known_figures(points):
    found = {(p.M, p.N): (p.totals.bits, p.totals.flops) for p in points}
    assert found[4, 5] == (61_654_272, 690_406_912)
    assert found[8, None] == (106_284_288, 1_814_073_344)


def test_memory_depends_on_M_alone_and_flops_rise_with_both(points):
    found = {(p.M, p.N): p for p in points}
    for M in (2, 4, 6, 8):
        assert len({found[M, N].bits for N in (1, 5, 8, None)}) == 1
        assert all(found[M, N].flops < found[M, N + 1].flops for N in range(1, 8))
    assert all(found[M, 5].flops < found[M + 2, 5].flops for M in (2, 4, 6))


def test_a_rule_known_for_one_pair_only_is_refused():
    with pytest.raises(UsageError, match="rule table7"):
        sweep(resnet(18), rule("table7"), storage())


def test_layers_can_be_kept_real_throughout():
    kept = sweep(resnet(18), rule(), storage(), keep_real=["*downsample*"])
    assert kept[0].totals.binary_weights == 10_985_472


def test_table_and_data_show_the_same_points(points):
    table = sweep_table(points, "net", rule(), storage())
    text = plain(table)
    data = sweep_data(points, "net", rule(), storage())
    assert "full" in text and "61.65" in text and "50.50" in text and "provenance" in " ".join(table.definitions)
    assert data["points"][-1]["N"] == "full"
    assert {"M", "N", "bits", "level_index_bits", "memory_saving", "flops", "speedup"} == set(data["points"][0])


@pytest.mark.parametrize(
    ("value", "unit"), [(106e6, (1e6, "M")), (2e9, (1e6, "M")), (651e3, (1e3, "k")), (999, (1, "")), (0, (1, ""))]
)
def test_a_unit_suits_the_largest_figure(value, unit):
    assert scale(value, most=1e6) == unit


def test_a_figure_is_told_in_its_own_unit():
    assert with_unit(373_655_872, "bit") == "374 Mbit"
    assert with_unit(2_481_984, "bit") == "2.48 Mbit"
    assert with_unit(1.814e9, "bit", most=1e6) == "1.81e+03 Mbit"


def test_a_small_network_has_small_units_in_table_and_picture(tmp_path):
    first_two = [layer for layer in resnet(18).layers if layer.name in ("conv1", "layer1.0.conv1")]
    small = sweep(Network(first_two), rule(), storage())
    assert "memory [kbit]" in plain(sweep_table(small, "net", rule(), storage()))
    plot_sweep(small, tmp_path / "small.svg", "net", storage())
    drawn = (tmp_path / "small.svg").read_text()
    assert "memory [kbit]" in drawn and "Flops [1e6]" in drawn


def test_names_of_curves_stand_apart_and_near_their_curves():
    assert spread([0, 20, 40], 10) == [0, 20, 40]
    assert spread([5, 5, 5, 50], 10) == pytest.approx([-5, 5, 15, 50])
    crowded = spread([0, 1, 2, 3, 12], 10)
    assert all(b - a >= 10 - 1e-9 for a, b in zip(crowded, crowded[1:], strict=False))
    assert sum(crowded) == pytest.approx(18)


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_written(points, tmp_path, suffix, start):
    path = tmp_path / f"sweep.{suffix}"
    plot_sweep(points, path, "net", storage())
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_same_sweep_gives_the_same_svg(points, tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_sweep(points, tmp_path / name, "net", storage())
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_picture_of_another_kind_is_refused(points, tmp_path):
    with pytest.raises(UsageError, match=r"--plot: expected a file ending in \.png or \.svg; found sweep\.gif"):
        plot_sweep(points, tmp_path / "sweep.gif", "net", storage())


def test_without_matplotlib_the_error_says_what_to_install(points, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'paconv\[plot\]'"):
        plot_sweep(points, tmp_path / "sweep.png", "net", storage())
    assert not list(tmp_path.iterdir())
