"""`paconv cost`: every form of a model, every format, and one clear line for what can't be counted."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.network.resnet_graphs import FORMS, resnet_graph

TOTALS = {
    "binary_weights", "real_parameters", "bits", "float_bits", "macs", "bitwise_ops", "multiplications", "comparisons",
    "flops", "float_flops",
}  # fmt: skip


def write(model: onnx.ModelProto, path: Path) -> Path:
    """Save a graph from resnet_graphs, its weights filled with zeros."""
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data"):
            size = {TensorProto.FLOAT: 4, TensorProto.UINT8: 1}[tensor.data_type]
            tensor.raw_data = bytes(size * int(np.prod(tensor.dims, dtype=np.int64)))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {form: write(resnet_graph(18, form), folder / f"{form}.onnx") for form in FORMS}


def test_json_has_layers_and_totals_that_agree_in_each_form(models, run):
    found = {}
    for form in ("exported", "optimized"):
        code, out, _ = run("cost", models[form], "--format", "json")
        assert code == 0
        found[form] = json.loads(out)
    totals = found["exported"]["totals"]
    assert TOTALS <= set(totals)
    assert totals == found["optimized"]["totals"]
    assert (totals["bits"], totals["flops"]) == (61_654_272, 690_406_912)
    assert totals["level_index_bits"] == 50_496_768
    assert all(isinstance(totals[name], int) for name in TOTALS)
    convs = [layer for layer in found["optimized"]["layers"] if layer["kind"].startswith("conv")]
    assert len(convs) == 20
    assert sum(layer["macs"] for layer in found["exported"]["layers"]) == totals["macs"]
    assert found["exported"]["not_counted"]["ops"]["Relu"] == 17
    assert TOTALS <= set(found["exported"]["provenance"]) | {"kind"}


def test_a_float_model_costs_what_it_is_and_what_pa_would_cost(models, run):
    _, out, _ = run("cost", models["float"], "--format", "json")
    assert json.loads(out)["totals"]["bits"] == 374_064_384
    _, out, _ = run("cost", models["float"], "--scheme", "pa", "-M", 4, "-N", 5, "--format", "json")
    assert json.loads(out)["totals"]["flops"] == 690_406_912
    _, out, _ = run("cost", models["float"], "--scheme", "pa", "-M", 8, "-N", "full", "--format", "json")
    assert json.loads(out)["totals"]["bits"] == 106_284_288


@pytest.mark.parametrize(
    ("options", "planes", "words"),
    [
        (("bireal",), ("bireal", 1, 1), "Bi-Real Net has 0 multiplications per output"),
        (("xnor",), ("xnor", 1, 1), "XNOR-Net has 2 multiplications per output"),
        (("xnor", "--mul-per-output", 3), ("xnor", 1, 1), "; but 3 multiplications per output (given)"),
        (("float",), ("float", None, None), "no layer is binary"),
        (("pa", "-M", 8, "-N", "full"), ("pa", 8, None), "activations are full precision"),
        (("abc",), ("abc", 5, 5), "M*N multiplications per output"),
    ],
)
def test_the_report_names_the_scheme_and_tells_its_own_counting(models, run, options, planes, words):
    data = json.loads(run("cost", models["float"], "--scheme", *options, "--format", "json")[1])
    assert (data["scheme"], data["M"], data["N"]) == planes
    assert words in data["rule"]["meaning"]
    text = run("cost", models["float"], "--scheme", *options, "--explain")[1]
    assert words in " ".join(text.split())
    assert ("rule text" in text) == (planes[0] == "abc")


def test_digits_cost_the_comparisons_of_their_levels(models, run):
    def totals(scheme):
        return json.loads(run("cost", models["float"], "--scheme", scheme, "--format", "json")[1])["totals"]

    digits, planes = totals("pa:5,7,digits"), totals("pa:5,7")
    assert 7 * digits["comparisons"] == 127 * planes["comparisons"]
    assert digits["multiplications"] == planes["multiplications"]


def test_rule_storage_and_numbers_are_options(models, run):
    def totals(*options):
        return json.loads(run("cost", models["exported"], "--format", "json", *options)[1])["totals"]

    assert totals("--rule", "table7")["flops"] == 674_400_768
    assert totals("--storage", "level-index")["bits"] == 50_496_768
    changed = totals("--mul-per-output", "0.5", "--cmp-per-activation", "0")
    assert changed["flops"] == 118_525_952 + 529_858_560 + 1_680_896 // 2


def test_the_table_shows_totals_what_is_not_counted_and_where_figures_come_from(models, run):
    code, out, err = run("cost", models["optimized"])
    assert (code, err) == (0, "")
    for text in ("layer1.0.conv1", "conv pa:4,5", "690,406,912", "6.07x", "61.65 Mbit", "20 batch norms"):
        assert text in out
    assert "an optimized pa.onnx stores level indexes: 50.50 Mbit (--storage level-index)" in out
    assert "not counted (nodes): Add 8, Flatten 1, GlobalAveragePool 1, MaxPool 1, Relu 9\n" in out
    assert "provenance: folded batch norms and biases are inferred" in out


def test_the_table_fits_120_columns_and_markdown_has_whole_figures(models, run):
    table = run("cost", models["optimized"])[1].split("\n\nmemory")[0]
    assert max(map(len, table.splitlines())) <= 120
    assert "115.6" in table and "115,605,504" not in table
    assert "115,605,504" in run("cost", models["optimized"], "--format", "markdown")[1]


@pytest.mark.parametrize("options", [(), ("--sweep",), ("--scheme", "xnor")])
def test_no_line_of_a_report_is_wider_than_120_columns(models, run, options):
    out = run("cost", models["float"], *options)[1]
    assert max(map(len, out.splitlines())) <= 120


def test_csv_has_a_row_a_layer_and_a_total(models, run):
    rows = list(csv.DictReader(io.StringIO(run("cost", models["exported"], "--format", "csv")[1])))
    assert rows[-1]["name"] == "total" and rows[-1]["flops"] == "690406912"
    left_out = {row["name"]: row["nodes"] for row in rows if row["kind"] == "not counted"}
    assert left_out["Relu"] == "17" and left_out["MaxPool"] == "1"
    counted = [row for row in rows[:-1] if row["kind"] != "not counted"]
    assert sum(int(row["macs"]) for row in counted) == int(rows[-1]["macs"])
    assert "rule text" in rows[0]["provenance"]


def test_csv_of_latency_and_sweep_says_in_its_header_where_figures_come_from(models, run):
    header = run("cost", models["optimized"], "--latency", "--format", "csv")[1].splitlines()[0]
    assert header.endswith('"pa:4,5 (formula of Table 8)"')
    header = run("cost", models["float"], "--sweep", "--format", "csv")[1].splitlines()[0]
    assert header.split(",") == [
        "M", "N", "bits_counted", "memory_saving_counted", "level_index_bits_counted", "flops_counted",
        "speedup_counted",
    ]  # fmt: skip


def test_markdown_is_a_pipe_table(models, run):
    out = run("cost", models["exported"], "--format", "markdown")[1]
    assert out.startswith("### Cost of exported.onnx\n\n| layer | kind |")


def test_latency_is_symbolic_or_numeric(models, run):
    out = run("cost", models["optimized"], "--latency")[1]
    assert "576 T_AND + 576 T_pop + 5 T_mul + 4 T_add + T_com" in out
    times = [text for op in ("and", "xnor", "pop", "mul", "add", "com") for text in (f"--t-{op}", 1)]
    data = json.loads(run("cost", models["optimized"], "--latency", *times, "--format", "json")[1])
    assert data["totals"]["full precision"]["value"] == 31_635 + 31_614
    assert data["totals"]["pa:4,5"]["value"] == 2 * 30_976 + 754 + 733 + 19


def test_a_sweep_prints_and_draws(models, run, tmp_path):
    code, out, _ = run("cost", models["float"], "--sweep", "--plot", tmp_path / "sweep.svg")
    assert code == 0 and (tmp_path / "sweep.svg").stat().st_size > 1000
    assert out.count("\n") > 36
    points = json.loads(run("cost", models["float"], "--sweep", "--format", "json")[1])["points"]
    assert len(points) == 36


def failure(run, *arguments: object) -> str:
    """The error line of a run that has to fail."""
    code, out, err = run("cost", *arguments)
    assert code in (1, 2) and out == ""
    assert err.startswith("paconv: error: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scheme", "pa", "-M", 0], "M: expected 1 to 8 planes; found M=0"),
        (["--scheme", "pa", "-M", 9], "M: expected 1 to 8 planes; found M=9"),
        (["--scheme", "pa", "-N", "many"], "-N: expected a number of planes or full; found many"),
        (["--scheme", "pa", "-M", 8, "-N", 5, "--rule", "table7"], "M=4, N=5 only; found pa:8,5"),
        (["--scheme", "bireal", "-M", 4], "scheme bireal has M=N=1"),
        (["--scheme", "other"], "'other' is not one of"),
        (["-M", 4], "-M and -N belong to --scheme"),
        (["--keep-real", "conv1"], "--keep-real belongs to --scheme or --sweep"),
        (["--sweep", "--scheme", "pa"], "--sweep goes over M and N"),
        (["--plot", "x.png"], "--plot belongs to --sweep"),
        (["--t-and", 1], "--t-... belong to --latency"),
        (["--mul-per-output", "a lot"], "expected a number such as 20 or 0.5"),
        (["--mul-per-output", "-1"], "expected a number of at least 0; found -1"),
        (["--input-shape", "3,a"], "--input-shape: expected sizes"),
        (["--input-shape", "4,224,224"], "fixed size 3 in dimension 1"),
        (["--trust-pickle"], "belong to checkpoints"),
        (["--rule", "table7"], "found no binary layer"),
    ],
)
def test_a_wrong_option_is_one_clear_line(models, run, arguments, message):
    assert message in failure(run, models["float"], *arguments)


def test_a_missing_dimension_is_named_and_can_be_given(run, tmp_path):
    path = write(resnet_graph(18, "exported", image=(3, "height", "width")), tmp_path / "free.onnx")
    assert "input image: the size of dimension 'height' (dimension 2) is free" in failure(run, path)
    for shape in (["3,224,224"], ["image=3,224,224"], ["height=224", "width=224"], ["height=224,width=224"]):
        options = [text for part in shape for text in ("--input-shape", part)]
        code, out, _ = run("cost", path, *options, "--format", "json")
        assert code == 0 and json.loads(out)["totals"]["macs"] == 1_814_073_344


def test_files_that_are_no_models_are_one_clear_line(models, run, tmp_path):
    text = tmp_path / "text.onnx"
    text.write_text("this is no model\n")
    assert str(text) in failure(run, text)
    half = tmp_path / "half.onnx"
    data = models["exported"].read_bytes()
    half.write_bytes(data[: len(data) // 2])
    assert str(half) in failure(run, half)
    assert "no such file" in failure(run, tmp_path / "missing.onnx")
    assert "directory" in failure(run, tmp_path)
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_text("this is no checkpoint\n")
    assert str(checkpoint) in failure(run, checkpoint)


def test_a_model_with_unknown_shapes_is_one_clear_line(run, tmp_path):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 4, 8, 8] x, int64[4] shape) => (float[a, b, c, d] y) {
            r = Reshape (x, shape)
            y = Conv <kernel_shape = [1, 1]> (r, w)
        }""")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((4, 4, 1, 1), np.float32), "w"))
    path = tmp_path / "unknown.onnx"
    onnx.save(model, path)
    assert "layer y: expected a known shape of tensor r" in failure(run, path)


