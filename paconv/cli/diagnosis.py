"""What of paconv is there on this machine, and what is missing for which command; torch isn't imported to tell."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from paconv import variables
from paconv._version import __version__
from paconv.cli.commands import COMMANDS
from paconv.errors import PaconvError
from paconv.extras import missing_package

__all__ = ["CORE", "Diagnosis", "Readiness", "diagnose"]

CORE = {"numpy": "numpy", "onnx": "onnx", "onnx_graphsurgeon": "onnx-graphsurgeon", "onnxruntime": "onnxruntime",
        "click": "click", "rich": "rich"}  # fmt: skip
"""Import name -> distribution of what every command needs."""

_OPTIONAL = {"torch": "torch", "onnxscript": "onnxscript", "numba": "numba", "matplotlib": "matplotlib",
             "jinja2": "jinja2", "PIL": "pillow", "sklearn": "scikit-learn", "scipy": "scipy",
             "tensorboard": "tensorboard"}  # fmt: skip
"""The same of what some need."""

_LIBRARY, _COMPILER = "the library", "a C compiler"

_NEEDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "train": {"": ("torch",), "--data digits": ("sklearn",), "--data folder:PATH": ("PIL",),
              "--tensorboard": ("tensorboard",)},
    "quantize": {"of a checkpoint": ("torch", "onnxscript"), "--data with pictures": ("PIL",)},
    "compare": {"": ("torch", "onnxscript", "matplotlib", "scipy", "sklearn", _LIBRARY)},
    "export": {"": ("torch", "onnxscript")},
    "optimize": {"--verify": (_LIBRARY,)},
    "verify": {"": (_LIBRARY,)},
    "report": {"": ("jinja2", _LIBRARY)},
    "summary": {"of a checkpoint": ("torch", "onnxscript")},
    "cost": {"of a checkpoint": ("torch", "onnxscript"), "--host": (_LIBRARY,), "--plot": ("matplotlib",)},
    "inspect": {"": (_LIBRARY,)},
    "deploy": {"": (_LIBRARY,)},
    "build-library": {"": ("numba", _COMPILER)},
    "bench": {"": (_LIBRARY,)},
    "bench-report": {"": ("torch", "onnxscript", "matplotlib", _LIBRARY)},
    "check-models": {"": ("torch", "onnxscript", _LIBRARY)},
}  # fmt: skip
"""Command -> what of it ("" for all) -> what that needs beside CORE."""


@dataclass(frozen=True)
class Readiness:
    """Whether a command can run here."""

    command: str
    """Its name."""
    ready: bool
    """Whether it can be run at all."""
    missing: tuple[str, ...]
    """What it needs and hasn't got, and how to get it; for a part of the command behind its name and a colon."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    packages: dict[str, str | None]
    """Distribution -> version; None where it isn't installed."""
    facts: dict[str, str]
    """What is looked at -> what was found, for a person."""
    library: str | None
    """What is wrong with the custom-op library; None where it can be used."""
    commands: tuple[Readiness, ...]
    """Every command but doctor."""

    @property
    def runs(self) -> bool:
        """Whether anything can run."""
        return any(command.ready for command in self.commands)

    def as_data(self) -> dict:
        """All of it as plain data."""
        return {
            "packages": self.packages,
            **self.facts,
            "library_usable": self.library is None,
            "commands": [{**vars(command), "missing": list(command.missing)} for command in self.commands],
        }


