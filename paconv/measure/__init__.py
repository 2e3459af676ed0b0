"""Measuring on this machine: which it is, and how long calls take on one that does other things too.

turns.py        sessions that take turns -> the time of every call, so that ratios hold
timing.py       many calls of one thing -> best, median, noise, ratio to another
features.py     which vector and integer instructions there are
machine.py      the CPU's name, and all that measured rates depend on
environment.py  the machine, the versions and the variables, stored with every result
"""
