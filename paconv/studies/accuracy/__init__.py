"""The paper's comparison on small data, or on one's own network and data: every scheme with the same chances.

    study         what is compared, and how every system is trained
    systems       the float network, and the schemes with their planes
    comparison    which trainings there are, and what came out of them
    runs          one training; workers: several at once, each in a process of its own
    deploy        the trained network as pa.onnx: what it costs, and whether it still says the same
    records       what a step found, kept so that a comparison that was stopped goes on
    statistics, tables, approximation, pictures, report

`paconv.compare` is this module.
"""

from __future__ import annotations

from paconv.studies.accuracy.comparison import Comparison, compare
from paconv.studies.accuracy.report import write_report
from paconv.studies.accuracy.study import Study
from paconv.studies.accuracy.systems import SYSTEMS, System, parse_system

__all__ = ["SYSTEMS", "Comparison", "Study", "System", "compare", "parse_system", "write_report"]
