"""The two assurances of a PASS, for a reader who knows no machine learning."""

WORDS_OR_WEIGHTS = (
    "By words means that prompts no longer show it; by weights means that, besides, attacks that had the weights and "
    "learned from pictures of it did not bring it back."
)
"""The two assurances in one sentence."""
