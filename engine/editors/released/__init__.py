"""Parts of `scapre-released`: measures of rows, and sums over masked rows."""
