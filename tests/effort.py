"""How many examples a test tries."""

from hypothesis import settings

__all__ = ["examples"]

FEWEST = 10


def examples(count: int) -> int:
    """`count` under hypothesis' profile "ci"; of many a seventh by hand (tests/conftest.py has the profiles)."""
    share = settings().max_examples / settings.get_profile("ci").max_examples
    return max(round(count * share), min(count, FEWEST))
