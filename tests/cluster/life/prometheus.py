"""A real Prometheus that scrapes operators on this machine."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from harness import HACK_CLUSTER, run
from ports import free_port


class Prometheus:
    """One Prometheus; scrapes once a second."""

    def __init__(
        self, folder: Path, ports: dict[str, int], *rules: Path, also: Sequence[tuple[int, dict[str, str]]] = ()
    ) -> None:
        """ports: of operators, by replica. also: other ports to scrape, and the labels that their series get."""
        self.port = free_port()
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"replica": replica, "namespace": "headway-system"}}
            for replica, port in ports.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": "headway", "static_configs": targets},
                {
                    "job_name": "others",
                    "honor_labels": True,
                    "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels} for port, labels in also],
                },
            ],
        }
        self._config = folder / "prometheus.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self._folder = folder

    def __enter__(self) -> Self:
        words = [
            run(HACK_CLUSTER, "which", "prometheus", timeout=600).strip(),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
            "--enable-feature=exemplar-storage",
        ]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str, **query: str) -> Any:
        """What its API answers; None while it does not."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def ask(self, query: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The values of an instant query, by some labels."""
        found = self.get("query", query=query) or {"result": []}
        return {
            tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1]) for one in found["result"]
        }

    def scraped_after(self, moment: float) -> bool:
        """Whether every target was scraped, with success, after a time of time.time."""
        up = self.ask("up", "replica")
        times = self.ask("timestamp(up)", "replica")
        return set(up.values()) == {1} and len(times) == len(up) and all(when > moment for when in times.values())
