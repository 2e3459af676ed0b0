"""The page in a real browser, Debian's chromium if it is there: no errors, nothing wider than the window, it prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from paconv.model_report.render import html

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium"),
]

# A frame is as wide as it is told, and its page takes it for the window; a window itself is 500 pixels wide at least.
FRAME = """<!doctype html><meta charset="utf-8"><body><script>
const found = [];
const all = {widths};
function next() {{
  const width = all.shift();
  if (width === undefined) {{ document.body.dataset.found = JSON.stringify(found); return; }}
  const frame = document.createElement("iframe");
  frame.style.width = width + "px"; frame.style.height = "900px"; frame.src = "{page}";
  frame.onload = () => {{
    const page = frame.contentDocument.documentElement;
    const wide = [...frame.contentDocument.querySelectorAll("main *")].filter(
      e => !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > page.clientWidth + 1);
    const small = [...frame.contentDocument.querySelectorAll("main a")].filter(
      e => !e.closest("svg") && parseFloat(frame.contentWindow.getComputedStyle(e).fontSize) < 11);
    found.push({{width, client: page.clientWidth, scroll: page.scrollWidth, small: small.length,
      wide: wide.map(e => e.outerHTML.slice(0, 80)), text: frame.contentDocument.body.innerText.length}});
    frame.remove(); next();
  }};
  document.body.append(frame);
}}
next();
</script>"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
               "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


@pytest.fixture(scope="module")
def page(full, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html(full), encoding="utf-8")
    return path


def test_it_fits_a_phone_a_laptop_and_4k_without_an_error(page, tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(widths="[360, 1280, 3840]", page=page.as_uri()), encoding="utf-8")
    done = chromium(tmp_path, "--virtual-time-budget=20000", "--dump-dom", frame.as_uri())
    found = json.loads(unescape(re.search(r'data-found="([^"]*)"', done.stdout)[1]))
    assert [f["width"] for f in found] == [360, 1280, 3840]
    for f in found:
        assert f["scroll"] == f["client"] and f["wide"] == [] and f["small"] == 0 and f["text"] > 5000
    assert "CONSOLE" not in done.stderr


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_painted_light_or_dark_as_the_reader_likes(dark, page, tmp_path):
    image = pytest.importorskip("PIL.Image")
    done = chromium(
        tmp_path, f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--window-size=800,600",
        f"--screenshot={tmp_path / 'shot.png'}", page.as_uri(),
    )  # fmt: skip
    with image.open(tmp_path / "shot.png") as shot:
        corner = sum(shot.convert("RGB").getpixel((2, 2)))
    assert corner < 150 if dark else corner > 600
    assert "CONSOLE" not in done.stderr


def test_it_prints(page, tmp_path):
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", page.as_uri())
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1
