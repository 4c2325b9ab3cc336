"""Updates as one graph: losses, gradients, optimiser steps and target networks together."""
