from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import paconv
from paconv.cli.main import main
from paconv.models import digits_resnet
from paconv.onnx_file.metadata import file_sha256, provenance
from paconv.to_onnx import exporter

FACTORY = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(torch.relu(self.stem(x))).mean((2, 3)))

def make():
    import late_import_of_the_factory
    return Net()

class TwoInputs(Net):
    def forward(self, x, weights):
        return super().forward(x) * weights

number = 3
def makes_a_number():
    return 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("user_nets", "late_import_of_the_factory", "broken_nets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.fixture
def checkpoint(folder):
    torch.manual_seed(0)
    paconv.save(digits_resnet(M=4, N=5, width=4), "model.pt", (1, 8, 8))
    return folder / "model.pt"


@pytest.fixture
def user_checkpoint(folder, monkeypatch):
    (folder / "user_nets.py").write_text(FACTORY)
    (folder / "late_import_of_the_factory.py").write_text("")
    (folder / "broken_nets.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(folder))
    import user_nets

    torch.manual_seed(0)
    paconv.save(paconv.convert(user_nets.Net()), "user.pt", (3, 8, 8))
    torch.save(user_nets.Net(), "pickled.pt")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    del sys.modules["user_nets"]
    return folder / "user.pt"


@pytest.fixture
def paconv_command(capfd):
    def command(*arguments: str) -> tuple[int, str, str]:
        sys.argv = ["paconv", *arguments]
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code or 0, *capfd.readouterr()

    argv = sys.argv
    yield command
    sys.argv = argv


def dims(path: str) -> list:
    return [d.dim_param or d.dim_value for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]


def test_a_checkpoint_becomes_an_onnx_file_beside_it_and_two_lines(paconv_command, checkpoint):
    code, out, err = paconv_command("export", "model.pt")
    size = checkpoint.with_suffix(".onnx").stat().st_size
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == f"model.onnx: {size / 1e6:.2f} MB, 8 quantized and 1 real convolutions"
    assert second.startswith("model.onnx: levels snapped to integers (15, 31), activations taken to be normally ")
    assert dims("model.onnx") == ["batch", 1, 8, 8]


def test_the_grid_can_be_given_and_json_has_the_error_of_each_layer(paconv_command, checkpoint):
    code, out, err = paconv_command("export", "model.pt", "--grid", "7,15", "--format", "json")
    found = json.loads(out)
    assert (code, err) == (0, "") and found["quantized"] == 8
    assert {layer["most"] for layer in found["levels"]["layers"]} == {7, 15}
    assert all(0 < layer["error"] < 0.2 for layer in found["levels"]["layers"])
    assert paconv_command("export", "model.pt", "--grid", "none")[1].endswith("real levels, on no grid\n")
    code, out, err = paconv_command("export", "model.pt", "--grid", "7")
    assert code == 1 and not out and err.count("\n") == 1 and "--grid: expected the largest integers A,B" in err


def test_output_shape_and_dynamic_size_can_be_given(paconv_command, checkpoint):
    assert paconv_command("export", "model.pt", "-o", "a.onnx", "--input-shape", "1x16x24")[0] == 0
    assert dims("a.onnx") == ["batch", 1, 16, 24]
    assert paconv_command("export", "model.pt", "-o", "b.onnx", "--input-shape", "1,16,24", "--dynamic-size")[0] == 0
    assert dims("b.onnx") == ["batch", 1, "height", "width"]


def test_each_input_has_its_shape_in_the_order_of_forward(paconv_command, user_checkpoint):
    shapes = ("--input-shape", "3x9x10", "--input-shape", "2")
    code, _, err = paconv_command("export", "user.pt", "--model", "user_nets:TwoInputs", *shapes)
    assert (code, err) == (0, "")
    inputs = onnx.load("user.onnx").graph.input
    assert [i.name for i in inputs] == ["x", "weights"]
    assert [[d.dim_value for d in i.type.tensor_type.shape.dim][1:] for i in inputs] == [[3, 9, 10], [2]]


def test_a_users_model_is_made_by_a_function_of_the_current_folder(paconv_command, user_checkpoint):
    code, out, err = paconv_command("export", "user.pt", "--model", "user_nets:make")
    assert (code, err) == (0, "") and "1 quantized and 1 real" in out
    assert str(user_checkpoint.parent) not in sys.path
    made_from = provenance(onnx.load("user.onnx"))
    assert (made_from["source"], made_from["source_sha256"]) == ("checkpoint", file_sha256("user.pt"))


def test_a_pickled_module_is_exported_only_with_trust_and_a_shape(paconv_command, user_checkpoint):
    code, _, err = paconv_command("export", "pickled.pt", "--input-shape", "3x8x8")
    assert code == 1 and "--trust-pickle" in err
    code, _, err = paconv_command("export", "pickled.pt", "--trust-pickle")
    assert code == 1 and "does not carry its input shape" in err and "--input-shape" in err
    assert paconv_command("export", "pickled.pt", "--trust-pickle", "--input-shape", "3x8x8")[0] == 0
    assert dims("pickled.onnx") == ["batch", 3, 8, 8]


@pytest.mark.parametrize(
    "factory, message",
    [
        ("user_nets", "--model: expected package.module:function, found 'user_nets'"),
        ("user_nets:", "expected package.module:function"),
        (
            "no_such_nets:make",
            "importing no_such_nets failed: ModuleNotFoundError: No module named 'no_such_nets'",
        ),
        ("broken_nets:make", "importing broken_nets failed: ZeroDivisionError: division by zero"),
        ("user_nets:missing", "module user_nets has no missing; give the name of a function in it"),
        ("user_nets:number", "user_nets:number is a int; expected a function that returns the model"),
        ("user_nets:makes_a_number", "makes_a_number(): expected a torch.nn.Module, it returned int"),
    ],
)
def test_a_model_function_that_does_not_serve_is_one_clear_line(paconv_command, user_checkpoint, factory, message):
    code, out, err = paconv_command("export", "user.pt", "--model", factory)
    assert (code, out, err.count("\n")) == (1, "", 1) and message in err
    assert not (user_checkpoint.with_suffix(".onnx")).exists()


def _cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def _bomb(path):
    class Bomb:
        def __reduce__(self):
            return open, ("exploded", "w")

    torch.save(Bomb(), path)


@pytest.mark.parametrize(
    "spoil",
    [
        _cut,
        _bomb,
        lambda p: p.write_text("no checkpoint"),
        lambda p: p.write_bytes(b""),
        lambda p: p.unlink(),
    ],
    ids=["cut", "bomb", "text", "empty", "missing"],
)
def test_garbage_is_one_line_and_leaves_the_earlier_output(paconv_command, checkpoint, spoil, folder):
    spoil(checkpoint)
    (folder / "out.onnx").write_text("earlier")
    files = {f.name for f in folder.iterdir()}
    code, out, err = paconv_command("export", "model.pt", "-o", "out.onnx")
    assert (code, out, err.count("\n")) == (1, "", 1) and err.startswith("paconv: error: model.pt: ")
    assert {f.name for f in folder.iterdir()} == files and (folder / "out.onnx").read_text() == "earlier"


def test_an_unwritable_output_is_found_before_the_slow_part(paconv_command, checkpoint, monkeypatch):
    monkeypatch.setattr(exporter, "trace", lambda *_: pytest.fail("traced first"))
    code, _, err = paconv_command("export", "model.pt", "-o", "missing/model.onnx")
    assert code == 1 and "cannot write missing/model.onnx: the folder missing does not exist" in err


def test_the_output_never_replaces_the_checkpoint(paconv_command, checkpoint):
    before = checkpoint.read_bytes()
    code, _, err = paconv_command("export", "model.pt", "-o", "./model.pt")
    assert code == 1 and "would replace the checkpoint" in err and checkpoint.read_bytes() == before


@pytest.mark.parametrize("shape", ["3x8", "3x8x8x8", "ax8x8", "", "0x8x8", "3xx8", "1x99999x99999"])
def test_a_shape_that_is_none_or_does_not_fit_is_one_clear_line(paconv_command, checkpoint, shape):
    code, out, err = paconv_command("export", "model.pt", "--input-shape", shape)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert not checkpoint.with_suffix(".onnx").exists()


def test_an_onnx_file_given_as_checkpoint_is_told_so(paconv_command, checkpoint):
    paconv_command("export", "model.pt")
    code, _, err = paconv_command("export", "model.onnx", "-o", "other.onnx")
    assert code == 1 and "it looks like an ONNX model" in err


def test_help_shows_an_example(paconv_command):
    code, out, _ = paconv_command("export", "--help")
    assert code == 0 and "paconv export model.pt -o model.onnx" in out and "--trust-pickle" in out


def test_a_model_without_convolutions_is_exported_with_none(paconv_command, folder):
    torch.save(nn.Linear(3, 2), "linear.pt")
    code, out, _ = paconv_command("export", "linear.pt", "--trust-pickle", "--input-shape", "3")
    assert code == 0 and out.endswith("0 quantized and 0 real convolutions\n")


SHADOWS = ("statistics", "networkx", "filelock", "shlex", "getpass", "html", "profile")
"""Modules that torch imports when it needs them."""


@pytest.mark.parametrize("command", ["export", "cost"])
@pytest.mark.parametrize("factory", [None, "user_nets:make"])
def test_modules_of_the_current_folder_stand_in_for_none_of_torchs(folder, command, factory):
    """In a process of its own, where torch has imported none of them yet."""
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"open('ran', 'a').write('{name} ')\n")
    for name, text in (("user_nets", FACTORY), ("late_import_of_the_factory", "")):
        (folder / f"{name}.py").write_text(text)
    if factory is None:
        paconv.save(digits_resnet(M=2, N=1, width=4), "model.pt", (1, 8, 8))
    else:
        torch.save({"state_dict": user_nets().Net().state_dict()}, "model.pt")
    shape = ("--input-shape", "3x9x9") if command == "export" else ("--input-shape", "3,9,9")
    options = () if factory is None else ("--model", factory, *shape)
    program = Path(sys.executable).parent / "paconv"
    done = subprocess.run([program, command, "model.pt", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists()


def user_nets() -> types.ModuleType:
    made = types.ModuleType("user_nets_here")
    exec(FACTORY, made.__dict__)
    return made


def test_the_weights_of_a_training_checkpoint_are_chosen_by_key(folder, paconv_command):
    for name, text in (("user_nets", FACTORY), ("late_import_of_the_factory", "")):
        (folder / f"{name}.py").write_text(text)
    state = user_nets().Net().state_dict()
    torch.save({"model": state, "ema": {f"module.{k}": v for k, v in state.items()}}, "t.pt")
    made = ("export", "t.pt", "--model", "user_nets:make", "--input-shape", "x=3x9x9")
    code, _, err = paconv_command(*made)
    assert code == 1 and "found several (model, ema); say which is meant (--state-dict KEY" in err
    assert paconv_command(*made, "--state-dict", "ema")[0] == 0
    code, _, err = paconv_command("export", "t.pt", "--state-dict", "ema")
    assert code == 1 and "--state-dict is for a checkpoint whose model --model PKG.MOD:FUNCTION makes; give" in err
    for shapes in (["x=3x9x9", "3x9x9"], ["x=3x9x9", "x=3x9x9"]):
        options = [part for shape in shapes for part in ("--input-shape", shape)]
        code, _, err = paconv_command("export", "t.pt", *options)
        assert code == 1 and "expected each input once and by name, or all without" in err
