"""Known vulnerabilities of what wsgw needs, by PyPI's pip-audit (``make audit``); 1 where there are some.

Where its service cannot be reached, or knows none of the packages (a mirror, say), that is printed, and no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SBOM = Path(__file__).parents[1] / "gateway" / "sbom.py"
TIMEOUT_SECONDS = 120


def verdict(answer: str, said: str) -> tuple[int, str]:
    """The exit code and what to print, by what pip-audit wrote to standard output, and to standard error."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        lines = said.strip().splitlines() or ["it said nothing"]
        return 0, f"pip-audit skipped, its service cannot be reached: {lines[-1][:300]}"
    skipped = [each for each in dependencies if "skip_reason" in each]
    if len(skipped) == len(dependencies):
        reason = skipped[0]["skip_reason"] if skipped else "there are none"
        return 0, f"pip-audit skipped, its service knows none of {len(dependencies)} packages: {reason[:300]}"
    found = [
        f"{each['name']} {each['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'no version yet'}"
        for each in dependencies
        for one in each.get("vulns", ())
    ]
    looked = f"pip-audit: {len(dependencies) - len(skipped)} of {len(dependencies)} packages looked at"
    return (1 if found else 0), "\n".join([f"{looked}, {len(found)} known vulnerabilities", *found])


def main() -> int:
    """See the module."""
    pins = subprocess.run([sys.executable, str(SBOM), "--pins"], capture_output=True, text=True, check=True).stdout
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pins)
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "-r", file.name, "--no-deps", "--disable-pip", "-f", "json"]
        try:
            done = subprocess.run(
                [*command, "--progress-spinner", "off", "--timeout", "10"],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"pip-audit skipped: no answer within {TIMEOUT_SECONDS} s")
            return 0
    code, told = verdict(done.stdout, done.stderr)
    print(told)
    return code


if __name__ == "__main__":
    sys.exit(main())
