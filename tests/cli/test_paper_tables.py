"""`paconv paper-tables`: three formats, symbols and numbers."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from paconv.cli.paper_tables import paper_tables


def run(*arguments: object) -> str:
    result = CliRunner().invoke(paper_tables, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("rule", ("table7", "text"))
def test_no_deviation_above_one_percent_is_printed_without_a_footnote(rule):
    out = run("--rule", rule)
    table = out[: out.index("Table 8")]
    deviations = re.findall(r"([+-]\d+\.\d)%( [a-h]+)?", table)
    assert len(deviations) == 42
    assert all(mark or abs(float(value)) <= 1.0 for value, mark in deviations)


def test_all_three_tables_are_printed_with_their_provenance():
    out = run()
    for text in ("Table 7: ", "Table 8: ", "Table 2: ", "PA-ResNet50", "n (T_AND + T_pop) + N T_mul", "1.971"):
        assert text in out
    assert out.count("provenance") >= 4


def test_numbers_take_the_place_of_the_symbols_that_are_given():
    out = run("--t-and", 9.62, "--t-xnor", 10.87)
    assert "5,541.12 + 576 T_pop + 5 T_mul + 4 T_add + T_com" in out
    times = ("--t-and", 9.62, "--t-xnor", 10.87, "--t-pop", 60, "--t-mul", 300, "--t-add", 150, "--t-com", 40)
    out = run(*times)
    assert "42,241.12" in out and "6.464x" in out
    assert "T_pop +" not in out.split("Table 8 for")[1]


def test_json_holds_every_row():
    data = json.loads(run("--format", "json"))
    assert len(data["table7"]["rows"]) == 12
    for row in data["table7"]["rows"]:
        for name in ("memory", "flops"):
            figure = row[name]
            assert figure["footnotes"] or abs(figure["deviation"]) <= 0.01
    assert set(data) == {"table7", "table8", "table2"}


def test_markdown_has_a_heading_for_each_table():
    assert run("--format", "markdown").count("### Table") == 4


@pytest.mark.parametrize("delay", ["nan", "inf", "0", "-1", "fast"])
def test_a_delay_that_is_no_finite_number_above_0_is_refused(delay):
    refused = CliRunner().invoke(paper_tables, ["--t-and", delay])
    assert refused.exit_code == 2 and "expected a finite number above 0" in refused.output
