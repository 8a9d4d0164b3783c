"""Text: wordings of concepts, and what a model's tokenizers and text encoders make of them."""
