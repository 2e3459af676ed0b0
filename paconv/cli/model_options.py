"""Options that several commands have of how a model is read, and of what is fed to it."""

from __future__ import annotations

import click

__all__ = ["factory_option", "random_shape_option", "trust_pickle_option"]

factory_option = click.option(
    "--model",
    "factory",
    metavar="PKG.MOD:FUNCTION",
    help="For a checkpoint: function that returns the float model, as in paconv export.",
)

trust_pickle_option = click.option(
    "--trust-pickle", is_flag=True, help="Read a whole pickled module. This runs code stored in the file."
)

random_shape_option = click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Sizes of free dimensions of random samples: 3x224x224 (CxHxW), INPUT=3x224x224 or DIMENSION=224. May be "
    "repeated.",
)
