"""Attacks that are read beside a model which never knew the concept. Each is one idea, one file.

Most are given the concept's own pictures and hand some of that back whatever the model knows. So what they bring back
says something only as an excess over such a model, under the same budget and seeds. No level makes them and no verdict
counts them. `python -m benchmarks.hardened` makes them on all models and shows the excess.

Every file here that defines `ATTACK` is such an attack, and has the attack's name.
"""

from typing import Any

from expunge.engine.discover import discover
from expunge.engine.probes.attacks.compared.knows_hardened import KnowsHardened
from expunge.engine.probes.attacks.compared.own_pictures import OwnPictures
from expunge.engine.probes.attacks.compared.recall import Recall
from expunge.engine.probes.attacks.compared.tina import Tina

COMPARED: dict[str, type[Any]] = discover(__name__, "ATTACK")

__all__ = ["COMPARED", "KnowsHardened", "OwnPictures", "Recall", "Tina"]
