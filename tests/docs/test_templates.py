"""Subjects that claims fill, as docs/configuration.md has them: its table, and its code in three languages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.node import require_node
from wsgw.channels.template import template_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([^`]+)` \| (`[^`]+`|refused) \| `([\w-]+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)
ROWS = [(sub, plain.strip("`"), base64url, sha256) for sub, plain, base64url, sha256 in _ROW.findall(PAGE)]
SUBS = [row[0] for row in ROWS]
WANTED = [[row[2], row[3]] for row in ROWS]

GO = """package main
import ("crypto/sha256"; "encoding/base64"; "encoding/json"; "fmt"; "os")
%s
func main() {
	made := [][]string{}
	for _, sub := range os.Args[1:] { made = append(made, []string{base64url(sub), sha256hex(sub)}) }
	said, _ := json.Marshal(made)
	fmt.Println(string(said))
}
"""
NODE = "%s\nconsole.log(JSON.stringify(process.argv.slice(2).map((sub) => [base64url(sub), sha256hex(sub)])));\n"
PYTHON = (
    "import base64, hashlib, json, sys\n%s\nprint(json.dumps([[base64url(s), sha256hex(s)] for s in sys.argv[1:]]))\n"
)


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?base64url.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def said_by(*command: str | Path) -> object:
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    done = subprocess.run([*command, *SUBS], capture_output=True, check=True, timeout=120, env=environment)
    return json.loads(done.stdout)


def test_the_table() -> None:
    assert len(ROWS) == 3
    for sub, plain, base64url, sha256 in ROWS:
        for encoding, wanted in (("", plain), ("|base64url", base64url), ("|sha256", sha256)):
            template = template_of(f"u.{{sub{encoding}}}")
            assert template is not None
            if wanted == "refused":
                with pytest.raises(ValueError, match="one token"):
                    template.values({"sub": sub})
            else:
                assert template.values({"sub": sub}) == (wanted,)


def test_go(tmp_path: Path) -> None:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        pytest.skip("there is no Go")
    (tmp_path / "main.go").write_text(GO % block("go"), encoding="utf-8")
    assert said_by(go, "run", tmp_path / "main.go") == WANTED


def test_node(tmp_path: Path) -> None:
    require_node()
    (tmp_path / "main.cjs").write_text(NODE % block("js"), encoding="utf-8")
    assert said_by("node", tmp_path / "main.cjs") == WANTED


def test_python(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PYTHON % block("python"), encoding="utf-8")
    assert said_by(sys.executable, tmp_path / "main.py") == WANTED
