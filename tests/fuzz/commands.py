"""Command lines with bad files and arguments: done, or one line that says why not, exit code 1 or 2, and nothing left.

A case is a command line of TEMPLATES whose slots hold good or bad values, in a folder with good and bad files.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch

from paconv.pipeline import optimize
from tests.fuzz.command import CHECKPOINT, float_network, run
from tests.fuzz.watched import Outcome

__all__ = ["work"]

TRAIN = "train --model digits_resnet --data digits --epochs 1 --batch-size 512 --no-tensorboard -o run"
TEMPLATES = (
    "optimize {onnx} -o {out}",
    "optimize model.onnx -o out.onnx --report {out}",
    "optimize model.onnx -o out.onnx --verify --inputs {npz}",
    "verify {onnx} {onnx}",
    "verify model.onnx pa.onnx --inputs {npz}",
    "verify model.onnx pa.onnx --seed {number} --batch {number}",
    "cost {any}",
    "cost {any} --input-shape {shape}",
    "cost model.pt --model {class}",
    "cost pa.onnx --scheme {scheme} -M {number} -N {number}",
    "cost pa.onnx --mul-per-output {number}",
    "cost pa.onnx --latency --t-mul {number}",
    "cost pa.onnx --sweep --plot {out}",
    "cost pa.onnx --host --threads {number}",
    "inspect {onnx}",
    "bench {onnx} --seconds 0.01",
    "bench pa.onnx --against {onnx} --seconds 0.01",
    "bench pa.onnx --inputs {npz} --seconds 0.01",
    "bench pa.onnx --seconds 0.01 --threads {number}",
    "bench pa.onnx --seconds 0.01 --batch {number}",
    "deploy {onnx} -o {out}",
    "deploy pa.onnx -o repository --library {any}",
    "deploy pa.onnx -o repository --name {name} --served-at {name}",
    "deploy pa.onnx -o repository --instances {number} --max-batch-size {number} --max-queue-delay {number}",
    "deploy pa.onnx -o repository --preferred-batch-size {number} --threads {number}",
    "export {checkpoint} -o {out}",
    "export model.pt -o out.onnx --input-shape {shape}",
    "export model.pt -o out.onnx --model {class}",
    "quantize {any} --data in.npz --count 4 -o {out}",
    "quantize float.onnx --data {npz} --count {number} -o out.onnx",
    "quantize float.onnx --data in.npz --count 4 -M {number} -N {number} -o out.onnx",
    "quantize float.onnx --data in.npz --count 4 --mean {number} --std {number} --grid {number} -o out.onnx",
    "train --model digits_resnet --data {source} --epochs 1 --no-tensorboard -o run",
    f"{TRAIN} --float {{checkpoint}}",
    f"{TRAIN} --from {{checkpoint}}",
    f"{TRAIN} -M {{number}} -N {{number}}",
    f"{TRAIN} --scheme {{scheme}} --optimizer {{name}}",
    f"{TRAIN} --lr {{share}} --momentum {{share}} --weight-decay {{share}} --warmup {{share}}",
    f"{TRAIN} --seed {{number}} --workers {{share}} --checkpoint-steps {{number}}",
    f"{TRAIN} --schedule {{name}} --decay {{share}} --decay-every {{number}}",
    "train --data digits --epochs 1 -o run --model {name}",
    "train --model digits_resnet --data digits --epochs {share} -o {out}",
    "paper-tables -M {number} -N {number}",
    "compare -o folder --seeds {number} --rates {number} --epochs 0",
    "compare -o run --system {scheme} --data {source} --validation {number} --epochs 0",
    "check-models {name} --scheme {scheme} --seed {number}",
    "build-library --target {name}",
    "build-library --cpu {name} -o out.so",
    "bench-report -o {out} --quick --networks {name}",
    "{name} {any}",
)

NUMBERS = ("0", "-1", "1e9", "1000000000", "1e22", "99999999999999999999999", "nan", "inf", "", "x", "0x10", "1.5",
           " 4", "\u0663")  # fmt: skip
FILES = ("missing", "empty", "text.txt", "binary", "folder", "zeros", "dangling", "loop", "/dev/null", "a\nb",
         "x" * 300, "-", "\u00e9.onnx")  # fmt: skip
BAD = {
    "onnx": ("cut.onnx", "model.pt", "in.npz", "mutated.onnx", "mutated.onnx", *FILES),
    "npz": ("evil.npy", "evil.npz", "wrongname.npz", "wrongshape.npz", "text.npz", "nan.npz", "batch0.npz",
            "complex.npz", "bomb.npz", "huge_header.npz", "bad_header.npz", "deep_header.npz", "damaged.npz",
            "cut.npz", "model.pt", "pa.onnx", *FILES),
    "checkpoint": ("cut.pt", "evil.pt", "evil2.pt", "evil_old.pt", "traversal.pt", "many.pt", "absurd_config.pt",
                   "negative.pt", "type.pt", "unknown.pt", "dunder.pt", "shape.pt", "shape0.pt", "conversion.pt",
                   "conversion2.pt", "conversion3.pt", "nostate.pt", "nan.pt", "sparse.pt", "expanded.pt", "version.pt",
                   "recursive.pt", "cyclic.pt", "pa.onnx", *FILES),
    "any": ("cut.onnx", "cut.pt", "evil.pt", "mutated.onnx", "in.npz", *FILES),
    "out": ("folder", "missing/x", "empty/x", "/dev/full", "/proc/x", "x" * 300, "", "loop", "/dev/null"),
    "number": NUMBERS,
    "share": tuple(n for n in NUMBERS if not n.isdecimal() or n == "99999999999999999999999"),
    "shape": ("0", "0x0x0", "1x8", "1x8x8x8", "-1x8x8", "axbxc", "1x8x99999999999", "1x100000x100000", "", "x",
              "1,8,8,", "1x1x1", "3x8x8"),
    "class": ("", ":", "os", "os:", ":x", "os:system", "nothing:x", "builtins:print", "sys:exit", "a.b.c:d",
              "builtins:dict", "..x:y"),
    "scheme": ("nothing", "", "pa:x,y", "pa:1e9,2", "pa:-1,5", "pa:", ":4,5", "pa:4,5,6", "float:4"),
    "source": ("", "digits:x", "digits:nan", "digits:-1", "nothing", "voc:a:b:c:d", "folder:", "digits:inf",
               "digits:1e30", "folder:missing", "folder:folder", "voc:empty", "mnist:folder", "synthetic:9"),
    "name": ("../x", "..", ".", "", "a/b", "/abs", "a\\b", "-x", "x" * 300, "\u00e9", "a b", "a\n", "a%s", "~", "$HOME",
             "nothing"),
}  # fmt: skip
GOOD = {
    "onnx": "pa.onnx", "npz": "in.npz", "checkpoint": "model.pt", "any": "pa.onnx", "out": "out.onnx", "number": "4",
    "share": "0.5", "shape": "1x8x8", "class": "paconv.models:digits_resnet", "scheme": "pa", "source": "digits:0.9",
    "name": "adam",
}  # fmt: skip
SECONDS = 240.0
MARK = "EXECUTED"
"""What code in a file would make."""


def work(seed: int, index: int) -> Outcome:
    """Case `index`: one command line."""
    rng = np.random.default_rng([seed, index])
    folder = _folder()
    arguments = TEMPLATES[index % len(TEMPLATES)].split(" ")
    slots = [k for k, argument in enumerate(arguments) if "{" in argument]
    bad = {slots[rng.integers(len(slots))], *(k for k in slots if rng.integers(3) == 0)}
    for k in slots:
        kind = re.sub("[{}]", "", arguments[k])
        arguments[k] = BAD[kind][rng.integers(len(BAD[kind]))] if k in bad else GOOD[kind]
    if "mutated.onnx" in arguments:
        data = bytearray((folder / ("pa.onnx", "model.onnx")[rng.integers(2)]).read_bytes())
        for at in rng.integers(len(data), size=int(rng.integers(1, 20))):
            data[at] = rng.integers(256)
        (folder / "mutated.onnx").write_bytes(data)
    before = set(folder.iterdir())
    done = run(arguments, folder, SECONDS)
    found = Outcome()
    found.counts[f"exit code {done.code}" if done.code is not None else "hang"] += 1
    told = [line for line in done.lines if line.startswith("paconv: error:")]
    faults = []
    if done.code not in (0, 1, 2):
        faults.append("hang" if done.code is None else f"exit code {done.code}")
    if "Traceback" in done.err or (done.code in (1, 2) and len(told) != 1):
        faults.append(f"{len(told)} error lines and {len(done.lines) - len(told)} others")
    left = set(folder.iterdir()) - before
    if (folder / MARK).exists():
        faults.append("it ran code of the file")
    if (left and done.code in (1, 2)) or any(".tmp" in path.name for path in left):
        faults.append(f"left {sorted(path.name for path in left)}")
    for path in left:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if faults:
        last = done.lines[-1][:300] if done.lines else ""
        found.findings.append(f"{[a[:60] for a in arguments]}: {'; '.join(faults)}: {last}")
    return found


class _Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.system, (f"touch {self.folder}/{MARK}",)


@cache
def _folder() -> Path:
    """Good and bad files of every kind."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-commands-"))
    rng = np.random.default_rng(0)
    shutil.copy(CHECKPOINT, folder / "model.pt")
    assert run(["export", "model.pt", "-o", "model.onnx"], folder).code == 0
    optimize(folder / "model.onnx", folder / "pa.onnx")
    onnx.save(float_network(), folder / "float.onnx")
    np.savez(folder / "in.npz", input=rng.random((8, 1, 8, 8)).astype(np.float32))
    contents = {"empty": b"", "text.txt": b"hello\n" * 100, "binary": rng.bytes(5000), "zeros": bytes(4096)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    os.symlink("nowhere", folder / "dangling")
    os.symlink("loop", folder / "loop")
    for name, source, share in (("cut.onnx", "pa.onnx", 0.4), ("cut.pt", "model.pt", 0.6), ("cut.npz", "in.npz", 0.7)):
        data = (folder / source).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])
    _make_arrays(folder, rng)
    _make_checkpoints(folder)
    return folder


