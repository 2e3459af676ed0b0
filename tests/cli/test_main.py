"""What stands in the way of any command ends in one line."""

import signal


def test_too_little_memory_is_one_line(run, monkeypatch):
    def starved(*arguments, **options):
        raise MemoryError("Unable to allocate 477. GiB")

    monkeypatch.setattr("paconv.cli.verify.run_verify", starved)
    code, out, err = run("verify", "model.onnx", "pa.onnx")
    assert (code, out, err) == (1, "", "paconv: error: not enough memory: Unable to allocate 477. GiB\n")


def test_a_command_that_is_terminated_removes_what_it_has_half_written(run, monkeypatch, tmp_path):
    from paconv.files import replacing

    def slow(*arguments, **options):
        with replacing(tmp_path / "out.onnx") as temporary:
            temporary.write_bytes(b"half")
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("paconv.cli.verify.run_verify", slow)
    code, out, err = run("verify", "model.onnx", "pa.onnx")
    signal.signal(signal.SIGTERM, before)
    assert (code, out, err) == (143, "", "paconv: error: stopped\n")
    assert not list(tmp_path.iterdir())
