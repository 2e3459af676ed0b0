"""A page read as a browser reads it: elements, their attributes and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Element", "elements"]

_VOID = {"br", "hr", "img", "input", "link", "meta", "path"}


@dataclass
class Element:
    """text: of all that is inside."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    text: str = field(default="")


def elements(text: str) -> list[Element]:
    """In the order of the page. Raises AssertionError for a tag that is closed where another is open, or never."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open, [e.tag for e in reader.open]
    return reader.found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[Element] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {k: v or "" for k, v in attrs}, tuple(e.tag for e in self.open))
        self.found.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.found.append(Element(tag, {k: v or "" for k, v in attrs}, tuple(e.tag for e in self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1].tag == tag, (tag, [e.tag for e in self.open], self.getpos())
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.text += data