def test_counting_an_onnx_file_does_not_load_torch(models):
    code = (
        "import sys; sys.argv = ['paconv', 'cost', sys.argv[1]]\n"
        "from paconv.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(models["exported"])], check=True, capture_output=True)


def same_counts(run, checkpoint: Path, folder: Path) -> dict:
    """Totals of a checkpoint, after asserting that its exported and optimized forms cost the same, layer by layer."""
    import paconv

    paconv.export(checkpoint, folder / "model.onnx")
    paconv.optimize(folder / "model.onnx", folder / "pa.onnx")
    reports = [
        json.loads(run("cost", path, "--format", "json")[1])
        for path in (checkpoint, folder / "model.onnx", folder / "pa.onnx")
    ]
    layers = [{layer["name"]: layer for layer in report["layers"]} for report in reports]
    assert layers[0] == layers[1] == layers[2]
    assert reports[0]["totals"] == reports[1]["totals"] == reports[2]["totals"]
    return reports[0]["totals"]


def test_checkpoint_exported_and_optimized_digits_net_cost_the_same(run, tmp_path):
    import paconv
    from paconv.models import digits_resnet

    paconv.save(digits_resnet(M=4, N=5, width=8), tmp_path / "model.pt", input_shape=(1, 8, 8))
    totals = same_counts(run, tmp_path / "model.pt", tmp_path)
    # Batch norms of 8, 8, 8, 16, 16, 32 and 32 channels; the stem and the classifier with its bias.
    assert totals["real_parameters"] == 2 * (8 + 8 + 8 + 16 + 16 + 32 + 32) + 8 * 9 + 32 * 10 + 10
    shortcuts = 8 * 16 + 16 * 32
    assert totals["binary_weights"] == 9 * (8 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32) + shortcuts


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(("M", "N"), [(4, 5), (8, None)])
@pytest.mark.parametrize("depth", [18, 34, 50])
def test_checkpoint_exported_and_optimized_resnet_cost_what_shapes_say(run, tmp_path, depth, M, N):
    import paconv
    from paconv import models as zoo
    from tests.studies.paper.test_integers import independent_count

    paconv.save(getattr(zoo, f"resnet{depth}")(M=M, N=N), tmp_path / "model.pt", input_shape=(3, 224, 224))
    totals = same_counts(run, tmp_path / "model.pt", tmp_path)
    expected = independent_count(depth, M, N or 1)
    names = expected if N else ("binary_weights", "real_parameters", "bits", "float_bits", "macs", "float_flops")
    assert {name: totals[name] for name in names} == {name: expected[name] for name in names}
    assert N or totals["flops"] == totals["float_flops"]


def test_what_multiplies_and_is_not_counted_ends_with_1_unless_it_is_allowed(run, tmp_path):
    parsed = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 4] x) => (float[1, 2] y) <float[2, 4] w = {1, 2, 3, 4, 5, 6, 7, 8}> {
            y = Einsum <equation = "bi,oi->bo"> (x, w)
        }""")
    onnx.save(parsed, tmp_path / "einsum.onnx")
    code, out, err = run("cost", tmp_path / "einsum.onnx")
    assert code == 1
    assert "not counted, though it multiplies: Einsum y" in " ".join(out.split())
    assert "the figures leave out Einsum y (an op that isn't counted); --allow-uncounted accepts" in err
    code, out, err = run("cost", tmp_path / "einsum.onnx", "--allow-uncounted", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["not_counted"]["products"][0]["op"] == "Einsum"
