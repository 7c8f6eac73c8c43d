"""No Python file over 400 lines: one noun per file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
FOLDERS = ("gateway", "scripts", "tests", "bench")


def test_no_file_is_too_long() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    assert len(files) > 50
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}
