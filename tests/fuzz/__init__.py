"""Attacks: mutated files, random networks, bad command lines and stopped commands, each a numbered case of a seed.

    python -m tests.fuzz files --seed 0 --count 100000       mutated files, against their function bodies
    python -m tests.fuzz networks --count 2000               random networks through `optimize` and `verify`
    python -m tests.fuzz commands --count 2000               command lines with bad arguments and files
    python -m tests.fuzz stops --count 200                   commands stopped, out of space, in a read-only folder

`make fuzz` runs them all; each has a short run among the tests. A case is what its seed and number say, so that a
finding can be had again with --first NUMBER --count 1.
"""
