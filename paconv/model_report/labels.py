"""Names of layers as a reader sees them: torch's exporter writes each name as its whole path, "/a/a.0/a.0.1/Conv"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["labels"]

_OPS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def labels(names: Iterable[str]) -> dict[str, str]:
    """Name -> label: the same where nothing can be left out, or two would be called alike."""
    names = list(names)
    short = {name: _short(name) for name in names}
    often = Counter(short.values())
    return {name: label if often[label] == 1 else name for name, label in short.items()}


def _short(name: str) -> str:
    """ "/a/a.0/a.0.1/b/Conv" -> "a.0.1/b": no op at the end, no part that the next one begins with."""
    if not name.startswith("/"):
        return name
    parts = [part for part in name.split("/") if part]
    if len(parts) > 1 and parts[-1] in _OPS:
        parts.pop()
    kept = [a for a, b in zip(parts, [*parts[1:], ""], strict=True) if not b.startswith(f"{a}.")]
    return "/".join(kept) or name
