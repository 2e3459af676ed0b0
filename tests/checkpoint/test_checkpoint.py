from __future__ import annotations

import io
import os
import pickle
import resource
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import paconv
from paconv.checkpoint import container
from paconv.errors import CheckpointError, PaconvError, UsageError
from paconv.models import digits_resnet, resnet18


class Net(nn.Module):
    """A user's own float net."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.body = nn.Conv2d(width, width, 3)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(torch.relu(self.stem(x)))).mean((2, 3)))


def converted() -> nn.Module:
    torch.manual_seed(3)
    return paconv.convert(Net(), M=2, N=3).eval()


def digits() -> nn.Module:
    torch.manual_seed(3)
    return digits_resnet(M=4, N=5, width=4).eval()


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def saved(path, **changes):
    """A checkpoint of the digits net with fields of the saved dict changed."""
    found = torch.load(_save(digits(), path), weights_only=True)
    torch.save({**found, **changes}, path)
    return path


def _save(model, path):
    paconv.save(model, path, (1, 8, 8))
    return path


def test_a_model_of_the_zoo_comes_back_with_its_weights_shape_and_outputs(tmp_path):
    model = digits()
    loaded = paconv.load(_save(model.train(), tmp_path / "model.pt"))
    assert same(loaded, model) and not loaded.training and model.training
    assert loaded.paconv_input_shape == (1, 8, 8)
    assert loaded.paconv_architecture == model.paconv_architecture
    assert loaded.paconv_conversion == model.paconv_conversion
    assert all(p.requires_grad and not p.is_meta for p in loaded.parameters())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(loaded(x), model.eval()(x))


def test_a_loaded_model_trains_on(tmp_path):
    loaded = paconv.load(_save(digits(), tmp_path / "model.pt")).train()
    loaded(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loaded.parameters())


def test_a_float_model_of_the_zoo_and_one_converted_by_hand_come_back(tmp_path):
    torch.manual_seed(0)
    float_net = digits_resnet(width=4)
    assert same(paconv.load(_save(float_net, tmp_path / "float.pt")), float_net)
    by_hand = paconv.convert(float_net, M=2, N=None, keep="block1")
    loaded = paconv.load(_save(by_hand, tmp_path / "hand.pt"))
    assert same(loaded, by_hand) and loaded.paconv_conversion["plan"] == by_hand.paconv_conversion["plan"]


@pytest.mark.parametrize("source", [Net, Net(), converted], ids=["class", "instance", "already converted"])
def test_a_converted_model_comes_back_with_the_code_of_its_float_model(tmp_path, source):
    model = converted()
    paconv.save(model, tmp_path / "model.pt", (3, 9, 9))
    loaded = paconv.load(tmp_path / "model.pt", model=source)
    assert same(loaded, model)
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(loaded(x), model(x))


def test_a_module_given_to_load_is_not_changed(tmp_path):
    paconv.save(converted(), tmp_path / "model.pt")
    mine = Net()
    before = mine.stem.weight.clone()
    assert not hasattr(paconv.load(tmp_path / "model.pt", model=mine), "paconv_input_shape")
    assert torch.equal(mine.stem.weight, before) and type(mine.body) is nn.Conv2d and mine.training


def test_without_its_code_a_model_is_refused_with_what_to_do(tmp_path):
    paconv.save(converted(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="weights but not the code .* --model package.module:function"):
        paconv.load(tmp_path / "model.pt")


def test_a_zoo_model_with_a_replaced_layer_is_saved_without_its_architecture(tmp_path):
    def changed():
        model = digits()
        model.fc = nn.Linear(model.fc.in_features, 3)
        return model

    paconv.save(changed(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="--model"):
        paconv.load(tmp_path / "model.pt")
    assert paconv.load(tmp_path / "model.pt", model=changed).fc.out_features == 3


def test_a_bare_state_dict_needs_the_code_and_loads_with_it(tmp_path):
    net = Net()
    torch.save(net.state_dict(), tmp_path / "raw.pt")
    torch.save(net.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("raw.pt", "old.pt"):
        with pytest.raises(CheckpointError, match="--model package.module:function"):
            paconv.load(tmp_path / name)
        assert same(paconv.load(tmp_path / name, model=Net), net)


def test_a_factory_with_tied_parameters_keeps_them_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

    paconv.save(Tied(), tmp_path / "model.pt")
    loaded = paconv.load(tmp_path / "model.pt", model=Tied)
    assert loaded.a.weight is loaded.b.weight


def test_several_input_shapes_travel_and_are_saved_again_by_default(tmp_path):
    paconv.save(Net(), tmp_path / "a.pt", [(3, 8, 8), (4,)])
    loaded = paconv.load(tmp_path / "a.pt", model=Net)
    assert loaded.paconv_input_shape == ((3, 8, 8), (4,))
    paconv.save(loaded, tmp_path / "b.pt")
    assert paconv.load(tmp_path / "b.pt", model=Net).paconv_input_shape == ((3, 8, 8), (4,))


def test_a_view_of_a_large_tensor_is_saved_alone(tmp_path):
    net = Net()
    net.head.bias = nn.Parameter(torch.zeros(1 << 20)[:2])
    paconv.save(net, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 20_000


def test_a_failed_save_leaves_the_earlier_file(tmp_path, monkeypatch):
    _save(digits(), tmp_path / "model.pt")
    before = (tmp_path / "model.pt").read_bytes()

    def half(found, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(PaconvError, match="cannot write .*model.pt: No space left"):
        paconv.save(digits(), tmp_path / "model.pt", (1, 8, 8))
    assert (tmp_path / "model.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_saved_is_named(tmp_path):
    class Noted(Net):
        def get_extra_state(self):
            return {"note": 1}

    with pytest.raises(CheckpointError, match="can't save _extra_state: expected a tensor, found dict"):
        paconv.save(Noted(), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="can't save stem.weight: it is on the meta device"):
        paconv.save(Net().to("meta"), tmp_path / "m.pt")
    with pytest.raises(UsageError, match="input shape: expected positive integers"):
        paconv.save(Net(), tmp_path / "m.pt", (3, -1, 8))
    with pytest.raises(PaconvError, match="the folder .* does not exist"):
        paconv.save(Net(), tmp_path / "missing" / "m.pt")
    assert not list(tmp_path.iterdir())


class Bomb:
    """Unpickled, it makes a file. The reference test for this class shows that it would."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


