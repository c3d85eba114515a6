"""Verdicts: from scores per seed to statements (`comparisons`), by statistics (`stats`), in sentences (`wording`).

Reads numbers and knows no tensor, so it imports the root modules alone.
"""
