"""Measuring what models take on this machine: `paconv bench` for yours, `paconv bench-report` for the whole comparison.

    sessions.py     files -> sessions with the same input       environment.py  the machine and the versions
    models.py       sessions in turns -> a result               per_layer.py    each PABitConv of a model alone
    limits.py       what this machine's kernels can reach       ports.py        the same, counted from instructions

    layers.py       single layers: float, int8, Larq, PA        networks.py     whole networks, built and timed
    builds.py       ResNets as files: float, PA, int8.py        recode.py       a packed model with another M and N
    larq.py         Larq Compute Engine in larq_worker.py,      memory.py       a fresh process for each model,
                    another Python                                              serve_once.py
    comparison.py   all of these -> one result                  targets.py      the result beside what was aimed at
    report.py       the result as Markdown, JSON and plot.py

Timing itself is paconv.cost.host.timing: all sessions take turns, so that ratios hold on a machine that is not quiet.
"""
