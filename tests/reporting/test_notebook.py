"""What a notebook shows of a result, and what a prompt does."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.bench.models import bench
from paconv.cost import count, network
from paconv.nn import conversion_report
from paconv.onnx_file.loading import load_model
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table
from tests.quantization.networks import images, residual_network

SAMPLE = Path(__file__).parents[2] / "examples" / "digits_pa45.pt"


class Elements(HTMLParser):
    """Elements that are open, and the text of every cell; fails where an end doesn't fit."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1] += data


def test_what_comes_from_a_model_is_escaped_everywhere():
    evil = '<script>alert("1")</script>&'
    table = Table(evil, [Column("a", evil)], [{"a": evil}, {"a": evil}], totals=1, notes=[evil])
    text = as_html(table)
    assert "<script" not in text and Elements(text).cells == [evil] * 3
    assert text.count("&lt;script&gt;") == 5


def test_colours_are_the_notebooks_own():
    text = as_html(Table("t", [Column("a", "a")], [{"a": 1}]))
    assert "background" not in text and "<style" not in text
    assert text.count("color:") == text.count("color: inherit") == 1


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, object]:
    """A result of each kind, by the beginning of its repr."""
    folder = tmp_path_factory.mktemp("results")
    exported = paconv.export(SAMPLE, folder / "model.onnx")
    optimized = paconv.optimize(exported.path, folder / "pa.onnx")
    return {
        "Exported(model.onnx: 0.3": exported,
        "LevelReport(levels snapped to integers (15, 31)": exported.levels,
        "OptimizeResult(9 convolutions: 8 PABitConv": optimized,
        "ConversionReport(9 convolutions: 8 PABitConv": optimized.report,
        "VerifyResult(verified: 8 layers)": paconv.verify(exported.path, folder / "pa.onnx"),
        "NetworkCost(": count(network(load_model(folder / "pa.onnx"))),
        "<Summary of pa.onnx: 77,562 parameters": paconv.summary(folder / "pa.onnx"),
        "ModelBench(pa.onnx: ": bench(folder / "pa.onnx", [exported.path], seconds=0.1),
        "Quantized(5 of 8 layers from 8 samples: ": paconv.quantize(residual_network(), images(8), fast=True),
        "ConversionReport(pa, M=4, N=5: 8 converted, 2 kept real)": conversion_report(paconv.load(SAMPLE)),
    }


def test_every_result_is_a_line_at_a_prompt_and_a_table_in_a_notebook(results):
    for beginning, result in results.items():
        assert repr(result).startswith(beginning), repr(result)
        assert "\n" not in repr(result) and len(repr(result)) < 160
        cells = Elements(result._repr_html_()).cells
        assert len(cells) > 6 and len(result._repr_html_()) < 20_000


def test_a_real_network_has_a_line_and_a_table_too(tmp_path):
    import torch

    done = paconv.export(torch.nn.Conv2d(1, 1, 1), tmp_path / "m.onnx", (1, 4, 4))
    assert repr(done).endswith("0 quantized and 1 real convolutions)") and Elements(done._repr_html_()).cells == []


def test_a_difference_is_the_line(results):
    from dataclasses import replace

    differs = replace(results["VerifyResult(verified: 8 layers)"], glue="tensor 'x<y' differs")
    assert repr(differs) == "VerifyResult(differs: tensor 'x<y' differs)"
    assert "x&lt;y" in differs._repr_html_() and np.all(["x<y" not in differs._repr_html_()])
