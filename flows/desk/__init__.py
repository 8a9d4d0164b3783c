"""The desk: a small web application in which a person handles a notice, from its receipt to its publication.

Every page calls the functions that the commands call; nothing exists here alone.
"""

from expunge.flows.desk.app import make_app

__all__ = ["make_app"]
