"""Holm's step-down correction: p-values of many claims made together, adjusted so that hardly any claim is false."""

from collections.abc import Sequence


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values in the order of `p`, each in [0, 1].

    Reject every hypothesis with an adjusted p-value of at most alpha. Then the chance of one or more false rejections
    is at most alpha, whatever the dependence between them (Holm, Scand. J. Statist. 6, 1979). Raises ValueError on a
    p-value outside [0, 1].
    """
    if bad := [value for value in p if not 0 <= value <= 1]:
        raise ValueError(f"{bad[0]} is no p-value: it lies outside [0, 1]")
    adjusted, least = [1.0] * len(p), 0.0
    for step, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        least = max(least, min(1.0, (len(p) - step) * p[place]))
        adjusted[place] = least
    return tuple(adjusted)
