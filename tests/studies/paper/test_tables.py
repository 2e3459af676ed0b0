"""The reproduced tables: no unexplained deviation, and each footnote tells the truth."""

from __future__ import annotations

import pytest

from paconv.cost import count, under_scheme
from paconv.reporting.tables import plain
from paconv.studies.paper.data import paper_data
from paconv.studies.paper.printed import FOOTNOTES, TABLE7
from paconv.studies.paper.resnet import resnet
from paconv.studies.paper.tables import footnotes, table2, table7, table7_figures, table8, table8_numbers


@pytest.mark.parametrize("pa_rule", ("table7", "text"))
def test_no_deviation_above_one_percent_is_without_a_footnote(pa_rule):
    figures = [f for row in table7_figures(pa_rule).values() for f in row.values()]
    assert len(figures) == 9 * 4 + 3 * 2
    for figure in figures:
        assert abs(figure.deviation) <= 0.01 or figure.footnotes


def test_all_twelve_rows_are_there_in_the_paper_s_order():
    rows = list(table7_figures())
    assert rows == [row.model for row in TABLE7]
    assert rows[:4] == ["Bi-Real ResNet18", "ABC-ResNet18", "PA-ResNet18", "ResNet18"]
    assert len(rows) == 12


def test_every_footnote_is_used_and_printed():
    used = {mark for row in TABLE7 for marks in row.footnotes.values() for mark in marks}
    assert used == set(FOOTNOTES)
    text = plain(table7())
    for mark, note in footnotes("table7").items():
        assert f"{mark}: {note}" in text


def test_ours_by_the_fitted_rule_rounds_to_the_printed_flops_of_pa18_and_pa34():
    figures = table7_figures("table7")
    assert [round(figures[f"PA-ResNet{d}"]["flops"].ours / 1e7) for d in (18, 34, 50)] == [67, 127, 144]


def test_ours_for_bireal50_is_within_a_thousandth():
    row = table7_figures()["Bi-Real ResNet50"]
    assert row["flops"].ours == 545_153_024
    assert all(abs(figure.deviation) < 2e-3 for figure in row.values())


def test_the_figures_that_the_footnotes_quote_are_counted():
    def totals(depth, scheme, **options):
        return count(under_scheme(resnet(depth), scheme, **options)).totals

    pa34 = totals(34, "pa")
    assert f"{pa34.bits / 1e6:.2f} Mbit and {float(pa34.memory_saving):.2f}x" in FOOTNOTES["a"]
    bireal = totals(18, "bireal")
    assert f"{float(bireal.flops) / 1e8:.3f}e8 and {float(bireal.speedup):.2f}x" in FOOTNOTES["d"]
    xnor = totals(18, "xnor")
    assert f"{float(xnor.flops) / 1e8:.2f}e8 and {float(xnor.speedup):.2f}x" in FOOTNOTES["d"]
    assert round(float(totals(34, "bireal").flops) / 1e8, 2) == 1.93
    real_first = totals(50, "bireal", keep_real=["layer1.0.conv1"])
    assert f"{real_first.bits / 1e6:.2f} Mbit" in FOOTNOTES["g"]
    assert f"{float(totals(50, 'bireal').flops) / 1e8:.3f}e8" in FOOTNOTES["g"]
    quoted = [f"{float(totals(18, 'pa').flops) / 1e8:.3f}e8"]
    quoted += [f"{float(totals(depth, 'pa').flops) / 1e9:.3f}e9" for depth in (34, 50)]
    assert f"{quoted[0]}, {quoted[1]} and {quoted[2]}" in FOOTNOTES["h"]


def test_abc_s_printed_memory_is_five_quarters_of_pa_s():
    printed = {row.model: row.memory for row in TABLE7}
    for depth in (18, 34, 50):
        assert printed[f"ABC-ResNet{depth}"] == pytest.approx(1.25 * printed[f"PA-ResNet{depth}"], abs=0.1)


def test_table_2_s_ratios_and_what_they_imply():
    rows = {row["what"]: row for row in table2(4, 5).rows}
    ratios = rows["XNOR / AND"]
    assert [round(ratios[key], 3) for key in ("delay", "area", "power")] == [1.130, 2.000, 1.971]
    bireal = rows["PA 4x5 / Bi-Real (1 XNOR base)"]
    assert (bireal["area"], round(bireal["power"], 2), round(bireal["delay"], 3)) == (10, 10.15, 0.885)
    assert rows["PA 4x5 / ABC 5x5 (25 XNOR bases)"]["area"] == pytest.approx(0.4, rel=1e-15)


def test_table_8_is_symbolic_without_numbers_and_numeric_with_them():
    assert "n (T_AND + T_pop) + N T_mul + (N-1) T_add + T_com" in plain(table8({}))
    assert "(T_mul + T_add) / (T_AND + T_pop)" in plain(table8({}))
    times = {"AND": 9.62, "XNOR": 10.87, "pop": 60.0, "mul": 300.0, "add": 150.0, "com": 40.0}
    first = table8_numbers(5, times).rows[0]
    assert first["PA, N=5"] == f"{576 * 69.62 + 1500 + 600 + 40:,.2f}"
    assert first["speedup PA, N=5"] == pytest.approx((576 * 300 + 575 * 150) / (576 * 69.62 + 2140), rel=1e-12)
    assert "speedup PA, N=5" not in table8_numbers(5, {"AND": 9.62}).rows[0]


def test_the_data_tells_where_each_figure_comes_from():
    data = paper_data("table7", 4, 5, {})
    row = data["table7"]["rows"][2]
    assert row["model"] == "PA-ResNet18"
    assert row["memory"]["printed"] == 61.6 and row["memory"]["ours"] == 61.654272
    assert row["flops"]["footnotes"] == ["h"]
    assert data["table7"]["provenance"]["printed"] == "the paper"
    assert data["table2"]["gates"]["AND"]["delay"] == 9.62
    assert data["table8"]["rows"][2]["speedup_for_large_n"] is None