def diagnose() -> Diagnosis:
    """Look at everything; nothing is measured or built."""
    absent = {name: f"needs {CORE[name]}: pip install {CORE[name]}" for name in CORE if find_spec(name) is None}
    facts = {
        "paconv": f"{__version__}, in {Path(__file__).parents[1]}",
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    library: str | None = "needs the packages above"
    if not absent:
        library = _problem()
        facts |= _machine(library)
    if (torch := find_spec("torch")) is not None and torch.origin is not None:
        facts["CUDA"] = _cuda(Path(torch.origin).parent)
    facts["cache"] = _cache()
    if given := variables.given():
        facts["environment"] = ", ".join(f"{name}={value}" for name, value in given.items())
    lacks = _lacking(library)
    commands = tuple(_readiness(name, absent, lacks) for name in COMMANDS if name != "doctor")
    distributions = (*CORE.values(), *_OPTIONAL.values())
    return Diagnosis({name: _version(name) for name in distributions}, facts, library, commands)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _problem() -> str | None:
    from paconv.runtime.library import load_library

    try:
        load_library()
    except PaconvError as error:
        return str(error)
    return None


def _machine(library: str | None) -> dict[str, str]:
    """CPU, library and rates."""
    from paconv.cores import usable_cores
    from paconv.library_build.targets import BUILT
    from paconv.measure.machine import cpu_name

    facts = {"CPU": f"{cpu_name()}, {usable_cores()} cores"}
    if library is not None:
        return {**facts, "library": library}
    return {
        **facts,
        "level": _told(_level),
        "library": f"{BUILT}, built from these sources",
        "rates of kernels": _told(_kernel_rates),
        "rates of cost --host": _told(_host_rates),
    }


def _told(find: Callable[[], str]) -> str:
    """What `find` says, or why it can't."""
    try:
        return find()
    except PaconvError as error:
        return str(error)


def _level() -> str:
    from paconv.runtime.library import active_cpu, runnable_cpus

    return f"{active_cpu()}; this CPU runs kernels for {', '.join(runnable_cpus())}"


def _kernel_rates() -> str:
    from paconv.runtime.rates import rates_path

    path = rates_path()
    return f"measured, in {path}" if path.exists() else "shipped (`paconv inspect pa.onnx --measure` measures them)"


def _host_rates() -> str:
    from paconv.cost.host.cache import cache_path
    from paconv.measure.machine import host_identity

    path = cache_path(host_identity(1))
    return f"measured, in {path}" if path.exists() else "shipped (`paconv cost FILE --host` measures them)"


def _cuda(torch: Path) -> str:
    """What of CUDA is there for the torch in this folder, asked of its version and of the driver: importing torch takes
    seconds.
    """
    try:
        built = run_path(str(torch / "version.py")).get("cuda")
    except (OSError, SyntaxError, ImportError, NameError):
        return "not known"
    if not built:
        return "none: this torch is built without it"
    devices = _cuda_devices()
    found = "no driver" if devices is None else f"{devices} device{'' if devices == 1 else 's'}"
    return f"{found}; torch is built for CUDA {built}"


def _cuda_devices() -> int | None:
    """How many devices the driver sees; None where there is no driver."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
        return 0
    return None


def _cache() -> str:
    folder = variables.cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if not files:
        return f"{folder}: empty"
    return f"{folder}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e3:,.0f} kB"


def _lacking(library: str | None) -> dict[str, str]:
    """What isn't there -> how to get it."""
    lacks = {}
    for name in _OPTIONAL:
        if find_spec(name) is None:
            lacks[name] = str(missing_package(ModuleNotFoundError(name=name)))
    if library is not None:
        lacks[_LIBRARY] = "needs the custom-op library: `paconv build-library`"
    if not _has_compiler():
        lacks[_COMPILER] = "needs a C compiler: install gcc or clang, or set CC"
    return lacks


def _has_compiler() -> bool:
    from paconv.library_build.targets import host_target

    try:
        return host_target().compiler() is not None
    except PaconvError:
        return False


def _readiness(command: str, absent: Mapping[str, str], lacks: Mapping[str, str]) -> Readiness:
    missing, ready = list(absent.values()), not absent
    for part, needs in _NEEDS.get(command, {}).items():
        wanted = [lacks[need] for need in needs if need in lacks]
        ready = ready and not (wanted and not part)
        missing += [f"{part}: {way}" if part else way for way in wanted]
    return Readiness(command, ready, tuple(missing))