def _make_arrays(folder: Path, rng: np.random.Generator) -> None:
    np.save(folder / "evil.npy", np.array([_Evil(folder)], dtype=object), allow_pickle=True)
    np.savez(folder / "evil.npz", input=np.array([_Evil(folder)], dtype=object))
    np.savez(folder / "wrongname.npz", a=np.zeros((1, 1, 8, 8), np.float32), b=np.zeros(3))
    np.savez(folder / "wrongshape.npz", input=np.zeros((1, 3, 9, 9), np.float32))
    np.savez(folder / "text.npz", input=np.array(["a", "b"]))
    np.savez(folder / "nan.npz", input=np.full((1, 1, 8, 8), np.nan, np.float32))
    np.savez(folder / "batch0.npz", input=np.zeros((0, 1, 8, 8), np.float32))
    np.savez(folder / "complex.npz", input=np.zeros((1, 1, 8, 8), complex))

    def header(*shape: int) -> bytes:
        text = io.BytesIO()
        np.lib.format.write_array_header_1_0(text, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return text.getvalue()

    def archive(name: str, *parts: bytes, method: int = zipfile.ZIP_STORED) -> None:
        with zipfile.ZipFile(folder / name, "w", method) as archive:
            with archive.open("input.npy", "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part)

    archive("bomb.npz", header(1 << 12, 1, 8, 1 << 12), *[bytes(1 << 20)] * 512, method=zipfile.ZIP_DEFLATED)
    archive("huge_header.npz", header(1 << 40, 1, 8, 8))
    archive("bad_header.npz", b"\x93NUMPY\x01\x00\x10\x00(((((((((((((((((", bytes(100))
    archive("deep_header.npz", b"\x93NUMPY\x02\x00", (60000).to_bytes(4, "little"), b"(" * 60000)
    archive("damaged.npz", header(1, 1, 8, 8), rng.bytes(256), method=zipfile.ZIP_DEFLATED)
    data = bytearray((folder / "damaged.npz").read_bytes())
    data[70:200] = bytes(byte ^ 0x5A for byte in data[70:200])
    (folder / "damaged.npz").write_bytes(data)


def _make_checkpoints(folder: Path) -> None:
    torch.save(_Evil(folder), folder / "evil.pt")
    torch.save({"format": "paconv", "version": 1, "x": _Evil(folder)}, folder / "evil2.pt")
    (folder / "evil_old.pt").write_bytes(pickle.dumps(_Evil(folder), protocol=2))
    with zipfile.ZipFile(folder / "traversal.pt", "w") as archive:
        archive.writestr("../../../../fuzz_traversal/data.pkl", pickle.dumps({}))
    with zipfile.ZipFile(folder / "many.pt", "w") as archive:
        for k in range(3000):
            archive.writestr(f"a/{k}", b"")
        archive.writestr("a/data.pkl", pickle.dumps({}))
    whole = torch.load(folder / "model.pt", weights_only=True)
    state, conversion = whole["state_dict"], whole["conversion"]
    cyclic: dict = {}
    cyclic["config"] = cyclic
    for name, changes in {
        "absurd_config": {"config": {"num_classes": 10**12}},
        "negative": {"config": {"num_classes": -5}},
        "type": {"config": {"num_classes": "ten"}},
        "unknown": {"architecture": "../../etc/passwd"},
        "dunder": {"architecture": "__import__"},
        "shape": {"input_shape": [[1, 8, 10**9]]},
        "shape0": {"input_shape": [[]]},
        "conversion": {"conversion": {"plan": {"x": 1}}},
        "conversion2": {"conversion": {}},
        "conversion3": {"conversion": conversion | {"scheme": "nothing"}},
        "nostate": {"state_dict": {}},
        "nan": {"state_dict": {n: t * float("nan") if t.is_floating_point() else t for n, t in state.items()}},
        "sparse": {"state_dict": {n: t.to_sparse() if t.ndim == 4 else t for n, t in state.items()}},
        "expanded": {"state_dict": {"w": torch.zeros(1).expand(1 << 20, 1 << 20)}},
        "version": {"version": 2},
        "recursive": {"config": None},
        "cyclic": {"config": cyclic},
    }.items():
        torch.save(whole | changes, folder / f"{name}.pt")
