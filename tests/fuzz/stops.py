"""Commands that are stopped, or can't write: each output is the old one or the whole new one, and resuming is equal.

A case is a command, and how it is disturbed: INT, TERM or KILL at a random moment, a file-size limit that its outputs
pass at a random place, as on a full disk, or a folder that may not be written to.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch

from paconv.folder_lock import LOCK
from tests.fuzz.command import CHECKPOINT, Done, float_network, run, running
from tests.fuzz.watched import Outcome

__all__ = ["work"]

SECONDS = 120.0
OLD = b"the old one"
CAPABILITIES = 0x20080522, 1 << 1 | 1 << 2 | 1 << 3
"""Version 3 of the call's structure; root's rights to write, read and change what it may not."""
DIGITS = "--model digits_resnet --data digits --batch-size 512"
COMMANDS = {
    "export": "export model.pt -o out/model.onnx",
    "optimize": "optimize model.onnx -o out/pa.onnx --report out/report.json",
    "quantize": "quantize float.onnx --data in.npz --count 8 -o out/model.onnx",
    "train": f"train {DIGITS} --epochs 2 --float-epochs 1 --checkpoint-steps 1 --threads 1 --no-tensorboard --resume "
             "-o out/run",
    "compare": f"compare {DIGITS} --system float --system pa:4,5 --seeds 1 --rates 0.004 --epochs 1 --jobs 1 "
               "-o out/run",
}  # fmt: skip
ORDER = ("export", "optimize", "quantize", "train") * 6 + ("compare",)
"""Comparisons take longest."""
SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
WAYS = (*SIGNALS, *SIGNALS, "size", "read-only")
EXIT_CODES = {"INT": {0, 130}, "TERM": {0, 143},
              "KILL": {0, -signal.SIGKILL}, "size": {0, 1}, "read-only": {1}}  # fmt: skip


@dataclass
class Whole:
    """What a command does undisturbed. seconds: that it takes; outputs: path -> digest; largest: bytes of a file."""

    seconds: float
    outputs: dict[str, str]
    largest: int


def work(seed: int, index: int) -> Outcome:
    """Case `index`: one disturbed command."""
    rng = np.random.default_rng([seed, index])
    name, way = ORDER[index % len(ORDER)], WAYS[rng.integers(len(WAYS))]
    whole = _whole(name)
    goes_on = name in ("train", "compare")
    found = Outcome()
    found.counts[f"{name} {way}"] += 1
    with _folder() as folder:
        old = not goes_on and bool(rng.integers(2))
        for path in whole.outputs if old else ():
            (folder / path).write_bytes(OLD)
        done = _disturbed(name, way, folder, rng, whole)
        left = [str(p.relative_to(folder)) for p in (folder / "out").rglob("*") if p.is_file()]
        at_once = way in SIGNALS and done.code == -SIGNALS[way] and set(left) <= (set(whole.outputs) if old else set())
        faults = [] if done.code in EXIT_CODES[way] or at_once else [f"exit code {done.code}"]
        told = [line for line in done.lines if line.startswith("paconv: error:")]
        if "Traceback" in done.err or (done.code not in (0, None) and done.code > 0 and len(told) != 1):
            faults.append(f"{len(told)} error lines: {done.lines[-1:]}")
        temporary = [path for path in left if ".tmp" in path]
        if temporary and way != "KILL":
            faults.append(f"left {temporary}")
        if goes_on:
            faults += [
                f"{path} is not whole"
                for path in left
                if path not in temporary and Path(path).name != LOCK and not _loads(folder / path)
            ]
            again = run(COMMANDS[name].split(), folder, SECONDS)
            if again.code != 0:
                faults.append(f"resuming: exit code {again.code}: {again.lines[-1:]}")
            elif (got := _digests(name, folder)) != whole.outputs:
                faults.append(
                    f"resumed it gives another {sorted(k for k in whole.outputs if got.get(k) != whole.outputs[k])}"
                )
        else:
            allowed = {hashlib.sha256(OLD).hexdigest()} if old else set()
            for path in set(left) - set(temporary):
                if _digest(folder / path) not in allowed | {whole.outputs.get(path)}:
                    faults.append(f"{path} is neither the old one nor the whole new one")
            if done.code == 0 and _digests(name, folder) != whole.outputs:
                faults.append("done, and its outputs are others")
            if old and any(not (folder / path).exists() for path in whole.outputs):
                faults.append("an old output is gone")
    found.counts["done before" if done.code == 0 else "stopped"] += 1
    if faults:
        found.findings.append(f"{name}, {way}: {'; '.join(faults)}")
    return found


def _disturbed(name: str, way: str, folder: Path, rng: np.random.Generator, whole: Whole) -> Done:
    arguments = COMMANDS[name].split()
    if way in SIGNALS:
        command = running(arguments, folder)
        command.signal_after(SIGNALS[way], float(rng.uniform(0, 1.1 * whole.seconds)))
        return command.wait(SECONDS)
    if way == "size":
        limit = int(rng.integers(1, whole.largest + 1))
        return run(
            arguments, folder, SECONDS, in_child=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        )
    (folder / "out").chmod(0o555)
    done = run(arguments, folder, SECONDS, in_child=_drop_rights)
    (folder / "out").chmod(0o755)
    return done


def _drop_rights() -> None:
    """root may write everywhere; another user couldn't read what is root's alone, Python itself perhaps."""
    version, rights = CAPABILITIES
    libc, header, sets = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(version, 0), (ctypes.c_uint32 * 6)()
    assert not libc.capget(header, sets), os.strerror(ctypes.get_errno())
    for k in (0, 1):  # effective, permitted
        sets[k] &= ~rights
    assert not libc.capset(header, sets), os.strerror(ctypes.get_errno())


@cache
def _whole(name: str) -> Whole:
    with _folder() as folder:
        times = []
        for _ in range(1 if name == "compare" else 2):  # the first one loads what the next ones have
            shutil.rmtree(folder / "out")
            (folder / "out").mkdir()
            command = running(COMMANDS[name].split(), folder)
            done = command.wait(SECONDS)
            assert done.code == 0, done.err
            times.append(command.seconds)
        sizes = [path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file()]
        return Whole(times[-1], _digests(name, folder), max(sizes))


def _digests(name: str, folder: Path) -> dict[str, str]:
    """What the command is for, by path: files, or a training's weights and a comparison's records."""
    if name == "train":
        paths = [folder / "out/run/model.pt", folder / "out/run/float/model.pt"]
        return {str(p.relative_to(folder)): _weights(p) for p in paths if p.exists()}
    paths = (folder / "out").rglob("*.pt" if name == "compare" else "*")
    digest: Callable[[Path], str] = _weights if name == "compare" else _digest
    return {
        str(p.relative_to(folder)): digest(p)
        for p in paths
        if p.is_file() and ".tmp" not in p.name and p.name != "state.pt"
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights(path: Path) -> str:
    state = torch.load(path, weights_only=True)["state_dict"]
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _loads(path: Path) -> bool:
    """Whether a file of a training or a comparison can be read."""
    try:
        if path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        return path.stat().st_size > 0
    except (RuntimeError, ValueError, EOFError):
        return False


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder with a command's inputs, and `out` for its outputs."""
    with tempfile.TemporaryDirectory(prefix="fuzz-stops-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(_inputs(), folder, dirs_exist_ok=True)
        (folder / "out").mkdir()
        yield folder


@cache
def _inputs() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-inputs-"))
    folder.chmod(0o755)
    shutil.copy(CHECKPOINT, folder / "model.pt")
    assert run(["export", "model.pt", "-o", "model.onnx"], folder).code == 0
    onnx.save(float_network(), folder / "float.onnx")
    np.savez(folder / "in.npz", input=np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32))
    return folder
