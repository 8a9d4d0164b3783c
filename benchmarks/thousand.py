"""What 1,000 policies a day cost on SDXL: `python -m benchmarks.thousand [--policies 1000] [--seconds 2.5] [--write]`.

Arithmetic, and no measurement on SDXL. Each number that goes in is stated with where it comes from, and what comes out
follows from it. `--write` puts both into `docs/operations.md`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from benchmarks.common.page import DOCS, put, table

FROM = {
    "policies": "a day",
    "questions": "to each of two models, at most: what `expunge plan policies/examples/demo.yaml` says, halved",
    "seconds": "of a GPU for a picture and its judgement: an assumption; measure yours",
    "picture": "MiB of a PNG of 1024 x 1024 pixels: an assumption",
    "files": "in the folder of SDXL, in diffusers layout",
    "model": "GiB of SDXL in half precision",
    "denoiser": "GiB of its denoiser in half precision, of 2.6 billion weights (arXiv 2307.01952)",
    "machines": "that draw for one policy",
    "receipts": "of a takedown that is published",
    "steps": "of the flow, each a task of Prefect",
}


@dataclass(frozen=True)
class Load:
    """A day's work; `FROM` says what each number is."""

    policies: int = 1000
    questions: int = 3528
    seconds: float = 2.5
    picture: float = 1.5
    files: int = 17
    model: float = 6.5
    denoiser: float = 4.8
    machines: int = 4
    receipts: int = 8
    steps: int = 14

    @property
    def pictures(self) -> int:
        """Return the pictures a day, if no two policies ask the base the same."""
        return 2 * self.questions * self.policies

    @property
    def gpu_hours(self) -> float:
        """Return the hours of a GPU a day."""
        return self.pictures * self.seconds / 3600

    @property
    def writes(self) -> int:
        """Return the S3 requests a day that write: each picture, of a model what changed and its list, receipts."""
        return self.pictures + self.policies * (3 + 2 * self.receipts)

    @property
    def reads(self) -> int:
        """Return the S3 requests a day that read.

        A picture is asked for in the stocktaking, twice before it is drawn, and once before it is written. A file of a
        model is asked for once before it is sent, and fetched by each machine.
        """
        models = (self.files + 2) * (1 + self.machines)
        return 4 * self.pictures + self.policies * (models + 4 * self.receipts)

    @property
    def stored(self) -> float:
        """Return the TiB that S3 gets a day: pictures, and each edited denoiser."""
        return (self.pictures * self.picture / 1024 + self.policies * self.denoiser) / 1024

    @property
    def fetched(self) -> float:
        """Return the TiB of models that machines fetch a day."""
        return self.policies * self.machines * self.model / 1024

    @property
    def rows(self) -> int:
        """Return the new rows of our database a day: one a request. Lines, checks and leases are written over."""
        return self.policies

    @property
    def prefect_rows(self) -> int:
        """Return those of Prefect's: of each run of a flow or step the run itself and its three states."""
        return self.policies * 4 * (1 + self.steps)


def page(load: Load) -> str:
    """Return what goes in, and what comes out with its formula, as Markdown."""
    given = [(field.name, f"{getattr(load, field.name):,}", FROM[field.name]) for field in fields(load)]
    results = [
        ("pictures", "2 x questions x policies", f"{load.pictures:,}"),
        ("GPU hours", "pictures x seconds / 3600", f"{load.gpu_hours:,.0f}"),
        ("GPUs all day", "GPU hours / 24", f"{load.gpu_hours / 24:,.0f}"),
        ("S3 writes", "pictures + policies x (3 + 2 x receipts)", f"{load.writes:,}"),
        (
            "S3 reads",
            "4 x pictures + policies x ((files + 2) x (1 + machines) + 4 x receipts)",
            f"{load.reads:,}",
        ),
        (
            "S3 reads and writes a second",
            "(S3 reads + S3 writes) / 86400",
            f"{(load.reads + load.writes) / 86400:,.0f}",
        ),
        ("TiB stored", "(pictures x picture / 1024 + policies x denoiser) / 1024", f"{load.stored:,.1f}"),
        ("TiB of models fetched", "policies x machines x model / 1024", f"{load.fetched:,.1f}"),
        ("rows of our database", "policies", f"{load.rows:,}"),
        ("rows of Prefect's", "policies x 4 x (1 + steps)", f"{load.prefect_rows:,}"),
    ]
    inputs = table(("in", "number", "what it is"), given)
    return f"{inputs}\n\n{table(('out, a day', 'formula', 'number'), results)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Load):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default, help=FROM[field.name])
    parser.add_argument("--write", action="store_true", help="then write docs/operations.md")
    args = vars(parser.parse_args())
    write = args.pop("write")
    text = page(Load(**args))
    print(text)
    if write:
        put("thousand", text, DOCS / "operations.md")


if __name__ == "__main__":
    main()
