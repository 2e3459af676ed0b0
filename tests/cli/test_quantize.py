"""The command `paconv quantize`: a float network and samples of its input, no labels."""

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from tests.quantization.networks import images, residual_network


@pytest.fixture
def network(tmp_path):
    onnx.save(residual_network(), tmp_path / "float.onnx")
    np.savez(tmp_path / "images.npz", image=images(40))
    return tmp_path / "float.onnx"


def test_a_network_is_quantized_and_said_layer_by_layer(run, network, tmp_path):
    output = tmp_path / "model.onnx"
    code, out, err = run("quantize", network, "--data", tmp_path / "images.npz", "-o", output)
    assert code == 0
    assert err == ("paconv: 40 images: from fewer than 64, more answers differ from float; give a few hundred\n")
    assert "pa:4,5" in out and "first-layer: " in out and "output scores: " in out
    assert "5 of 8 layers quantized from 40 samples" in out
    calls = {node.op_type for node in onnx.load(output).graph.node}
    assert {"PAWeight", "PAActivation", "Conv"} <= calls


def test_a_network_in_half_precision_is_taken_and_said_so_in_a_line(run, network, tmp_path):
    model = onnx.load(network)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")
    data = tmp_path / "images.npz"
    code, out, err = run("quantize", tmp_path / "half.onnx", "--data", data, "-o", tmp_path / "m.onnx", "--fast", "-q")
    assert code == 0 and "5 of 8 layers quantized" in out
    said = f"paconv: warning: {tmp_path}/half.onnx: its float16 become float32, exactly; inputs and outputs too"
    assert said in err.splitlines()


def test_where_no_bar_is_seen_long_work_says_that_it_goes_on_and_that_it_is_done(run, network, tmp_path, monkeypatch):
    monkeypatch.setattr("paconv.cli.quantize._LONG", 0.0)
    data = tmp_path / "many.npz"
    np.savez(data, images(64))
    code, out, err = run("quantize", network, "--data", data, "-o", tmp_path / "m.onnx", "--fast", "-q")
    assert code == 0 and out.count("\n") == 1
    start, end = err.splitlines()
    assert re.fullmatch(rf"paconv: quantizing {re.escape(str(network))}, \d of 5 layers done", start)
    assert re.fullmatch(r"paconv: quantized in [\d.]+ (s|ms)", end)


def test_digits_are_proposed_where_an_output_is_far_off(run, network, tmp_path):
    arguments = ("quantize", network, "--data", tmp_path / "images.npz", "-o", tmp_path / "m.onnx", "--scheme")
    (_, far, _), (_, near, _) = (run(*arguments, scheme) for scheme in ("pa:2,2", "pa:5,7,digits"))
    assert "which may be too little: --scheme pa:5,7,digits has more levels" in far and "too little" not in near


def test_planes_may_be_digits(run, network, tmp_path):
    code, out, _ = run(
        *(
            "quantize",
            network,
            "--data",
            tmp_path / "images.npz",
            "--scheme",
            "pa:4,4,digits",
            "-o",
            tmp_path / "m.onnx",
        ),
        *("--keep-worst", "1", "--worst-levels", "pa:5,full,digits"),
    )
    assert code == 0 and out.count("pa:4,4,digits") == 4 and out.count("pa:5,full,digits") == 1


def test_json_has_all_of_it(run, network, tmp_path):
    data = tmp_path / "images.npz"
    code, out, _ = run("quantize", network, "--data", data, "-o", tmp_path / "m.onnx", "--fast", "--format", "json")
    found = json.loads(out)
    assert code == 0 and found["samples"] == 40 and len(found["layers"]) == 8
    assert {"name", "form", "reason", "error", "added", "snr_db"} <= set(found["layers"][0])


