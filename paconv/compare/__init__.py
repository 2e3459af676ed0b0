"""The paper's comparison on small data, or on one's own network and data: every scheme with the same chances.

    study    what is compared, and how every system is trained
    runs     one training
    tuning   which trainings there are: the rates, the choice of one on validation samples, the seeds
    deploy   the trained network as pa.onnx: what it costs, and whether it still says the same
    statistics, tables, pictures, report
"""

from __future__ import annotations

from paconv.compare.comparison import Comparison, compare
from paconv.compare.report import write_report
from paconv.compare.study import Study
from paconv.compare.systems import SYSTEMS, System, parse_system

__all__ = ["SYSTEMS", "Comparison", "Study", "System", "compare", "parse_system", "write_report"]
