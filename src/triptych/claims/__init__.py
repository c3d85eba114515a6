"""Claims: a claims file (TOML) and the directories of studies in, a verdict on every claim out.

`results` reads the runs, `spec` says what a part of a claim is, `quantities` what is read off one run, `contrasts`
combines runs into one value per seed, `judging` tests these values and `wording` says the answer, `engine` turns the
answers into verdicts on claims, `checking` says before anything runs what a study cannot answer, and `command` is
`triptych claims`. Imports everything but `papers` and the command line.
"""
