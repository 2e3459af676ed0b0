"""docs/paper.md: each of its commands is valid, and its counted numbers are what is counted now.

The commands are run by a shell with a `paconv` that only notes its arguments. Those of `paconv train` then run for real
up to the training itself, on data without images.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import paconv.train.data
import paconv.train.recipe
from paconv import models
from paconv.cli.main import cli
from paconv.cost import count, under_scheme
from paconv.cost.source import network_of_file
from paconv.studies.paper.resnet import resnet
from paconv.train import DataSource, InMemory

PAGE = (Path(__file__).parents[2] / "docs/paper.md").read_text(encoding="utf-8")

NOTING = r"""#!/bin/sh
printf '%s\037' "$@" >> "$NOTED"
echo >> "$NOTED"
[ "$1" = train ] || exit 0
while [ $# -gt 0 ]; do
  [ "$1" = -o ] && mkdir -p "$2" && : > "$2/model.pt"
  shift
done
"""

DEPTHS = {"resnet18": 18, "bireal18": 18, "resnet34": 34, "resnet50": 50}
"""Networks that are counted from their shapes alone. Bi-Real Net's layout has ResNet's convolutions."""

SSD_REAL = ("extras*", "locations*", "confidences*")

ROW = re.compile(r"^\| (.*) \| `(\S+)` \| ([\d.]+) \| (\S+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> list[list[str]]:
    """The words of each `paconv` command of the page, in the order of the page."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "bin").mkdir()
    (folder / "bin/paconv").write_text(NOTING)
    (folder / "bin/paconv").chmod(0o755)
    script = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "NOTED": str(folder / "noted")}
    (folder / "run").mkdir()
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder / "run", env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    noted = (folder / "noted").read_text().splitlines()
    return [line.split("\037")[:-1] for line in noted]


def parsed(words: list[str]) -> tuple[str, dict]:
    """(command, its options), as click takes them."""
    name, *arguments = words
    command = cli.get_command(click.Context(cli), name)
    options = command.make_context(name, list(arguments)).params
    scheme = options.get("scheme")
    if scheme is not None:
        options |= {"scheme": scheme.name, "M": scheme.M, "N": scheme.N}
    return name, options


@pytest.fixture(scope="module")
def trainings(commands) -> dict[str, dict]:
    """Options of the trainings by folder."""
    found = [options for name, options in map(parsed, commands) if name == "train"]
    by_folder = {str(options["output"]): options for options in found}
    assert len(by_folder) == len(found)
    return by_folder


def test_every_file_that_a_command_reads_is_made_by_one_before(commands):
    made, read = set(), 0
    for name, options in map(parsed, commands):
        if name == "train":
            reads = [options["parent"], options["backbone"]]
            made.add(options["output"] / "model.pt")
        else:
            reads = [options.get(key) for key in ("checkpoint", "model", "reference", "optimized")]
        if name in ("export", "optimize"):
            made.add(options["output"])
        reads = [path for path in reads if path is not None]
        assert made.issuperset(reads), (name, reads)
        read += len(reads)
    assert read > len(commands)


def nothing(spec: str, **_) -> DataSource:
    """One black image, with the classes that `spec` would have."""
    detection = spec.startswith("voc:")
    shape, classes = ((3, 300, 300), 20) if detection else ((3, 224, 224), 1000)
    task = "detection" if detection else "classification"
    black = InMemory(np.zeros((1, *shape), np.float32), np.zeros(1, int), classes)
    return DataSource(spec, task, black, None, tuple(map(str, range(classes))), shape)


@pytest.mark.slow
def test_every_training_is_possible_up_to_its_first_step(commands, tmp_path, monkeypatch):
    """Networks are built without values; what is trained is noted instead."""
    trained = []

    def on_meta(name: str, **config):
        with torch.device("meta"):
            return models.build(name, **config)

    def fit(model, source, settings, *, output, **_):
        trained.append((getattr(model, "paconv_conversion", {"scheme": "float"})["scheme"], settings.batch_size))
        (output / "model.pt").write_bytes(b"")
        return []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.nn.init, "normal_", lambda tensor, *_, **__: tensor)
    monkeypatch.setattr(paconv.train.data, "open_source", nothing)
    recipe = paconv.train.recipe
    for name, stand_in in {
        "build": on_meta,
        "fit": fit,
        "fit_in_locked": fit,
        "activation_of": lambda path: None,
        "calibrate": lambda model, batches: None,
        "with_weights_of": lambda path, model, name, classes: model,
        "with_backbone_of": lambda path, model, name: model,
    }.items():
        monkeypatch.setattr(recipe, name, stand_in)
    schemes = []
    for words in commands:
        if words[0] == "train":
            cli.main([*words, "--no-tensorboard"], standalone_mode=False)
            schemes.append(parsed(words)[1]["scheme"])
    assert trained == [(scheme, 64) for scheme in schemes]
    assert set(schemes) == {"float", "pa", "abc", "bwn", "xnor", "bireal", "groupnet", "dorefa", "syq", "lqnet"}


def counted(network, options: dict) -> tuple[str, str]:
    """Mbit and Flops of a row, as the page prints them."""
    N = options["N"]
    totals = count(
        under_scheme(
            network,
            options["scheme"],
            options["M"],
            None if N in (None, "full") else int(N),
            full_activations=N == "full",
            keep_real=SSD_REAL if options["model"] == "ssd300" and options["scheme"] != "float" else (),
        )
    ).totals
    return f"{totals.bits / 1e6:.2f}", f"{float(totals.flops):.3e}".replace("e+0", "e")


ROWS = ROW.findall(PAGE)


def test_every_training_but_the_parents_of_other_layouts_is_a_row(trainings):
    assert len(ROWS) == 15 + 4 + 3 + 11
    assert {folder for _, folder, _, _ in ROWS} == trainings.keys() - {"bireal18/float", "groupnet18/float"}


@pytest.mark.parametrize("model", DEPTHS)
def test_memory_and_flops_of_resnets_are_what_is_counted_now(trainings, model):
    rows = [row for row in ROWS if trainings[row[1]]["model"] == model]
    assert rows
    for _, folder, memory, flops in rows:
        assert counted(resnet(DEPTHS[model]), trainings[folder]) == (memory, flops), folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1",
        "ssd300",
        *(pytest.param(name, marks=pytest.mark.whole) for name in ("densenet121", "groupnet18")),
    ],
)
def test_so_are_those_of_the_other_architectures(trainings, tmp_path, name):
    size = 300 if name == "ssd300" else 224
    paconv.save(models.build(name), tmp_path / "model.pt", input_shape=(3, size, size))
    network = network_of_file(tmp_path / "model.pt")
    rows = [row for row in ROWS if trainings[row[1]]["model"] == name]
    assert rows
    for _, folder, memory, flops in rows:
        assert counted(network, trainings[folder]) == (memory, flops), folder


def test_the_gaps_of_tables_3_and_4_are_differences():
    """In tenths of a percent, exactly."""
    waiting, checked = [], 0
    for cells, _, _, _ in ROWS[:19]:
        *_, top1, top5, gap1, gap5 = cells.split(" | ")
        values = [round(float(x.removesuffix(" %")) * 10) for x in (top1, top5)]
        if gap1 == "-":  # the float network stands below those that are compared with it
            for found, gaps in waiting:
                assert [a - b for a, b in zip(values, found, strict=True)] == gaps
                checked += 1
            waiting = []
        else:
            waiting.append((values, [round(float(x.removesuffix(" %")) * 10) for x in (gap1, gap5)]))
    assert (waiting, checked) == ([], 14)