def test_pictures_are_read_from_a_folder(run, network, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(images(12)):
        pixels = np.clip(128 + 60 * image.transpose(1, 2, 0), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    code, out, _ = run(
        *("quantize", network, "--data", folder, "-o", tmp_path / "m.onnx", "-q", "-M", "8", "-N", "7"),
        *("--mean", "0.5", "--std", "0.25,0.25,0.25", "--count", "10"),
    )
    assert code == 0 and out.count("\n") == 1 and "from 10 samples" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing.npz"], "nothing.npz: no such file"),
        (["--data", "images.npz", "-N", "many"], "-N: expected a number of planes or full"),
        (["--data", "images.npz", "-M", "5"], "M, the number of weight planes"),
        (["--data", "images.npz", "--worst-levels", "pa:8,7"], "--keep-worst"),
        (["--data", "images.npz", "--keep-worst", "1", "--worst-levels", "eight"], "'eight' is not one of pa"),
        (
            ["--data", "images.npz", "--scheme", "pa:4,5,digit"],
            "such as pa:4,5, pa:4,full or pa:5,7,digits; found 'pa:4",
        ),
        (
            ["--data", "images.npz", "--scheme", "pa:4,5,digits", "-M", "4"],
            "has the planes already; leave out -M and -N",
        ),
        (["--data", "images.npz", "--scheme", "pa:8,7,digits"], "must be 2 to 5 where they are digits; found 8"),
        (["--data", "images.npz", "--size", "wide"], "--size: expected pixels"),
        (["--data", "images.npz", "--model", "a:b"], "MODEL is an ONNX file"),
        (["--data", "labels.npz"], "look like labels"),
        (["--data", "nan.npz"], "expected finite values"),
        (["--data", "narrow.npz"], "expected samples (S, 3, 12, 12)"),
        (["--data", "empty"], "empty"),
        (["--data", "pictures", "--mean", "123"], "mean: expected values from 0 to 1, found 123; bytes are taken as"),
        (["--data", "pictures", "--std", "0"], "std: expected values above 0, up to 1, found 0"),
        (["--data", "pictures", "--std", "58,57,57"], "std: expected values above 0, up to 1, found 58,57,57; bytes"),
        (["--data", "pictures", "--size", "99999999"], "size: input image takes pictures of 12x12"),
        (["--data", "images.npz", "--fast", "--most-error", "0"], "so that none is quantized; "),
        (["--data", "images.npz", "--keep", "nothing"], "keep: 'nothing' names no layer"),
        (["--data", "images.npz", "-N", "9"], "must be 1..8, or full precision (None, -N full); found 9"),
        (["--data", "images.npz", "--keep-worst", "99"], "worst (--keep-worst): expected fewer layers"),
        (["--data", "images.npz", "--state-dict", "ema"], "--state-dict tells how to read a checkpoint"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    run, network, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.savez("labels.npz", image=np.arange(10))
    np.savez("nan.npz", image=np.full((2, 3, 12, 12), np.nan, np.float32))
    np.savez("narrow.npz", image=np.zeros((2, 3, 12, 11), np.float32))
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (12, 12)).save("pictures/x.png")
    code, _, err = run("quantize", network, "-o", "model.onnx", *arguments)
    assert code in (1, 2) and message in err and err.count("\n") == 1
    assert not (tmp_path / "model.onnx").exists()


def test_a_network_without_convolutions_is_refused(run, tmp_path):
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[b, 4] x) => (float[b, 4] y) { y = Relu (x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "relu.onnx")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4), np.float32))
    code, _, err = run("quantize", tmp_path / "relu.onnx", "--data", tmp_path / "x.npz", "-o", tmp_path / "m.onnx")
    assert code == 1 and "expected a network with convolutions, found none" in err and err.count("\n") == 1


def test_an_onnx_file_needs_no_torch(network, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None; from paconv.cli.main import main; "
        f"sys.argv = ['paconv', 'quantize', {str(network)!r}, '--data', {str(tmp_path / 'images.npz')!r}, '-q', "
        f"'-o', {str(tmp_path / 'm.onnx')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["-o", "float.onnx"], ["-o", "x.pt", "--checkpoint", "./x.pt"]])
def test_no_file_is_written_over_another_of_the_same_command(run, network, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    before = network.read_bytes()
    code, _, err = run("quantize", network, "--data", "images.npz", *arguments)
    assert code == 1 and "expected another file" in err and err.count("\n") == 1
    assert network.read_bytes() == before and not (tmp_path / "x.pt").exists()
