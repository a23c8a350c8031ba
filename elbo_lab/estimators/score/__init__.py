"""The score-function gradient in phi, and what makes it less noisy.

baselines           what is subtracted from log w: nothing, past values, the other draws
learned             a baseline that a small network learns from the datum
control_variates    multiples of a variable of known mean: the score, log w linearised
sets                few values of a discrete z: the most probable exactly, or none twice
oracle              the best constant baseline, computed exactly: a reference
"""
