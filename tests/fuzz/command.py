"""`paconv` in a forked child, so that its imports are paid once; and files for it."""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from paconv.cli.main import COMMANDS, LazyGroup, cli, main

__all__ = ["CHECKPOINT", "Done", "float_network", "run", "running"]

CHECKPOINT = Path(__file__).resolve().parents[2] / "examples/digits_pa45.pt"
MEMORY = 12 << 30
STOPS = {signal.SIGINT, signal.SIGTERM}


@dataclass
class Done:
    """code: the exit code, minus the signal that ended it, or None for a command that had to be ended."""

    code: int | None
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stderr, without what a progress bar leaves."""
        return [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]


class running:  # noqa: N801  used as a function
    """A command in `folder`, begun: wait() gives what it did. in_child: called before it begins."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None,
                 in_child: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        assert isinstance(cli, LazyGroup)
        cli.get_command(None, next((a for a in arguments if a in COMMANDS), "cost"))  # type: ignore[arg-type]
        self.err = tempfile.TemporaryFile()  # noqa: SIM115  wait() reads it
        sys.stdout.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        self.began, self.pid = time.monotonic(), os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        code = 99
        try:
            os.setsid()
            os.chdir(folder)
            os.environ.update(environment or {})
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(self.err.fileno(), 2)
            sys.stdout, sys.stderr = map(_text, (1, 2))
            sys.argv = ["paconv", *arguments]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            in_child()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except KeyboardInterrupt:  # before paconv heeds it: so ends Python
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:  # what a process would print as it ends
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)

    def signal_after(self, number: int, seconds: float) -> None:
        """Send a signal so many seconds after it began, unless it has ended."""
        time.sleep(max(0.0, self.began + seconds - time.monotonic()))
        os.kill(self.pid, number)  # one that has ended is still there to be waited for

    def wait(self, seconds: float) -> Done:
        """Ends the command, and all that it started, if it takes longer; on a machine with more to do than it has
        cores, as much longer.
        """
        code, cores = None, os.cpu_count() or 1
        while code is None and time.monotonic() - self.began < seconds * max(1.0, os.getloadavg()[0] / cores):
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
        self.seconds = time.monotonic() - self.began
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if code is None:
            os.waitpid(self.pid, 0)
        self.err.seek(0)
        return Done(code, self.err.read(1 << 20).decode(errors="replace"))


def _text(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(descriptor, "wb", closefd=False), line_buffering=True)


def run(arguments: Sequence[str], folder: Path, seconds: float = 60.0, **options) -> Done:
    """What `paconv arguments` did in `folder`. options: as for `running`."""
    return running(arguments, folder, **options).wait(seconds)


def float_network() -> onnx.ModelProto:
    """A float classifier of (B, 1, 8, 8): four convolutions with Relu, of which two are quantized by default."""
    rng, nodes, constants, x = np.random.default_rng(0), [], {}, "input"
    for k, (out, channels) in enumerate([(8, 1), (16, 8), (16, 16), (8, 16)]):
        constants[f"W{k}"] = (rng.standard_normal((out, channels, 3, 3)) / 3).astype(np.float32)
        nodes.append(helper.make_node("Conv", [x, f"W{k}"], [f"c{k}"], name=f"conv{k}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{k}"], [x := f"r{k}"], name=f"relu{k}"))
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["logits"]))
    graph = helper.make_graph(
        nodes, "float", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
