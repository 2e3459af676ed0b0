"""English words drawn as small grey pictures, blurred, turned and noisy, for networks that read text."""

from __future__ import annotations

import random
import re
from pathlib import Path
from pydoc_data.topics import topics

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WORDS = sorted({word.lower() for text in topics.values() for word in re.findall(r"\b[A-Za-z]{4,9}\b", text)})
"""About 2,000 words of 4 to 9 letters, from Python's own documentation."""


def fonts() -> list[Path]:
    """Matplotlib's DejaVu fonts with the usual letters, sorted."""
    found = Path(matplotlib.get_data_path(), "fonts/ttf").glob("DejaVuS*.ttf")
    return sorted(path for path in found if "Display" not in path.name)


def rendered_words(count: int, seed: int, height: int, width: int) -> tuple[np.ndarray, list[str]]:
    """(pictures (count, height, width) uint8, the words on them)."""
    draw = random.Random(seed)
    pairs = [_rendered(draw, height, width) for _ in range(count)]
    return np.stack([picture for picture, _ in pairs]), [word for _, word in pairs]


def _rendered(draw: random.Random, height: int, width: int) -> tuple[np.ndarray, str]:
    word = draw.choice(WORDS)
    size, paper, ink = draw.uniform(0.41, 0.62) * height, draw.randint(150, 255), draw.randint(0, 90)
    font = ImageFont.truetype(draw.choice(fonts()), round(size))
    picture = Image.new("L", (width, height), paper)
    place = (draw.uniform(0.03, 0.12) * height, draw.uniform(0.06, 0.21) * height)
    ImageDraw.Draw(picture).text(place, word, fill=ink, font=font)
    picture = picture.rotate(draw.uniform(-3, 3), fillcolor=paper)
    picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0, 0.034) * height))
    noise = np.random.default_rng(draw.randrange(1 << 30)).normal(0, draw.uniform(0, 30), (height, width))
    return np.clip(np.asarray(picture, np.float64) + noise, 0, 255).astype(np.uint8), word


def decoded(scores: np.ndarray, characters: list[str]) -> list[str]:
    """Words of the scores (n, places, 1 + characters): the best at each place, repeats once, blanks (0) left out."""
    words = []
    for row in scores.argmax(2):
        kept = row[np.flatnonzero(np.diff(row, prepend=0))]
        words.append("".join(characters[index - 1] for index in kept if index))
    return words


def right(found: list[str], words: list[str]) -> float:
    """Part of the words that were read right, from 0 to 1, whatever the case of their letters."""
    return float(np.mean([a.strip().lower() == b for a, b in zip(found, words, strict=True)]))
