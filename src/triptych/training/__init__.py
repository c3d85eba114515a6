"""Training: the game engine (`gradients`, `step`), the loop with checkpoints (`loop`, `state`), and what a step costs.

Knows frameworks and networks by their contract only. Imports data, networks and frameworks.
"""
