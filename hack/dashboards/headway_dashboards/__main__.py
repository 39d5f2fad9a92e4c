"""Write the JSON of all dashboards: python -m headway_dashboards charts/headway/files/dashboards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headway_dashboards import all_dashboards
from headway_dashboards.parts import Dashboard


def text(dashboard: Dashboard) -> str:
    """A dashboard's file."""
    return json.dumps(dashboard.to_json(), indent=1, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write all files into a folder; what else is there was one's before and goes."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {dashboard.file: text(dashboard) for dashboard in all_dashboards()}
    for old in folder.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("give one folder, such as charts/headway/files/dashboards")
    main(Path(sys.argv[1]))
