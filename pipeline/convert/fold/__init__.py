"""Exact folding: batch norms into weights, pools into kernels, until only what neurons can carry is left.

rebuild.py    the whole of it, node by node
moves.py      what has no weights: pools, borders, up-sampling, flattening, concatenations, sums
neurons.py    where activations stand, and where neurons have to be added
merge.py      the formulas: two operations as one
graph.py      the graph so far, and questions about it
check.py      whether the result computes what the model computes
"""
