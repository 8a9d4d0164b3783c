"""Pages and cards from the templates of a package."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def pages_of(package: str) -> Environment:
    """Return the templates in the folder `pages` of a package. They escape HTML and refuse a name without a value."""
    return Environment(
        loader=PackageLoader(package, "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
