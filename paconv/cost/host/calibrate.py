"""Measuring a host: times of one-node models, and the rates fitted to them.

First what doesn't depend on M and N, from a few pairs together: convolutions with wide inputs and few outputs show
the gather, 1x1 convolutions with many outputs the finish, 3x3 convolutions the AND + popcount. Then, for each
(M, N) that is asked for, its own rates of `word` and `output`, with the gather's taken as known. Level codes take one
fit for every (M, N). A probe runs the kernel that it is for, whichever onnxruntime's session would choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from paconv.cost.host.cache import cache_path, load, store
from paconv.cost.host.fit import fit_rates, median_error, seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.probe import Probe, addition, bit_conv, conv, float_layer, integer_conv, nothing
from paconv.cost.host.work import GATHER_UNITS, PLANE_UNITS, bit_work, code_work, float_work
from paconv.errors import UsageError
from paconv.measure.machine import host_identity
from paconv.measure.turns import Timed, best_times
from paconv.network.layers import LINEAR, Layer

__all__ = ["Measure", "calibrated", "fit_planes", "fit_shared", "host_model", "measured_alone", "times_alone"]

Work = Mapping[str, float]
Measure = Callable[[Sequence[Probe], float], list[float]]
"""(probes, seconds to spend) -> best seconds of each, a call's overhead taken off."""

_SHARED_PLANES = ((1, 1), (1, 4), (2, 2), (4, 5))

_SHARED = (
    conv(256, 16, 56, 1), conv(64, 16, 56, 1, 2), conv(512, 16, 14, 1), conv(1024, 16, 7, 1),
    conv(32, 512, 28, 1), conv(64, 256, 56, 1), conv(256, 256, 14, 1, 2), conv(64, 64, 28), conv(256, 256, 14),
)  # fmt: skip

_PLANES = (conv(64, 64, 28), conv(256, 128, 14), conv(512, 128, 7), conv(64, 512, 14, 1))

_CODES = ((4, 2), (4, 8))
"""Two pairs, to separate comparing from the rest of the gather; at both, one-byte codes aren't exact for the probes'
levels.
"""

_FLOAT = (
    conv(3, 64, 224, 7, 2), conv(3, 32, 112), conv(64, 64, 56), conv(64, 128, 56, 3, 2), conv(128, 128, 28),
    conv(256, 256, 14), conv(512, 512, 7), conv(256, 512, 14, 3, 2), conv(64, 128, 56, 1, 2),
    conv(64, 256, 56, 1), conv(256, 64, 56, 1), conv(256, 512, 14, 1, 2), conv(2048, 512, 7, 1),
    conv(128, 128, 28, group=128), conv(512, 512, 14, group=512),
    Layer("512 to 1000", LINEAR, (1000, 512), (1, 512), (1, 1000)),
    Layer("2048 to 1000", LINEAR, (1000, 2048), (1, 2048), (1, 1000)),
)  # fmt: skip

_INTEGER = (conv(64, 64, 56), conv(128, 128, 28), conv(256, 256, 14))

_ADDED = (1, 64, 56, 56)

_SHARED_SECONDS, _PLANES_SECONDS, _CODES_SECONDS, _OTHER_SECONDS = 8.0, 0.4, 6.0, 6.0


