"""Runs of Tasks of the catalog: a TaskRun of ours and the Task, with peers on this machine."""

import pathlib
import re
import tomllib

from document_run import DocumentRun
from expectation import same
from peers import peers

HERE = pathlib.Path(__file__).resolve().parent


class CatalogRun(DocumentRun):
    """A TaskRun of catalog/ beside the Task of the same name."""

    def __init__(self, name, task, expected):
        images = re.findall(r"^[\s-]*image:\s*['\"]?([^\s'\"]+)", task.read_text(), re.MULTILINE)
        super().__init__(name, HERE / "catalog" / f"{name}.yaml", {"reason": "Succeeded", **expected}, images)
        self.task = task

    def outcome(self, world):
        with peers(world.folder / "peers") as (kept, places):
            text = self.file.read_text()
            for mark, place in places.items():
                text = text.replace(mark, place)
            document = world.folder / "run.yaml"
            document.write_text(text)
            said = self.kiln_run(world, [self.task, document])
            return said or same(self.expected.get("requests", []), kept, "requests")


def runs(folder):
    """Of every Task: a run, or nothing but the reason why it is skipped."""
    table = tomllib.loads((HERE / "catalog.toml").read_text())
    reasons = {name: reason for reason, names in table["skipped"].items() for name in names}
    found = []
    for task in sorted(folder.glob("*.yaml")):
        if task.stem in table["runs"]:
            found.append(CatalogRun(task.stem, task, table["runs"][task.stem]))
        else:
            found.append(DocumentRun(task.stem, task, {}))
            found[-1].skipped = reasons.get(task.stem, "catalog.toml does not speak of it")
    return found
