"""Probes: the questions a model is asked to find out whether it still knows a concept."""

from expunge.engine.probes.prompts import Question, Subject, questions

__all__ = ["Question", "Subject", "questions"]
