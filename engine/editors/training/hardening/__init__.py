"""The parts of `hardened`: what the unedited model is asked once, the searches, and the contest between them."""
