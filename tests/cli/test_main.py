"""The command line as a whole: what is near a slip, hints after errors, completion, and what isn't imported."""

from __future__ import annotations

import signal
import subprocess
import sys

import click
import pytest

from paconv.cli.commands import COMMANDS, load
from paconv.cli.main import cli
from paconv.files import replacing


def test_the_help_imports_no_command_and_completion_none_either(run):
    code = (
        "import sys\nfrom paconv.cli.main import cli, main\n"
        "cli.shell_complete(None, 'co')\nsys.argv = ['paconv', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'numpy', 'onnx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_commands_are_completed_with_what_they_are_for():
    found = {item.value: item.help for item in cli.shell_complete(click.Context(cli), "co")}
    assert found == {name: COMMANDS[name].help for name in ("compare", "cost")}


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["quantise"], "there is no command 'quantise'; did you mean 'quantize'? (usage: `paconv --help`)"),
        (["zzz"], "there is no command 'zzz' (usage: `paconv --help`)"),
        (["verify", "a.onnx"], "Missing argument 'OPTIMIZED'. (usage: `paconv verify --help`)"),
        (["cost", "a.onnx", "--explian"], "there is no option '--explian'; did you mean '--explain'? "
         "(usage: `paconv cost --help`)"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_with_what_is_near_and_where_the_usage_is(run, arguments, end):
    assert run(*arguments) == (2, "", f"paconv: error: {end}\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("cost a.onnx --scheme pq:4,5", "did you mean 'pa:4,5'?"),
        ("cost a.onnx --scheme pa4,5", "did you mean 'pa:4,5'?"),
        ("cost a.onnx --scheme bi-real", "did you mean 'bireal'?"),
        ("summary a.onnx --format jsn", "did you mean 'json'?"),
        ("inspect a.onnx --kernel plane", "did you mean 'planes'?"),
        ("train -o run --data digits --model resnet81", "did you mean 'resnet18'?"),
        ("train -o run --data digit:0.7 --model resnet18", "did you mean 'digits:0.7'?"),
        ("train -o run --data digits --model resnet18 --optimizer adm", "did you mean 'adam'?"),
        ("check-models resnet18 --scheme xnr", "did you mean 'xnor'?"),
    ],
)
def test_of_words_that_an_option_takes_the_one_that_is_near_is_named(run, tmp_path, monkeypatch, arguments, hint):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments.split())
    assert code in (1, 2) and out == "" and err.count("\n") == 1
    assert hint in err and err.count("did you mean") == 1


def test_a_word_that_is_like_none_gets_no_hint(run):
    assert "did you mean" not in run("summary", "a.onnx", "--format", "zzzzz")[2]


@pytest.mark.parametrize("option", ["-q", "--quiet", "--format"])
def test_an_option_of_a_command_that_stands_before_it_is_told_where_it_goes(run, option):
    value = ["json"] if option == "--format" else []
    assert run(option, *value, "cost", "a.onnx") == (
        2,
        "",
        f"paconv: error: {option} goes behind the command: paconv cost {option} ...\n",
    )
    assert run("--nonsense", "cost", "a.onnx")[2].startswith("paconv: error: there is no option '--nonsense'")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_fits_80_columns(run, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(name, "--help")
    assert code == 0 and [line for line in out.splitlines() if len(line) > 80] == []


def test_every_command_prints_json_and_can_be_quiet():
    for name in COMMANDS:
        options = {option: p for p in load(name).params for option in p.opts}
        assert "json" in options["--format"].type.choices, name
        assert "-q" in options, name


def test_too_little_memory_is_one_line(run, monkeypatch):
    def starved(*arguments, **options):
        raise MemoryError("Unable to allocate 477. GiB")

    monkeypatch.setattr("paconv.cli.verify.run_verify", starved)
    code, out, err = run("verify", "model.onnx", "pa.onnx")
    assert (code, out, err) == (1, "", "paconv: error: not enough memory: Unable to allocate 477. GiB\n")


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else that of an earlier test
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_removes_what_it_has_half_written(run, monkeypatch, tmp_path, handlers, number, code):
    def slow(*arguments, **options):
        with replacing(tmp_path / "out.onnx") as temporary:
            temporary.write_bytes(b"half")
            signal.raise_signal(number)

    monkeypatch.setattr("paconv.cli.verify.run_verify", slow)
    got, out, err = run("verify", "model.onnx", "pa.onnx")
    assert (got, out, err.strip()) == (code, "", "paconv: error: stopped")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_another_error_was_made_of_is_a_stop(run, monkeypatch, handlers, number, code):
    def wrapping(*arguments, **options):
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise RuntimeError("the graph can't be traced") from error

    monkeypatch.setattr("paconv.cli.verify.run_verify", wrapping)
    assert run("verify", "model.onnx", "pa.onnx") == (code, "", "paconv: error: stopped\n")


def test_a_command_that_ignores_interrupts_goes_on_doing_so(run, monkeypatch, handlers):
    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        raise MemoryError

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr("paconv.cli.verify.run_verify", interrupted)
    assert run("verify", "model.onnx", "pa.onnx") == (1, "", "paconv: error: not enough memory\n")
