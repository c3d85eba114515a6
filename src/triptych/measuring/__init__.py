"""Metrics of images that any program has made: sets of samples against real images, without a run (`command`).

Reading and bringing to one shape (`images`), what metrics may see of two sets (`observed`), standard errors that metrics
do not give themselves (`jackknife`). Metrics, feature spaces and verdicts are those of a study.
"""
