"""Evaluation: what may be observed of a run (`observations`), measured by metrics in feature spaces (`scoring`).

One file per metric in `metrics`, one per feature space in `features`. Imports training and everything below it.
"""