def host_model(
    threads: int,
    planes: Iterable[tuple[int, int]],
    refresh: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> HostModel:
    """The model of this host with rates for these (M, N): from the cache, what is missing measured and stored.

    Args:
        threads: Of onnxruntime's own pool, at least 1.
        planes: The (M, N).
        refresh: Measure all of it anew.
        progress: Called with a line on what is being measured.

    Raises:
        UsageError: `threads` is less than 1.
        ModelError: A cache file can't be used.
    """
    if threads < 1:
        raise UsageError(f"--threads: expected at least 1; found {threads}")
    identity = host_identity(threads)
    path = cache_path(identity)
    known = None if refresh else load(path)
    found = calibrated(identity, planes, measured_alone(threads), known, progress)
    if found is not known:
        store(path, found)
    return found


def measured_alone(threads: int) -> Measure:
    """Measures probes one by one, in turns, on this many threads."""
    return lambda probes, budget: times_alone(
        [Timed(probe.model, threads, kernel=probe.kernel) for probe in probes], budget, threads
    )


def times_alone(sessions: Sequence[Timed], budget: float, threads: int) -> list[float]:
    """Best seconds of each session, less those of a call without work; at least a nanosecond."""
    *times, empty = best_times([*sessions, Timed(nothing(), threads)], budget)
    return [max(time - empty, 1e-9) for time in times]


def calibrated(
    identity: Mapping[str, str | int],
    planes: Iterable[tuple[int, int]],
    measure: Measure,
    known: HostModel | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> HostModel:
    """`known` with what is missing measured; `known` itself if nothing is."""
    host = known
    if host is None:
        progress("measuring this host's rates (kept for later runs)")
        host = _base(identity, measure)
    missing = sorted(set(planes) - set(host.planes))
    for number, (M, N) in enumerate(missing, 1):
        progress(f"measuring bit planes M={M}, N={N} ({number} of {len(missing)})")
        works = [bit_work(layer, M, N) for layer in _PLANES]
        times = measure([Probe(bit_conv(layer, M, N), "planes") for layer in _PLANES], _PLANES_SECONDS)
        host = replace(host, planes={**host.planes, (M, N): fit_planes(works, times, host.gather)})
    return host


def fit_shared(cases: Sequence[tuple[tuple[int, int], Work]], times: Sequence[float]) -> tuple[dict[str, float], float]:
    """Rates of the gather (GATHER_UNITS) from bit-plane work at several (M, N), and the fit's median error.

    cases: ((M, N), units of work). word and output have rates of each (M, N)'s own in this fit, which are let go.
    """
    works = [{(unit if unit in GATHER_UNITS else f"{unit} {planes}"): n for unit, n in work.items()}
             for planes, work in cases]  # fmt: skip
    rates = fit_rates(works, times)
    return {unit: rates[unit] for unit in GATHER_UNITS}, median_error(works, times, rates)


def fit_planes(works: Sequence[Work], times: Sequence[float], gather: Mapping[str, float]) -> dict[str, float]:
    """Rates of one (M, N) (PLANE_UNITS) from its works and times, the gather's rates known."""
    known = [seconds({unit: work[unit] for unit in GATHER_UNITS}, gather) for work in works]
    return fit_rates([{unit: work[unit] for unit in PLANE_UNITS} for work in works], times, known)


def _base(identity: Mapping[str, str | int], measure: Measure) -> HostModel:
    """Everything but the (M, N) asked for."""
    cases = [(layer, planes) for planes in _SHARED_PLANES for layer in _SHARED]
    times = measure([Probe(bit_conv(layer, *planes), "planes") for layer, planes in cases], _SHARED_SECONDS)
    gather, shared_error = fit_shared([(planes, bit_work(layer, *planes)) for layer, planes in cases], times)
    codes, codes_error = _codes(measure)
    models = [*map(float_layer, _FLOAT), *map(integer_conv, _INTEGER), addition(_ADDED)]
    others = measure([Probe(model) for model in models], _OTHER_SECONDS)
    float_times, integer_times = others[: len(_FLOAT)], others[len(_FLOAT) : -1]
    float_works = [float_work(layer) for layer in _FLOAT]
    real = fit_rates(float_works, float_times)
    return HostModel(
        identity=identity,
        gather=gather,
        planes={},
        codes=codes,
        real=real,
        element=others[-1] / (2 * prod(_ADDED)),
        integer_mac=min(time / layer.macs for layer, time in zip(_INTEGER, integer_times, strict=True)),
        fit_errors={
            "float": median_error(float_works, float_times, real),
            "bit_planes": shared_error,
            "level_codes": codes_error,
        },
    )


def _codes(measure: Measure) -> tuple[dict[str, float], float]:
    """Rates of level codes (CODE_UNITS), and the fit's median error."""
    cases = [(layer, planes) for planes in _CODES for layer in (*_SHARED, *_PLANES)]
    works = [code_work(layer, N) for layer, (_, N) in cases]
    times = measure([Probe(bit_conv(layer, *planes), "codes") for layer, planes in cases], _CODES_SECONDS)
    rates = fit_rates(works, times)
    return rates, median_error(works, times, rates)
