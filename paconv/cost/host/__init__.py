"""What a network costs on this machine: rates fitted to measured times, and latencies predicted from them.

How data flows, one file per step:

    probe.py       a layer -> a model of one node, which paconv.measure.turns times
    work.py        a layer -> units of work, counted from its shape      fit.py       units and times -> rates
    calibrate.py   this machine -> HostModel, by way of cache.py         model.py     HostModel: all rates
    at_hand.py     the HostModel there is without measuring: kept by cache.py, or of shipped.py
    kernels.py     HostModel and a layer -> predicted seconds, for each kernel in a list
    speed.py       HostModel and a network -> its time beside float's, and the layers that are slower
    report.py      predictions as a table                                comparison.py  predictions beside measurements
"""
