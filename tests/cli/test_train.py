"""`paconv train`: what it writes, and what it answers to bad input: one line, and nothing lost."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

import paconv
from paconv.cli import training_progress
from paconv.folder_lock import LOCK, locked
from paconv.models import digits_resnet
from paconv.nn import level_report
from tests.train.architectures import tiny_color_net
from tests.train.pictures import annotated, image_folder, voc_folder

NET = "--model digits_resnet --epochs 1 --batch-size 512 --no-tensorboard".split()
DIGITS = [*NET, "--data", "digits"]

PREDICTED_SPEED = training_progress.predicted_speed


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def predicted(monkeypatch, folder):
    """What was asked to be predicted: (scheme, input shape). A prediction takes an export, seconds, so that only tests
    that are `in_earnest` make one; from shipped rates.
    """
    asked = []

    def predicted_speed(model, input_shape):
        asked.append((model.paconv_conversion["scheme"], input_shape))
        return "predicted: before training"

    monkeypatch.setenv("PACONV_CACHE", str(folder / "cache"))
    monkeypatch.setattr(training_progress, "predicted_speed", predicted_speed)
    return asked


@pytest.fixture
def in_earnest(monkeypatch, predicted):
    monkeypatch.setattr(training_progress, "predicted_speed", PREDICTED_SPEED)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def train(run):
    """Runs `paconv train` with the words of a text; exit code, stdout and stderr."""
    return lambda text, *words: run("train", *text.split(), *words)


def test_it_trains_the_float_network_and_then_its_counterpart(folder, train, predicted):
    code, out, err = train("-M 2 -N full --float-lr 0.004 -o run", *DIGITS)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert (lines[0], predicted) == ("predicted: before training", [("pa", (1, 8, 8))])
    assert lines[1].startswith("float: epoch 1/1,") and lines[3].startswith("pa M=2 N=None: epoch 1/1,")
    assert lines[2].startswith("pa M=2 N=None: levels snapped to integers (15): largest relative error ")
    assert lines[4].startswith("run/model.pt: ") and len(lines) == 5
    made = paconv.load(folder / "run/model.pt")
    assert made.paconv_conversion["M"] == 2 and made.paconv_conversion["N"] is None
    assert made.paconv_input_shape == (1, 8, 8)
    parent = paconv.load(folder / "run/float/model.pt")
    assert not torch.equal(made.conv.weight, parent.conv.weight) and not hasattr(parent, "paconv_conversion")
    assert json.loads((folder / "run/history.json").read_text())[0]["epoch"] == 1


def test_a_quantized_network_is_trained_as_it_is(folder, train, predicted):
    paconv.save(paconv.convert(digits_resnet(), 2, 3), folder / "quantized.pt")
    options = "--data digits --epochs 1 --batch-size 512 --no-tensorboard".split()
    code, out, err = train("--from quantized.pt -o run", *options)
    assert (code, err) == (0, "") and predicted == [("pa", (1, 8, 8))]
    assert "pa M=2 N=3: epoch 1/1," in out and not (folder / "run/float").exists()
    before = (folder / "run/model.pt").read_bytes()
    assert train("-o run --resume")[0] == 0 and (folder / "run/model.pt").read_bytes() == before
    for given in ("--scheme pa", "-M 2", "-N 3", "--float float.pt", "--float-epochs 2"):
        code, out, err = train(f"--from quantized.pt -o other {given}", *options)
        assert (code, out) == (1, "") and err.count("\n") == 1
        assert f"is quantized already and trained as it is; leave out {given.split()[0]}" in err
    paconv.save(torch.nn.Linear(1, 1), folder / "nameless.pt")
    code, _, err = train("--from nameless.pt -o other", *options)
    assert code == 1 and "--model is missing: nameless.pt doesn't name its architecture" in err
    assert not (folder / "other").exists()


@pytest.mark.parametrize(("grid", "most"), [("", {15, 31}), ("--grid 7,15", {7, 15}), ("--grid none", {None})])
def test_levels_are_on_the_grid_afterwards_that_is_asked_for(folder, train, grid, most):
    assert train(f"{grid} -o run", *DIGITS)[0] == 0
    assert {layer.most for layer in level_report(paconv.load(folder / "run/model.pt")).layers} == most
    before = (folder / "run/model.pt").read_bytes()
    assert train("-o run --resume")[0] == 0
    assert (folder / "run/model.pt").read_bytes() == before
    assert train("-o run --resume --grid 3,4")[0] == 0
    assert {layer.most for layer in level_report(paconv.load(folder / "run/model.pt")).layers} == {3, 4}


@pytest.mark.usefixtures("in_earnest")
def test_before_it_trains_it_says_how_fast_the_result_will_be(train):
    code, out, err = train("-M 4 -N 5 -o run", *DIGITS)
    assert (code, err) == (0, "")
    line, slower, first = out.splitlines()[:3]
    times = r"predicted: [\d.]+ µs, float [\d.]+ µs: [\d.]+x (fast|slow)er "
    assert re.match(times + r"\(batch 1, 1 thread, rates that paconv ships for ", line)
    assert re.match(r"slower than float: block2.downsample \(0.*; left real \(paconv.convert's keep", slower)
    assert first.startswith("float: epoch 1/1,")
    again = train("-o run --resume")[1]
    assert "predicted" not in again


@pytest.mark.usefixtures("in_earnest")
def test_a_scheme_whose_speed_is_not_predicted_is_trained_all_the_same(train):
    code, out, err = train("--scheme bireal -o run", *DIGITS)
    assert (code, err) == (0, "")
    assert out.startswith("speed not predicted: it is for the schemes pa and float; found bireal\nfloat: epoch 1/1,")


def test_a_float_network_that_is_there_is_the_start(folder, train, predicted):
    assert train("--scheme float -o parent", *DIGITS)[0] == 0
    assert not predicted
    code, out, _ = train("--float parent/model.pt -o run", *DIGITS)
    assert code == 0 and "float: epoch" not in out
    assert not (folder / "run/float").exists()


def test_an_imagenet_style_folder_is_read_by_workers(folder, train):
    image_folder(folder / "images")
    options = "--model tiny_color_net --data folder:images --scheme float --size 32 --epochs 1 --batch-size 4"
    code, out, err = train(f"{options} --workers 2 --no-tensorboard -o run")
    assert (code, err) == (0, "") and "held out accuracy" in out
    assert paconv.load(folder / "run/model.pt").paconv_architecture["config"]["num_classes"] == 2


BAD_OPTIONS = [
    ("-M 9", "M, the number of weight planes, must be 1..8; found 9"),
    ("-N 0", "N, the number of activation planes, must be 1..8 or full; found 0"),
    ("-N some", "-N: expected a number of planes or full; found some"),
    ("--scheme float -M 4", "scheme float has no M"),
    ("--scheme float --float-epochs 4", "--float-epochs and --float-lr are for the way to another scheme"),
    ("--model lenet", "no architecture is called 'lenet'; known are"),
    ("--model resnet18", "the model doesn't take images (1, 8, 8) of digits"),
    ("--optimizer lion", "--optimizer must be one of adam, sgd; found 'lion'"),
    ("--schedule linear", "--schedule must be one of cosine, step; found 'linear'"),
    ("--grid 15", "--grid: expected the largest integers A,B"),
    ("--epochs 0", "--epochs must be a whole number from 1; found 0"),
    ("--batch-size 0", "--batch-size must be a whole number from 1; found 0"),
    ("--batch-size 5000", "--batch-size 5000, but there are only 1347 samples"),
    ("--lr nan", "--lr must be a number from 0 to 1000000.0; found nan"),
    ("--lr 1e300", "--lr must be a number from 0 to 1000000.0; found 1e+300"),
    ("--data folder:images --size 99999999", "--data: expected images of at most 268435456 values, found 3x99999999x"),
    ("--linear magic", "--linear must be 'real' or 'pa'; found 'magic'"),
    ("--scheme syq --linear syq", "--linear must be 'real': SYQ has no linear layers; found 'syq'"),
    ("--scheme bireal --signed never", "scheme bireal has no parameter 'signed'; it takes magnitude_aware"),
    ("--workers -1", "--workers must be a whole number from 0; found -1"),
    ("--checkpoint-steps 0", "--checkpoint-steps must be a whole number from 1; found 0"),
    ("--checkpoint-steps 9999999999", "--checkpoint-steps must be at most 1000000000; found 9999999999"),
    ("--schedule step --decay-every 9999999", "--decay-every must be at most 1000000; found 9999999"),
    ("--data mnist", "--data: expected mnist:PATH, found 'mnist'"),
    ("--data digits --data synthetic", "digits and synthetic can't be mixed: classes is"),
    ("--data folder:", "--data: expected folder:PATH, found 'folder:'"),
    ("--data digits --size 9", "--data: digits takes no size; found 9"),
    ("--data digits:much", "--data: expected digits:NOISE with a number from 0, such as digits:1; found 'digits:much'"),
    ("--data synthetic:1", "--data: synthetic takes nothing more; found 'synthetic:1'"),
    ("--architecture width", "--architecture: expected NAME=VALUE, such as activation=clip; found 'width'"),
    ("--architecture depth=3", "architecture digits_resnet: got an unexpected keyword argument 'depth'"),
    ("--data folder:nowhere", "nowhere/train: no such folder"),
    ("--data voc:nowhere", "nowhere: no such folder"),
    ("--float nowhere.pt", "nowhere.pt: no such file"),
    ("--float x.pt --float-epochs 3", "x.pt is the float network already; it isn't trained again"),
    ("--float x.pt --backbone y.pt", "x.pt is the float network already, backbone included; y.pt is none"),
    ("--backbone x.pt", "digits_resnet has no backbone that could start from x.pt; ssd300 has one"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[options for options, _ in BAD_OPTIONS])
def test_a_bad_option_is_one_line(train, folder, options, message):
    code, out, err = train("-o run", *(NET if "--data" in options else DIGITS), *options.split())
    assert code == 1 and out == ""
    assert err.startswith(f"paconv: error: {message}") and err.count("\n") == 1
    assert not list(folder.glob("run/*.pt"))


@pytest.mark.parametrize(
    "options",
    ["--seed 99999999999999999999", "--seed -1", "--threads 9999999999999999999999", "--workers 1000000"],
)
def test_a_number_that_cannot_be_meant_is_one_line_that_names_the_range(train, folder, options):
    code, out, err = train("-o run", *DIGITS, *options.split())
    assert code == 2 and out == "" and "<=" in err and err.count("\n") == 1
    assert not list(folder.glob("run/*.pt"))


@pytest.mark.parametrize("options", ["--checkpoint-steps 0", "--workers -1", "--schedule step --decay-every 9999999"])
def test_a_number_out_of_range_is_refused_before_the_folder_is_made(train, folder, options):
    assert train("-o run", *DIGITS, *options.split())[0] == 1
    assert not (folder / "run").exists()


def test_options_that_are_missing_are_named(train):
    usage = "(usage: `paconv train --help`)\n"
    assert train("-o run --data digits")[1:] == ("", f"paconv: error: --model is missing {usage}")
    assert train("-o run --model digits_resnet")[1:] == ("", f"paconv: error: --data is missing {usage}")
    resumed = train("-o run --resume")[2]
    assert resumed == f"paconv: error: --model is missing; run holds no training to resume {usage}"


def test_a_parent_of_another_architecture_is_refused(folder, train):
    paconv.save(digits_resnet(10, M=2, N=1), "quantized.pt")
    paconv.save(digits_resnet(3), "classes.pt")
    paconv.save(digits_resnet(10), "digits.pt")
    assert "quantized.pt: expected a float network to start from" in train("--float quantized.pt -o run", *DIGITS)[2]
    assert "classes.pt: it tells 3 classes apart; the data have 10" in train("--float classes.pt -o run", *DIGITS)[2]
    image_folder(folder / "images")
    code, _, err = train("--model tiny_color_net --data folder:images --float digits.pt -o run")
    assert (code, err) == (
        1, "paconv: error: digits.pt: expected a checkpoint of tiny_color_net, found one of digits_resnet\n",
    )  # fmt: skip


DETECTOR = "--model tiny_detector --data voc:voc --size 32 --epochs 1 --batch-size 2 --no-tensorboard"


def test_a_detector_starts_from_a_classifier_of_any_classes_and_is_resumed_with_it(folder, train):
    voc_folder(folder / "voc")
    torch.manual_seed(1)
    classifier = tiny_color_net(3)
    paconv.save(classifier, "classifier.pt")
    # At rate 0 the weights stay what they were at the start.
    code, out, err = train(f"{DETECTOR} -M 2 -N 1 --float-lr 0 --backbone classifier.pt -o run")
    assert (code, err) == (0, "") and [line.split(",")[0] for line in out.splitlines()[1:4:2]] == [
        "float: epoch 1/1", "pa M=2 N=1: epoch 1/1",
    ]  # fmt: skip
    parent, made = paconv.load("run/float/model.pt"), paconv.load("run/model.pt")
    for name, value in parent.backbone.named_parameters():
        assert torch.equal(value, classifier.get_parameter(name)), name
    assert made.paconv_conversion["plan"].keys() == {"backbone.conv"}

    shutil.rmtree("run/float")
    for name in ("state.pt", "model.pt"):
        (folder / "run" / name).unlink()
    assert train("-o run --resume")[::2] == (0, "")
    again = paconv.load("run/model.pt").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in made.state_dict().items())


def test_a_checkpoint_that_is_no_backbone_is_one_line(folder, train):
    voc_folder(folder / "voc")
    paconv.save(digits_resnet(), "digits.pt")
    paconv.save(tiny_color_net(2, M=2, N=1), "quantized.pt")
    state = tiny_color_net().state_dict()
    torch.save({name: value for name, value in state.items() if name != "conv.weight"}, "part.pt")
    for file, message in (
        ("digits", "expected a checkpoint of tiny_color_net, found one of digits_resnet"),
        ("quantized", "expected a float network to start from, found a quantized one"),
        ("part", "the checkpoint doesn't fit architecture tiny_color_net: it has no conv.weight (8, 4, 3, 3)"),
        ("none", "no such file"),
    ):
        code, out, err = train(f"{DETECTOR} --backbone {file}.pt -o run")
        assert (code, out, err) == (1, "", f"paconv: error: {file}.pt: {message}\n")
    assert not (folder / "run").exists()


def test_a_training_is_neither_overwritten_nor_resumed_as_another(folder, train):
    assert train("-o run", *DIGITS)[0] == 0
    before = {path.name: path.read_bytes() for path in folder.glob("run/*.*")}
    code, out, err = train("-o run", *DIGITS)
    assert (code, out) == (1, "") and err.startswith("paconv: error: run holds a training")
    for change in ("-M 2", "--seed 1", "--scheme float"):
        code, out, err = train(f"-o run --resume {change}")
        assert code == 1 and "it is of another training" in err and err.count("\n") == 1
    code, out, err = train("-o run --resume --workers 1")
    assert (code, err) == (0, "")
    assert {path.name: path.read_bytes() for path in folder.glob("run/*.*")} == before


def test_a_damaged_image_is_one_line_and_what_was_reached_is_kept(folder, train):
    image_folder(folder / "images", training=8)
    whole = (folder / "images/train/c1/2.jpg").read_bytes()
    (folder / "images/train/c1/2.jpg").write_bytes(whole[: len(whole) // 2])
    options = "--model tiny_color_net --data folder:images --scheme float --size 32 --epochs 2 --batch-size 2"
    code, _, err = train(f"{options} --workers 1 --no-tensorboard -o run")
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("paconv: error: images/train/c1/2.jpg: the image is damaged")
    assert (folder / "run/state.pt").exists()
    (folder / "images/train/c1/2.jpg").write_bytes(whole)
    code, out, err = train("-o run --resume")
    assert (code, err) == (0, "") and "epoch 2/2" in out


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (annotated("unicorn", 1, 1, 9, 9), "class 'unicorn' is none of aeroplane"),
        (annotated("dog", 9, 1, 5, 9), "dog: box (9, 1, 5, 9) has no area in 60 x 40"),
        ("<object>", "expected a VOC annotation"),
    ],
)
def test_a_bad_annotation_is_one_line(folder, train, objects, message):
    voc_folder(folder / "voc", objects=objects)
    code, _, err = train("--model digits_resnet --data voc:voc -o run")
    assert code == 1 and message in err and "voc/Annotations/000000.xml" in err and err.count("\n") == 1


def test_an_empty_folder_is_one_line(folder, train):
    (folder / "images/train").mkdir(parents=True)
    code, _, err = train("--model resnet18 --data folder:images -o run")
    assert (code, err) == (1, "paconv: error: images/train: expected a folder of images for each class, found none\n")
    (folder / "images/train/cats").mkdir()
    code, _, err = train("--model resnet18 --data folder:images -o run")
    assert code == 1 and err.startswith("paconv: error: images/train/cats: expected images (.bmp, .jpeg, .jpg")


def test_help_has_an_example(train):
    code, out, _ = train("--help")
    assert code == 0 and "torchrun --nproc-per-node=2 -m paconv train" in out


@pytest.mark.parametrize("options", ["-M 9", "-N 0", "--model lenet", "--float nowhere.pt"])
def test_what_cannot_be_trained_leaves_no_folder(train, folder, options):
    assert train("-o run", *DIGITS, *options.split())[0] == 1
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[3]", "found list"),
        ("{", "Expecting property name"),
        ('{"epochs": "many"}', "'many' is not a valid integer"),
        ('{"device": "tpu"}', "'tpu' is not one of"),
    ],
)
def test_damaged_options_of_a_training_are_one_line(folder, train, content, message):
    (folder / "run").mkdir()
    (folder / "run/options.json").write_text(content)
    code, out, err = train("-o run --resume")
    assert (code, out) == (1, "") and err.count("\n") == 1 and message in err
    assert err.startswith("paconv: error: run/options.json: expected the options of the training, as JSON: ")


def test_a_folder_in_which_a_training_is_at_work_is_refused_before_anything_is_written(folder, train):
    (folder / "run").mkdir()
    with locked(folder / "run", "training"):
        for options in ((), ("--resume",)):
            code, out, err = train("-o run", *DIGITS, *options)
            assert (code, out, err.count("\n")) == (1, "", 1) and "run: another training is at work there" in err
        assert [path.name for path in (folder / "run").iterdir()] == [LOCK]


def test_linear_layers_and_levels_below_zero_are_options(folder, train):
    torch.manual_seed(0)
    paconv.save(digits_resnet(10), "float.pt", (1, 8, 8))
    code, _, err = train("-o run --float float.pt --linear pa --signed never --lr 0", *DIGITS)
    assert (code, err) == (0, "")
    conversion = paconv.load("run/model.pt").paconv_conversion
    assert (conversion["linear"], conversion["signed"], conversion["signed_activations"]) == ("pa", False, [])


def test_help_names_no_planes_as_those_of_every_scheme(train):
    text = " ".join(train("--help")[1].split())
    assert "Weight planes of --scheme, spelled apart." in text
    assert "Activation planes of --scheme, spelled apart; full for full-precision ones." in text