BOMBS = {
    "as torch.save writes it": lambda bomb, path: torch.save(bomb, path),
    "in a dict of the format": lambda bomb, path: torch.save({"format": "paconv", "version": 1, "config": bomb}, path),
    "as a plain pickle": lambda bomb, path: path.write_bytes(pickle.dumps(bomb)),
    "as an old plain pickle": lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=0)),
    "in torch's old format": lambda bomb, path: torch.save(bomb, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("write", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("model", [None, Net], ids=["alone", "with a factory"])
def test_a_pickle_bomb_is_refused_and_never_runs(tmp_path, write, model):
    write(Bomb(tmp_path / "marker"), tmp_path / "model.pt")
    refusal = "holds pickled Python objects, .*; refused; .* --trust-pickle|found another kind of file"
    with pytest.raises(CheckpointError, match=refusal) as caught:
        paconv.load(tmp_path / "model.pt", model=model)
    assert not (tmp_path / "marker").exists()
    assert "\n" not in str(caught.value) and "eights" not in str(caught.value)  # nothing of torch's advice


def test_the_bomb_of_these_tests_does_go_off_where_pickles_are_trusted(tmp_path):
    torch.save(Bomb(tmp_path / "marker"), tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "marker").exists()


def test_a_pickled_module_needs_explicit_trust(tmp_path):
    net = Net()
    torch.save(net, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="can run any code .* pass --trust-pickle .*, or save the model with"):
        paconv.load(tmp_path / "model.pt")
    loaded = paconv.load(tmp_path / "model.pt", trust_pickle=True)
    assert same(loaded, net) and not loaded.training


def test_trust_changes_nothing_for_a_checkpoint_and_explains_a_pickle_that_fails(tmp_path, monkeypatch):
    assert same(paconv.load(_save(digits(), tmp_path / "a.pt"), trust_pickle=True), digits())
    gone = types.ModuleType("module_that_is_gone")
    gone.Gone = type("Gone", (nn.Module,), {"__module__": gone.__name__})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, gone.__name__, gone)
        torch.save(gone.Gone(), tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="can't be unpickled: ModuleNotFoundError: No module named 'module_that"):
        paconv.load(tmp_path / "b.pt", trust_pickle=True)


def _truncated(path):
    _save(digits(), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _flipped(path):
    _save(digits(), path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("archive/data.pkl").header_offset + 90
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)


def _zeroed(path):
    """400 bytes in the middle of the largest tensor."""
    _save(digits(), path)
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda i: i.file_size if "/data/" in i.filename else 0)
        middle = path.read_bytes().index(archive.read(record)) + record.file_size // 2
    data = bytearray(path.read_bytes())
    data[middle - 200 : middle + 200] = bytes(400)
    path.write_bytes(data)


def _compressed(path):
    _save(digits(), path)
    with zipfile.ZipFile(path) as archive:
        parts = {i.filename: archive.read(i) for i in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def _script(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/constants.pkl", b"")
        archive.writestr("model/data.pkl", b"")
    path.write_bytes(buffer.getvalue())


GARBAGE = {
    "text": (lambda p: p.write_text("hello\n" * 100), "found another kind of file$"),
    "empty": (lambda p: p.write_bytes(b""), "found an empty file"),
    "a directory": (lambda p: p.mkdir(), "found a directory"),
    "missing": (lambda p: None, "no such file"),
    "onnx": (lambda p: p.write_bytes(b"\x08\x08\x12\x06paconv"), "it looks like an ONNX model"),
    "truncated": (_truncated, "cut short or damaged"),
    "a damaged pickle": (_flipped, "damaged: record archive/data.pkl doesn't match its checksum"),
    "a damaged tensor": (_zeroed, r"damaged: record archive/data/\d+ doesn't match its checksum"),
    "only a zip head": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(40)), "cut short or damaged"),
    "another zip": (lambda p: zipfile.ZipFile(p, "w").close(), "found another zip archive"),
    "compressed": (_compressed, "found a compressed one"),
    "torchscript": (_script, "it is a TorchScript archive"),
    "a tensor": (lambda p: torch.save(torch.zeros(2), p), "found a Tensor"),
    "a training checkpoint without weights": (
        lambda p: torch.save({"epoch": 3, "state_dict": {}}, p),
        "found a dict with epoch, state_dict; say where in it the weights are",
    ),
    "a training's state": (
        lambda p: torch.save({"format": "paconv-training", "version": 1}, p),
        "the state of a training, for --resume; the trained model is model.pt beside",
    ),
    "an empty dict": (lambda p: torch.save({}, p), "found a dict with nothing in it"),
    "another format": (
        lambda p: saved(p, format="other"),
        "expected format 'paconv' .* found 'other' with 1",
    ),
    "no version": (lambda p: saved(p, version="1"), "with a version number, found 'paconv' with '1'"),
    "a newer version": (lambda p: saved(p, version=2), "expected version 1 of the format, found 2"),
    "config a list": (lambda p: saved(p, config=[1]), "field config: expected dict, found list"),
    "architecture a number": (
        lambda p: saved(p, architecture=3),
        "field architecture: expected str or None, found int",
    ),
    "conversion a text": (
        lambda p: saved(p, conversion="x"),
        "field conversion: expected dict or None, found str",
    ),
    "state dict a list": (lambda p: saved(p, state_dict=[]), "field state_dict: expected dict, found list"),
    "negative shape": (
        lambda p: saved(p, input_shape=[[1, -8, 8]]),
        "field input_shape: .*expected positive integers",
    ),
    "unknown architecture": (
        lambda p: saved(p, architecture="vgg"),
        "no architecture is called 'vgg'; known are",
    ),
    "unknown argument": (lambda p: saved(p, config={"depth": 3}), "unexpected keyword argument 'depth'"),
    "argument of another type": (lambda p: saved(p, config={"width": "4"}), "can't be built"),
    "nine planes": (lambda p: saved(p, config={"M": 9, "N": 5}), "must be 1..8; found 9"),
    "negative size": (lambda p: saved(p, config={"width": -4}), "can't be built"),
    "no tensor": (
        lambda p: saved(p, state_dict={"conv.weight": 3}),
        "expected dense tensors by name, .* 'conv.weight'",
    ),
    "sparse": (
        lambda p: saved(p, state_dict={"conv.weight": torch.eye(2).to_sparse()}),
        "expected dense tensors by name, .* 'conv.weight'",
    ),
    "conversion without M": (
        lambda p: saved(p, config={"width": 4}, conversion={}),
        "expected what paconv.convert records",
    ),
}


@pytest.mark.parametrize("write, message", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_checkpoint_is_one_clear_line_with_the_file(tmp_path, write, message):
    write(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        paconv.load(tmp_path / "model.pt")
    assert str(tmp_path / "model.pt") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", np.linspace(0, 0.999, 12))
def test_a_checkpoint_cut_anywhere_is_refused(tmp_path, keep):
    data = _save(digits(), tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CheckpointError):
        paconv.load(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "config", [{"num_classes": 10**12}, {"width": 10**6}, {"width": 10**12}, {"num_classes": 10**30}]
)
def test_absurd_sizes_in_a_config_cost_no_memory(tmp_path, config):
    saved(tmp_path / "model.pt", config={"M": 4, "N": 5, "width": 4, **config})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="doesn't fit architecture digits_resnet|can't be built"):
        paconv.load(tmp_path / "model.pt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_the_first_tensor_that_does_not_fit_is_named(tmp_path):
    state = digits().state_dict()
    without = {name: tensor for name, tensor in state.items() if name != "block1.conv2.weight"}
    for changed, message in [
        (without, r"it has no block1.conv2.weight \(4, 4, 3, 3\)"),
        ({**state, "fc.bias": torch.zeros(7)}, r"fc.bias is \(7,\) in it, \(10,\) in the model"),
        (
            {**state, "fc.bias": torch.zeros(10, dtype=torch.int64)},
            "fc.bias is torch.int64 in it, torch.float32 in",
        ),
        ({**state, "more": torch.zeros(1)}, "the model has no more, which the checkpoint has"),
    ]:
        saved(tmp_path / "model.pt", state_dict=changed)
        with pytest.raises(CheckpointError, match="doesn't fit architecture digits_resnet: " + message):
            paconv.load(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: 3, "expected a torch.nn.Module, it returned int"),
        (lambda: 1 / 0, r"model factory .*<lambda>\(\) failed: ZeroDivisionError: division by zero"),
        ("Net", "expected a module or a function that returns one, found str"),
        (
            lambda: Net(width=8),
            r"doesn't fit the model given: stem.weight is \(4, 3, 3, 3\) in it, \(8, 3, 3, 3\)",
        ),
        (digits, "the model is converted otherwise"),
        (lambda: nn.Linear(2, 2), "the checkpoint converts body, but the model has no such module"),
    ],
)
def test_code_that_does_not_make_the_saved_model_is_refused(tmp_path, model, message):
    paconv.save(converted(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message):
        paconv.load(tmp_path / "model.pt", model=model)


def test_the_file_is_a_plain_dict_that_torch_reads_safely(tmp_path):
    found = torch.load(_save(digits(), tmp_path / "model.pt"), weights_only=True)
    assert (found["format"], found["version"], found["architecture"]) == (
        container.FORMAT,
        1,
        "digits_resnet",
    )
    given = {"num_classes": 10, "M": 4, "N": 5, "width": 4}
    assert found["config"] == {**given, "scheme": None, "activation": None} and found["input_shape"] == [[1, 8, 8]]
    assert found["conversion"]["M"] == 4 and found["state_dict"].keys() == digits().state_dict().keys()


def test_loading_a_large_zoo_model_draws_no_random_numbers(tmp_path):
    paconv.save(resnet18(num_classes=2, M=4, N=5), tmp_path / "model.pt", (3, 32, 32))
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    paconv.load(tmp_path / "model.pt")
    assert torch.rand(1) == want


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "two of them": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_model_is_saved_as_the_model_within(tmp_path, wrap):
    model = converted()
    paconv.save(wrap(model), tmp_path / "model.pt", (3, 9, 9))
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(paconv.load(tmp_path / "model.pt", model=Net)(x), model(x))
    assert same(paconv.load(_save(wrap(digits()), tmp_path / "zoo.pt")), digits())


def test_a_model_of_several_processes_is_saved_as_the_model_within(tmp_path):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = converted().train()
        paconv.save(nn.parallel.DistributedDataParallel(model), tmp_path / "model.pt", (3, 9, 9))
    finally:
        torch.distributed.destroy_process_group()
    assert same(paconv.load(tmp_path / "model.pt", model=Net), model)


def test_models_of_which_no_whole_state_can_be_saved_are_refused(tmp_path):
    script = torch.jit.trace(Net(), torch.zeros(1, 3, 9, 9))
    with pytest.raises(UsageError, match="found a TorchScript module"):
        paconv.save(script, tmp_path / "model.pt")
    sharded = Net()
    sharded._fsdp_wrapped_module = Net()
    with pytest.raises(
        UsageError, match="FullyShardedDataParallel, of which each process has a part; collect its full"
    ):
        paconv.save(sharded, tmp_path / "model.pt")


def test_a_part_that_was_converted_by_itself_is_told_of_when_its_conversion_is_lost(tmp_path):
    def make() -> nn.Module:
        return nn.Sequential(nn.Identity(), converted())

    with pytest.warns(UserWarning, match="1 was converted, but Sequential as a whole wasn't.*or save 1 by itself"):
        paconv.save(make(), tmp_path / "model.pt")
    assert same(paconv.load(tmp_path / "model.pt", model=make), make())


def test_state_dicts_are_found_in_what_trainings_save_and_without_a_wrappers_prefix(tmp_path):
    net, path = Net(), tmp_path / "t.pt"
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(1, 3, 9, 9)).sum().backward()
    optimizer.step()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    lightning = {f"model.{name}": value for name, value in state.items()}
    loss = {"loss.weight": torch.ones(3)}
    for saved, key in (
        (state, None),
        ({"epoch": 3, "state_dict": state, "optimizer": optimizer.state_dict()}, None),
        ({"model_state_dict": nn.DataParallel(net).state_dict(), "lr": 0.1}, None),
        (torch.compile(net, backend="eager").state_dict(), None),
        (AveragedModel(net).state_dict(), None),
        ({"state_dict": lightning}, None),
        ({"state_dict": {**lightning, **loss}}, "state_dict.model"),
        ({**lightning, **loss}, "model"),
        ({"model": {}, "ema": state, "old": state}, "ema"),
        ({"a.b": {"c": state}}, "a.b.c"),
    ):
        torch.save(saved, path)
        assert same(paconv.load(path, model=Net, state_dict=key), net)


def test_state_dicts_that_are_not_found_get_a_line_with_the_way_out(tmp_path):
    state, path = Net().state_dict(), tmp_path / "t.pt"
    lightning = {f"model.{name}": value for name, value in state.items()}
    for saved, key, message in (
        ({"model": state, "ema": state}, None, r"found several \(model, ema\); say which is meant \(--state-dict KEY"),
        (
            {"model": state, "ema": state},
            "emo",
            "--state-dict emo .*: expected tensors by name there, found model, ema",
        ),
        ({"model": state}, "model.head.weight", "expected tensors by name there, found "),
        ({"epoch": 3}, None, "found a dict with epoch; say where in it the weights are"),
        (
            {**lightning, "loss.weight": torch.ones(3)},
            None,
            "tensors begin with model., and it has others such as loss",
        ),
    ):
        torch.save(saved, path)
        with pytest.raises(CheckpointError, match=message) as caught:
            paconv.load(path, model=Net, state_dict=key)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="written by paconv.save, and has one state dict"):
        paconv.load(_save(digits(), path), state_dict="model")


def test_a_pickled_training_checkpoint_is_read_where_pickles_are_trusted(tmp_path):
    net, path = Net(), tmp_path / "t.pt"
    torch.save({"epoch": 3, "model": net, "folder": tmp_path}, path)
    assert same(paconv.load(path, trust_pickle=True), net)
    torch.save({"weights": net.state_dict(), "folder": tmp_path}, path)
    assert same(paconv.load(path, Net, trust_pickle=True), net)
