"""The errors paconv raises.

Every message is for the reader: what was expected, what was found, where, and what to do. The command
line prints the message alone, in one line, and exits with a non-zero status.
"""

__all__ = [
    "CheckpointError",
    "DataError",
    "ExportError",
    "ModelError",
    "OpError",
    "PaconvError",
    "TrainingError",
    "UsageError",
    "VerifyError",
]


class PaconvError(Exception):
    """Base of every error that paconv raises on purpose."""


class UsageError(PaconvError):
    """An argument or option has no valid meaning (M=0, an unknown rule, a missing input shape)."""


class ModelError(PaconvError):
    """A model file or graph can't be read, is inconsistent, or holds something that isn't supported."""


class OpError(ModelError):
    """A node of one of paconv's ops has a malformed attribute, shape, dtype or weight."""


class CheckpointError(PaconvError):
    """A checkpoint can't be read, or doesn't fit the model it is loaded into."""


class ExportError(PaconvError):
    """A torch model can't be exported to ONNX."""


class VerifyError(PaconvError):
    """Two models that should agree don't."""


class DataError(PaconvError):
    """Data can't be read, or aren't what was expected (an empty folder, a damaged image, an unknown class)."""


class TrainingError(PaconvError):
    """Training can't go on: a loss or a gradient is no finite number."""
