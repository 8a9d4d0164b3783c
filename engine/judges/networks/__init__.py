"""Networks that judges look through: CLIP and dlib's two for faces."""
