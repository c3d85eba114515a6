"""`triptych measure`: sets of samples that any program has made against real images, without a run.

Images are read and brought to one shape (`images`); metrics see two sets (`observed`); scores get baselines (`scores`)
and the standard errors that metrics do not give themselves (`jackknife`). Metrics, feature spaces and verdicts are
those of a study.
"""
