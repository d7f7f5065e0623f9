"""Where the documents of others are: beside the repository (`../shared/corpus`) or where KILN_CORPUS says."""

import os
import pathlib
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[3]


def folder():
    """The corpus, or None."""
    candidates = [SOURCE / up / "shared" / "corpus" for up in ("..", "../..")]
    if "KILN_CORPUS" in os.environ:
        candidates = [pathlib.Path(os.environ["KILN_CORPUS"])]
    return next((candidate.resolve() for candidate in candidates if candidate.exists()), None)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def table(file):
    """Rows of a table whose fields are divided by tabs; `#` begins a comment."""
    return [line.split("\t") for line in file.read_text().splitlines() if line and not line.startswith("#")]
