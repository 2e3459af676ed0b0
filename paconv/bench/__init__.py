"""Measuring what your model takes on this machine: `paconv bench`.

    sessions.py     files -> sessions with the same input       models.py       sessions in turns -> a result, tables.py
    per_layer.py    each PABitConv of a model alone             peaks.py        what this machine's kernels can reach
    int8.py         a float model as onnxruntime quantizes it   int8_form.py    which 8-bit form it advises for this CPU
    int8_models.py  the 8-bit models among those timed          int8_reading.py which forms a model has
    output_error.py how far outputs are off another model's

The turns themselves are taken in paconv.measure.turns: ratios hold on a machine that is not quiet. The whole comparison
that `paconv bench-report` makes is in paconv.studies.speed.
"""
