"""Probes: the questions that test whether a model still knows a concept."""

from expunge.engine.probes.prompts.families import Question, Subject, questions

__all__ = ["Question", "Subject", "questions"]
