"""The paper reproduced: both protocols, every claim with a verdict (`triptych reproduce paper`).

Source: "VAE vs GAN vs VAE-GAN", course report, University of Toronto, 2021, and its notebook. `designs` has the
studies, `quirks` what the published code did, `claims.toml` the claims (judged by `triptych.claims`), `page` what a
reader gets, and `run` does all of it.
"""
