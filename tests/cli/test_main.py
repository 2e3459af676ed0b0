"""What stands in the way of any command ends in one line."""

import signal

import pytest

from paconv.files import replacing


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
