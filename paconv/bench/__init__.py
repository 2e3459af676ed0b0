"""Measuring what models take on this machine: `paconv bench` for yours, `paconv bench-report` for the whole comparison.

    sessions.py     files -> sessions with the same input       environment.py  the machine and the versions
    models.py       sessions in turns -> a result, tables.py    per_layer.py    each PABitConv of a model alone
    limits.py       what this machine's kernels can reach       ports.py        the same, counted from instructions
    timing.py       many calls -> best, median, ratio, noise    measured.py     one measurement of the comparison

    layers.py       single layers: float, int8, Larq, PA        networks.py     whole networks, timed
    builds.py       ResNets as files: float, PA, int8.py        recode.py       a packed model with another M and N
    larq.py         Larq Compute Engine: larq_worker.py,        memory.py       a fresh process for each model:
                    run by another Python                                       serve_once.py
    comparison.py   all of these -> one result                  targets.py      the result beside what was aimed at
    report.py       the result as Markdown, JSON and plot.py

The turns themselves are taken in paconv.measure.turns: ratios hold on a machine that is not quiet.
"""
