"""Topics: what a score bears on, and the words that verdicts and the report use for it.

The built-in topics are declared here. A metric from outside the package may bring a `Topic` of its own in its own
file: `metrics.json` carries the topic of every score, so whatever reads a study needs no code for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A question that scores help to answer.

    `title` is a heading ("Latent space"). `question` is what people ask ("Who samples best?"); where it is empty the
    title takes its place. `subject` is what of a framework is judged ("samples", as in "VAE's samples are better");
    where it is empty the framework itself is. The report shows topics by `order`, then by name.
    """

    name: str
    title: str
    question: str = ""
    subject: str = ""
    order: int = 100


SAMPLES = Topic(name="samples", title="Samples", question="Who samples best?", subject="samples", order=1)
DIVERSITY = Topic(name="diversity", title="Diversity", question="Who covers the data?", subject="samples", order=2)
RECONSTRUCTION = Topic(
    name="reconstruction",
    title="Reconstruction",
    question="Who reconstructs best?",
    subject="reconstructions",
    order=3,
)
TRANSLATION = Topic(name="translation", title="Translation", question="Who copes best with translated images?", order=4)
LIKELIHOOD = Topic(name="likelihood", title="Likelihood", question="Who has the highest likelihood?", order=5)
LATENT = Topic(name="latent", title="Latent space", order=6)
ROBUSTNESS = Topic(name="robustness", title="Robustness", order=7)
STABILITY = Topic(name="stability", title="Stability", order=8)
CONVERGENCE = Topic(name="convergence", title="Over the course of training", order=9)

BUILT_IN = (
    SAMPLES,
    DIVERSITY,
    RECONSTRUCTION,
    TRANSLATION,
    LIKELIHOOD,
    LATENT,
    ROBUSTNESS,
    STABILITY,
    CONVERGENCE,
)
