"""The base models that come with the installation, and the largest file that a model may have."""

from __future__ import annotations

from expunge.engine import emoji

LARGEST_OBJECT = 5 * 2**30  # what S3 takes in one request, which alone it can make conditional and check by a sha256


BUILT_IN = {"builtin:emoji": (emoji.MODEL, emoji.JUDGE)}


def too_large(size: int) -> str:
    """How a file of so many bytes is more than S3 takes, which it would say after hours of proof; "" if it is not."""
    if size <= LARGEST_OBJECT:
        return ""
    return f"has {size / 2**30:.1f} GiB, and S3 takes {LARGEST_OBJECT // 2**30} a file"
