"""From a folded CNN and the scales of its populations to the layers and neurons of a Network.

build.py       the layers, weights in the units of the spikes that arrive
neuron.py      the neurons of one population
discrete.py    activations of few values: quantized, and of one bit
runnable.py    whether the engine can hold the result
"""
