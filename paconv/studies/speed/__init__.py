"""The whole comparison of speed, which `paconv bench-report` makes: layers and networks beside float, int8 and Larq.

    layers.py       single layers: float, int8, Larq, PA        networks.py     whole networks, timed
    builds.py       ResNets as files: float, PA, int8           recode.py       a packed model with another M and N
    larq.py         Larq Compute Engine: larq_worker.py,        memory.py       a fresh process for each model:
                    run by another Python                                       serve_once.py
    int8_layer.py   one convolution in an 8-bit form            ports.py        peaks, counted from instructions
    measured.py     one measurement
    comparison.py   all of these -> one result                  goals.py        the result beside what was aimed at
    report.py       the result as Markdown, JSON and plot.py

What times a user's model is in paconv.bench.
"""
