"""The version of this package, which files and reports carry. Nothing else, so that anything may import it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
