"""Samples for a network: arrays, pictures and MNIST's files, read and checked. Needs no torch."""
