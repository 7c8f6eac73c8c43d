"""What was measured, kept and summed up."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path

from bench.running import Values


class Results:
    """Every measurement by row and system; nothing is here that was not measured."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], list[Values]] = defaultdict(list)
        #: sentences about measurements that failed
        self.failures: list[str] = []

    def add(self, row: str, system: str, values: Values) -> None:
        """One more round."""
        self._values[row, system].append(values)

    def values(self, row: str, system: str, key: str) -> list[float]:
        """One value of each round."""
        return [values[key] for values in self._values.get((row, system), ()) if key in values]

    def median(self, row: str, system: str, key: str) -> float | None:
        """Over the rounds; None without any."""
        found = self.values(row, system, key)
        return statistics.median(found) if found else None

    def measured(self, row: str) -> list[str]:
        """The systems that the row was measured for."""
        return [system for name, system in self._values if name == row]

    def write(self, path: Path) -> None:
        """All of it as JSON: row, then system, then the rounds."""
        rows: dict[str, dict[str, list[Values]]] = {}
        for (row, system), rounds in self._values.items():
            rows.setdefault(row, {})[system] = rounds
        path.write_text(json.dumps(rows, indent=1) + "\n")
